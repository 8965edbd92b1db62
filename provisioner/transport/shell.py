"""How a script enters a host: the bootstrap command, its markers, sudo's prompts.

Pure: bytes in, bytes out. `ssh` and `local` only move the bytes.

The command in argv is fixed but for a length, a nonce and the sudo user. It prints a
ready marker on both streams, reads exactly the script from standard input and runs
it only if the script's last line carries the nonce. So whatever a login shell prints
before is told apart from the script's output, and a script that arrived cut short, or
of which a startup file read the beginning, is refused instead of run.
"""

from __future__ import annotations

import gzip
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provisioner.diagnostics import printable
from provisioner.errors import Failed, HostError

if TYPE_CHECKING:
    from provisioner.transport.base import Target

#: Most bytes of foreign output that are tolerated before the ready marker.
JUNK_BYTES = 8 << 20

#: Exit status with which the bootstrap refuses a script that is not whole.
REFUSED_STATUS = 97

#: How much of what a host printed is kept, and shown in an error, in bytes.
KEPT_BYTES = 4096
SHOWN_BYTES = 300

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?")


def is_user_name(text: str) -> bool:
    """Whether `text` can stand unquoted where a command line names a user."""
    return _USER.fullmatch(text) is not None


def last_words(output: bytes) -> str:
    """The end of what a host printed, in one printable line; empty if nothing."""
    words = " ".join(output[-KEPT_BYTES:].decode("utf-8", "replace").split())
    if len(words) > SHOWN_BYTES:
        words = "…" + words[-SHOWN_BYTES:]
    return printable(words)


def with_last_words(message: str, output: bytes) -> str:
    """`message`, followed by what the host printed last, where it printed anything."""
    words = last_words(output)
    return f'{message}; its last output: "{words}"' if words else message


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The command for one script, and the marks by which its output is told apart.

    `alone` says that nothing follows the script on standard input. `input` is the script as it
    is sent: closed by the comment that proves it whole, and compressed.
    """

    script: bytes
    become_user: str | None = None
    alone: bool = False
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    input: bytes = field(init=False)

    def __post_init__(self) -> None:
        newline = b"" if self.script.endswith(b"\n") else b"\n"
        whole = self.script + newline + b"#" + self.nonce.encode()
        object.__setattr__(self, "input", gzip.compress(whole, 6, mtime=0))

    @property
    def ready(self) -> bytes:
        return f"READY-{self.nonce}\n".encode()

    @property
    def refused(self) -> bytes:
        return f"REFUSED-{self.nonce}\n".encode()

    @property
    def prompt(self) -> bytes:
        return f"[provisioner {self.nonce}] password: ".encode()

    @property
    def command(self) -> str:
        """The command line. Quoted so that sh, bash, zsh, fish and csh read it alike."""
        # gzip reads ahead, which does no harm where nothing follows.
        exactly = f"dd bs={len(self.input)} count=1 iflag=fullblock 2>/dev/null | "
        shell = (
            f"echo READY-{self.nonce}; echo READY-{self.nonce} >&2; "
            f's="$({"" if self.alone else exactly}gzip -dc 2>/dev/null)" || s=; '
            f'case "$s" in *"#{self.nonce}") eval "$s";; '
            f"*) echo REFUSED-{self.nonce}; exit {REFUSED_STATUS};; esac"
        )
        if self.become_user is None:
            return f"/bin/sh -c '{shell}'"
        if not is_user_name(self.become_user):
            raise ValueError(f"not a user name: {self.become_user!r}")
        # LC_ALL: the causes of a refusal are recognised by their English wording.
        return (
            f"env LC_ALL=C sudo -H -S -p '{self.prompt.decode()}' "
            f"-u {self.become_user} /bin/sh -c '{shell}'"
        )


@dataclass(slots=True)
class Gate:
    """Holds back one stream's bytes until the marker has passed."""

    marker: bytes
    open: bool = False
    held: bytes = b""
    junk: int = 0

    def feed(self, data: bytes) -> bytes:
        """What of `data` comes after the marker."""
        if self.open:
            return data
        self.junk += len(data)
        before, found, after = (self.held + data).partition(self.marker)
        self.held = before[-KEPT_BYTES:]
        self.open = bool(found)
        return after


