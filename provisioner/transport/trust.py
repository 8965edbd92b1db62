"""Looking at hosts before trusting them, and trying the way to them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import HostError, InputError, Unreachable
from provisioner.transport import knownhosts
from provisioner.transport.dial import distrust
from provisioner.transport.knownhosts import Finding, HostKey, Verdict
from provisioner.transport.ssh import SshConnection, SshTransport

if TYPE_CHECKING:
    from provisioner.transport.base import Target, Transport
    from provisioner.transport.endpoint import Endpoint

_LOOK_AROUND = b"""\
id -un
printf '%s\\n' "${SHELL:-unknown}"
if ! command -v sudo; then echo none
elif sudo -n true; then echo free
else echo closed
fi 2>/dev/null | tail -n 1
"""

_SUDO = {
    "none": "is not installed",
    "free": "works without password",
    "closed": "asks for a password, or is not allowed",
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """The key that a host has shown, and what is recorded about it."""

    endpoint: Endpoint
    key: HostKey
    finding: Finding

    @property
    def is_known(self) -> bool:
        return self.finding.verdict is Verdict.KNOWN

    @property
    def file(self) -> Path:
        """Where the key would be recorded. Raises `InputError` if there is no such file."""
        if not self.endpoint.known_hosts:
            raise InputError(f"{self.endpoint.name}: UserKnownHostsFile none: nowhere to record")
        return self.endpoint.known_hosts[0].expanduser()

    @property
    def _has_changed(self) -> bool:
        return self.finding.verdict is Verdict.CHANGED and any(
            record.key.type == self.key.type for record in self.finding.records
        )

    def describe(self) -> str:
        """The key in one line, with what it would replace."""
        text = f"{self.endpoint.known_as} shows {self.key}"
        if self.is_known:
            return f"{text}, recorded at {self.finding.records[0].mark}"
        if not self.finding.records:
            return text
        recorded = "; ".join(f"{each.key} at {each.mark}" for each in self.finding.records)
        return f"{text}\n  recorded: {recorded}"

    def problem(self, replacing: bool) -> HostError | None:
        """Why this key must not be recorded now."""
        if self.finding.verdict is Verdict.REVOKED or (self._has_changed and not replacing):
            return distrust(self.endpoint, self.key, self.finding)
        return None

    def record(self) -> None:
        """Add the key; where it has changed, the old ones go. Raises OSError."""
        known = knownhosts.KnownHosts([self.file])
        if known.judge(self.endpoint.known_as, self.key).verdict is Verdict.KNOWN:
            return  # two names of one host, and the other one was first
        if self._has_changed:
            for file in sorted({each.mark.file for each in self.finding.records}):
                knownhosts.forget_keys(Path(file), self.endpoint.known_as)
        knownhosts.record_key(self.file, self.endpoint.known_as, self.key)


@dataclass(frozen=True, slots=True)
class Way:
    """How a host was entered. `seconds` is the time from nothing to the first answer."""

    user: str
    shell: str
    sudo: str
    login: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"ok, user {self.user} by {self.login}, shell {self.shell}, sudo {self.sudo}, "
            f"{self.seconds * 1000:.0f} ms"
        )


def sight(transport: SshTransport, target: Target) -> Sighting:
    """Look at the host's key; nobody is logged in there. Raises `Unreachable`."""
    return Sighting(*transport.host_key(target))


def try_way(transport: Transport, target: Target) -> Way:
    """Log in, look around, and become whom `target` says. Raises `HostError`."""
    started = time.monotonic()
    connection = transport.connect(replace(target, become=False))
    try:
        answer = connection.run(_LOOK_AROUND)
        seconds = time.monotonic() - started
        lines = answer.stdout.decode("utf-8", "replace").splitlines()
        if len(lines) != 3:
            raise Unreachable(target.name, "look around", f"unexpected answer: {lines!r}")
        sudo = _SUDO.get(lines[2], lines[2])
        if target.become:
            connection.target = target
            became = connection.run(b"id -un").stdout.decode("utf-8", "replace").strip()
            sudo = f"works: became {became}"
        by = connection.login if isinstance(connection, SshConnection) else target.connection
        return Way(lines[0], lines[1], sudo, by, seconds)
    finally:
        connection.close()
