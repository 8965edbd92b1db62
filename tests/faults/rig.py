"""A lab host under test: what it shall be, what it is, and whether it is whole and clean.

The host goes back and forth between versions of one policy that touch the same files with
other content, modes and listeners. A state is everything an administrator would compare:
each file's bytes, owner and mode, compiled tables by what they hold, who listens, what the
listener on port 25 says, and whether the unit is active.
"""

from __future__ import annotations

import contextlib
import smtplib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller import FOLDER, GUARD_TRACE, HELD, TRACE
from support import Done, Site, finish

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

#: Versions of the policy. From or to the third one a restart is needed, else a reload.
VERSIONS = ("first", "other", "third")

#: Longest time, in seconds, that a host may need until all is settled after a fault.
PATIENCE = 150

#: What is staged beside live files is in nobody's way; it must be gone after the next apply.
_STATE = """
cd /etc/postfix || exit
find . -mindepth 1 ! -name '.*.provisioner-*' -printf '%p %y %m %u:%g %l\\n' | LC_ALL=C sort
find . -type f ! -name '.*.provisioner-*' ! -name '*.db' ! -name '*.lmdb' ! -name '*.cdb' \\
  -exec sha256sum {} + | LC_ALL=C sort -k 2
for table in $(find . ! -name '.*.provisioner-*' -name '*.[dcl]*b' | LC_ALL=C sort); do
  case $table in *.db) type=hash ;; *) type=${table##*.} ;; esac
  echo "$table holds $(postmap -s "$type:${table%.*}" 2>&1 | LC_ALL=C sort | sha256sum)"
done
"""

_LEFT = """
find / -xdev \\( -path /proc -o -path /sys \\) -prune -o \\( -name '*.provisioner-*' \
  -o -path '/var/lib/provisioner/*.new' \\) -print 2>/dev/null
for name in /var/lib/provisioner/open /var/lib/provisioner/proof \\
  /var/lib/provisioner/txn/*/staged /var/lib/provisioner/txn/*/undo \\
  /var/lib/provisioner/txn/*/renames.* /var/lib/provisioner/txn/*/guard* \\
  /etc/systemd/system/provisioner* /etc/systemd/system/*.wants/provisioner*; do
  [ ! -e "$name" ] && [ ! -L "$name" ] || echo "$name"
done
grep -l /var/lib/provisioner/ /proc/[0-9]*/mountinfo 2>/dev/null
flock -n /var/lib/provisioner/lock true || echo 'the lock is held'
[ "$(pgrep -x -c master)" = 1 ] || pgrep -x -a master
pgrep -a -f '[/]var/lib/provisioner'
systemctl list-units --all --plain --no-legend 'provisioner*' 2>/dev/null | grep -v ' inactive '
systemctl list-timers --all --no-legend 'provisioner*' 2>/dev/null
true
"""


class Violation(AssertionError):  # noqa: N818 - what it says
    """The host is not what it must be after a fault."""


@dataclass(frozen=True)
class State:
    """What an administrator would compare."""

    files: frozenset[str]
    running: tuple[str, ...]

    def difference(self, other: State) -> str:
        """What `other` has that this has not, and the other way round."""
        gone, come = sorted(self.files - other.files), sorted(other.files - self.files)
        lines = [f"- {each}" for each in gone] + [f"+ {each}" for each in come]
        if self.running != other.running:
            lines.append(f"{self.running} became {other.running}")
        return "\n".join(lines[:20])


def policy(version: str) -> dict[str, Any]:
    """Variables of one version."""
    number = VERSIONS.index(version)
    many = {f"{version}{each}.example": "REJECT" for each in range(500)}
    tables: dict[str, Any] = {
        "/etc/postfix/zone": {
            "entries": {f"{version}.example": "OK"},
            "mode": ("0644", "0640", "0600")[number],
        },
        "/etc/postfix/header_checks": {
            "type": "regexp",
            "text": f"/^{version}:/ WARN\n",
        },
        "/etc/postfix/big": {"entries": many},
        f"/etc/postfix/only_{version}": {"entries": {"a.example": "OK"}},
    }
    parameters = {
        "smtpd_banner": f"$myhostname {version}",
        "mynetworks": ["127.0.0.0/8", f"192.0.2.{number}/32"],
        "header_checks": "regexp:/etc/postfix/header_checks",
        "inet_protocols": "ipv4" if version == "third" else "all",
    }
    services = {
        f"{10025 + number}/inet": {
            "private": "n",
            "command": "smtpd",
            "options": {"syslog_name": f"postfix/{version}"},
        }
    }
    return {"postfix": {"parameters": parameters, "tables": tables, "services": services}}


def _wait_for_silence(ask: Callable[[], str], wrong: str) -> None:
    """Until `ask` has nothing more to say; then `wrong` is not the case."""
    end = time.monotonic() + PATIENCE
    while said := ask():
        if time.monotonic() > end:
            raise Violation(f"{wrong}: {said}")
        time.sleep(0.3)