@dataclass(slots=True)
class Dialogue:
    """One exec's conversation up to the ready marker, then nothing but a filter.

    Feed it what arrives. `wants_password` turns true when sudo has asked, with our
    nonce, and turns false again when `password` is taken; `is_ready` says that the
    shell is there and may be sent the script.
    """

    target: Target
    bootstrap: Bootstrap
    wants_password: bool = False
    _out: Gate = field(init=False)
    _err: Gate = field(init=False)
    _asked: int = 0
    _scanned: bytes = b""

    def __post_init__(self) -> None:
        self._out = Gate(self.bootstrap.ready)
        self._err = Gate(self.bootstrap.ready)

    @property
    def is_ready(self) -> bool:
        return self._out.open

    @property
    def must_wait(self) -> bool:
        """Whether the script may only be sent after the marker was seen."""
        return self.bootstrap.become_user is not None

    def stdout(self, data: bytes) -> bytes:
        """The part of `data` that is the script's output. Raises `Failed`."""
        passed = self._out.feed(data)
        self._bound(self._out)
        return passed

    def stderr(self, data: bytes) -> bytes:
        """The part of `data` that is the script's. Raises `Failed` on a second prompt."""
        before = not self._err.open
        passed = self._err.feed(data)
        if before and self.must_wait:
            self._look_for_prompt()
        self._bound(self._err)
        return passed

    def password(self) -> bytes:
        """The answer to sudo's prompt, as sent."""
        self.wants_password = False
        secret = self.target.become_password
        if secret is None:
            raise self._sudo_failed("sudo asks for a password and none is given", ask=True)
        return secret.reveal().encode() + b"\n"

    def _look_for_prompt(self) -> None:
        if self.bootstrap.prompt not in self._err.held:
            return
        self._err.held = self._err.held.replace(self.bootstrap.prompt, b"")
        self._asked += 1
        if self._asked > 1:
            raise self._sudo_failed("sudo refused the password", ask=True)
        self.wants_password = True

    def _bound(self, gate: Gate) -> None:
        if not gate.open and gate.junk > JUNK_BYTES:
            message = f"more than {JUNK_BYTES >> 20} MiB of output before our shell started"
            raise Failed(
                self.target.name,
                "login shell",
                with_last_words(message, gate.held),
                help="look at what the account's startup files (.bashrc, .profile) print",
            )

    @property
    def held(self) -> bytes:
        """What came before the marker, for messages: standard error, else output."""
        return self._err.held.strip() or self._out.held

    def end(self, status: int, stdout: bytes) -> None:
        """Raise `Failed` if the command ended without having run the script."""
        if not self.is_ready:
            raise self._never_started(status)
        if status == REFUSED_STATUS and stdout.endswith(self.bootstrap.refused):
            raise Failed(
                self.target.name,
                "login shell",
                "the script did not arrive whole and was not run",
                help="startup files (.bashrc) must not read standard input, "
                "and the host needs gzip, and a dd that knows iflag=fullblock",
            )

    def _never_started(self, status: int) -> HostError:
        if self.must_wait:
            return self._sudo_ended(status)
        message = f"the login shell ended with status {status} without running our command"
        return Failed(
            self.target.name,
            "login shell",
            with_last_words(message, self.held),
            help="the account needs a login shell that runs commands and /bin/sh, "
            "and its key no forced command",
        )

    def _sudo_ended(self, status: int) -> HostError:
        words = (self._err.held + self._out.held).decode("utf-8", "replace")
        for pattern, cause, advice in _SUDO_CAUSES:
            if re.search(pattern, words):
                return self._sudo_failed(cause, advice=advice)
        return self._sudo_failed(f"sudo ended with status {status} before our shell started")

    def _sudo_failed(self, cause: str, *, ask: bool = False, advice: str = "") -> HostError:
        if ask:
            advice = "give it with -K, or as ansible_become_password"
        return Failed(self.target.name, "sudo", with_last_words(cause, self._err.held), help=advice)


#: What sudo (or env, or the login shell) says under LC_ALL=C; the cause; what to do.
_SUDO_CAUSES = (
    (
        r"sudo.*(No such file|not found)|not found.*sudo|Unknown command.*sudo",
        "sudo is not installed",
        "install sudo there, or log in as root and leave become off",
    ),
    (
        r"not in the sudoers file|is not allowed to|may not run sudo",
        "the user may not run /bin/sh through sudo",
        "allow it in sudoers: USER ALL=(ALL:ALL) ALL",
    ),
    (
        r"terminal is required|must have a tty|no tty present",
        "sudo insists on a terminal",
        "remove requiretty from sudoers for this user",
    ),
    (r"unknown user", "sudo does not know the user to become", "check ansible_become_user"),
    (
        r"incorrect password|Sorry, try again|no password was provided",
        "sudo refused the password",
        "give it with -K, or as ansible_become_password",
    ),
)
