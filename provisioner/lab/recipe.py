"""What a lab host's root file system is made of: packages, answers, the finishing script."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from provisioner.diagnostics import nearest
from provisioner.errors import InputError

#: Debian releases the lab boots, oldest first.
RELEASES = ("bullseye", "bookworm", "trixie", "forky")

#: What a root can be built with: an init system; `python` is systemd with Python, for other
#: tools, which need it on a host.
VARIANTS = ("systemd", "sysvinit", "openrc", "python")

#: The domain lab hosts live in, and the host name that stands in a root until a
#: host of its own is made from it.
DOMAIN = "lab.example"
PLACEHOLDER = "stock-host"

#: Passwords of the accounts in every lab host. They protect nothing: the hosts are
#: reachable from the machine that runs them and from nowhere else.
PASSWORDS = {"admin": "correct horse", "deploy": "battery staple", "alice": "wonderland"}

_BASE = (
    "acl adduser apt attr ca-certificates cron curl dbus dovecot-core iproute2 iputils-ping "
    "kmod less logrotate netbase nftables openssh-server openssl postfix "
    "postfix-lmdb postfix-pcre postgrey procps psmisc rsyslog sasl2-bin ssl-cert sudo "
    "util-linux wget"
)

_INIT = {
    "systemd": "systemd systemd-sysv",
    "sysvinit": "sysvinit-core ifupdown",
    "openrc": "openrc sysvinit-core ifupdown",
    "python": "systemd systemd-sysv python3",
}

#: In the hosts' own package repository besides everything installed, not installed: hosts
#: have no Python and filter nothing until a test wants it.
_SPARE = "firewalld libsasl2-modules postfix-cdb postfix-sqlite ufw"

_CUSTOMIZE = Path(__file__).with_name("customize.sh")


def init_of(variant: str) -> str:
    """The init system of a variant."""
    return "systemd" if variant == "python" else variant


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to build the root of one release in one variant."""

    release: str
    variant: str = "systemd"

    def __post_init__(self) -> None:
        for word, known, what in (
            (self.release, RELEASES, "release"),
            (self.variant, VARIANTS, "variant"),
        ):
            if word not in known:
                like = nearest(word, known)
                raise InputError(
                    f"the lab has no {what} {word!r}",
                    help=f"did you mean {like!r}?" if like else f"one of: {', '.join(known)}",
                )

    @property
    def packages(self) -> tuple[str, ...]:
        """What is installed."""
        words = [*_BASE.split(), *_INIT[self.variant].split()]
        if init_of(self.variant) != "systemd" and self.release != "bullseye":
            words.append("orphan-sysvinit-scripts")  # rsyslog's own went there
        return tuple(sorted(words))

    @property
    def spare_packages(self) -> tuple[str, ...]:
        """What a host can install with no way out, besides what it has."""
        return tuple(_SPARE.split())

    @property
    def answers(self) -> str:
        """Answers for debconf, one a line."""
        return (
            "postfix postfix/main_mailer_type select Internet Site\n"
            f"postfix postfix/mailname string {PLACEHOLDER}.{DOMAIN}\n"
        )

    @property
    def accounts(self) -> str:
        """`name:password` lines, as chpasswd(8) reads them."""
        return "".join(f"{name}:{password}\n" for name, password in PASSWORDS.items())

    @property
    def script(self) -> Path:
        """The mmdebstrap customize hook that finishes the root."""
        return _CUSTOMIZE

    @property
    def key(self) -> str:
        """Names the root in the cache: changes whenever the recipe does."""
        text = "\n".join(
            [
                self.release,
                self.variant,
                *self.packages,
                *self.spare_packages,
                self.answers,
                self.accounts,
                self.script.read_text(),
            ]
        )
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        variant = "" if self.variant == "systemd" else f"-{self.variant}"
        return f"{self.release}{variant}-{digest}"