class Rig:
    """One host that is as new, its site, and the states that its versions have."""

    def __init__(self, lab: Lab, host: Host, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.lab, self.host = lab, host
        self.site = Site(lab, folder, host)
        self.known: dict[str, State] = {}
        self.version = ""
        self._as_new = True

    def sh(self, script: str, *, check: bool = True, seconds: float = 60) -> str:
        return self.lab.exec(self.host, script, check=check, seconds=seconds).stdout

    # -- towards a state ---------------------------------------------------------------

    def want(self, version: str) -> None:
        self.site.say(policy(version), ["postfix"])
        self.version = version

    def settle(self, version: str) -> None:
        """Be that version, with nothing left to do, and learn its state."""
        self.want(version)
        self.apply()
        self.learn()

    def turn(self, *, restart: bool = False) -> None:
        """Want another version than now, that a reload or a restart leads to."""
        if not self.version:
            self.renew()
        if restart:
            self.want("first" if self.version == "third" else "third")
            return
        if self.version == "third":
            self.settle("first")
        self.want("other" if self.version == "first" else "first")

    def go(self, version: str) -> None:
        """Be a version that is known already."""
        self.want(version)
        done = self.run("apply", "-y", "--prune")
        if done.code != 0:
            raise Violation(f"an apply ends with {done.code}\n{done.err}")
        self.learn()

    def apply(self) -> None:
        """Apply what is wanted; afterwards a plan is empty."""
        done = self.run("apply", "-y", "--prune")
        if done.code != 0:
            raise Violation(f"the next apply ends with {done.code}\n{done.err}")
        done = self.run("plan", "--prune")
        if done.code != 0:
            raise Violation(f"the plan after it is not empty\n{done.err}")

    def run(self, verb: str, *arguments: str) -> Done:
        return finish(self.site.start(verb, *arguments))

    def learn(self) -> None:
        now = self.state()
        before = self.known.setdefault(self.version, now)
        if before != now:
            raise Violation(f"{self.version} is not what it was\n{before.difference(now)}")

    # -- what it is --------------------------------------------------------------------

    def state(self) -> State:
        files = frozenset(self.sh(_STATE).splitlines())
        ports = [str(port) for port in range(10025, 10025 + len(VERSIONS)) if self.greeting(port)]
        unit = self.sh("systemctl is-active postfix", check=False).strip()
        return State(files, (self.greeting(25), *ports, unit))

    def greeting(self, port: int) -> str:
        """How the listener greets, empty where there is none."""
        try:
            with smtplib.SMTP(timeout=20) as smtp:
                return smtp.connect(self.host.address, port)[1].decode()
        except (OSError, smtplib.SMTPException):
            return ""

    def take_mail(self) -> None:
        """A message from outside is accepted."""
        source = (self.lab.client_address("good"), 0)
        with smtplib.SMTP(self.host.address, 25, timeout=30, source_address=source) as smtp:
            smtp.ehlo("mail.good.example")
            smtp.sendmail("someone@good.example", [f"root@{self.host.fqdn}"], "Subject: t\n\nt\n")

    def wait_until_settled(self) -> None:
        """Nobody holds the host, and nothing is going to change it later."""
        _wait_for_silence(self.unsettled, f"not settled after {PATIENCE} s")

    def unsettled(self) -> str:
        return self.sh(
            "flock -n /var/lib/provisioner/lock true || echo 'the lock is held';"
            "systemctl list-timers --all --no-legend 'provisioner*';"
            "systemctl list-units --plain --no-legend --state=activating,active,deactivating "
            "'provisioner*'",
            check=False,
        ).strip()

    def wait_until_tidy(self) -> None:
        """Nothing is left. A shell that had no lock yet dies when it next says something."""
        _wait_for_silence(self.left_over, "left over before the next apply")

    def left_over(self) -> str:
        done = self.lab.exec(self.host, ["sh"], stdin=_LEFT, check=False)
        return done.stdout.strip()

    def check_whole(self, *allowed: State) -> int:
        """Which of the states the host is in, all of it."""
        now = self.state()
        for number, each in enumerate(allowed):
            if now == each:
                return number
        said = "\nor\n".join(each.difference(now) for each in allowed)
        raise Violation(f"neither old nor new:\n{said}")

    # -- the stage for faults ------------------------------------------------------------

    def set_stage(self) -> None:
        self.sh(f"rm -rf {FOLDER}; mkdir {FOLDER}; touch {HELD} {TRACE} {GUARD_TRACE}")

    def release(self) -> None:
        with contextlib.suppress(Exception):
            self.sh(f"rm -f {HELD}")

    def renew(self) -> None:
        """As new, at the first version."""
        if not self._as_new:
            self.lab.reset(self.host)
        self._as_new = False
        self.known.clear()
        self.settle("first")
