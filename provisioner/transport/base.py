"""The transport protocol: connect to a target, run one script, get its bytes back.

A transport knows nothing of Postfix. It runs a POSIX sh script on the host with a
payload on the script's standard input and returns what came out. The command in
argv is a fixed bootstrap; script and payload travel on standard input only, so
nothing of either shows in a process list, and their exact lengths are read so that
the shell never reads ahead into the payload.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from provisioner.secrets import Secret


@dataclass(frozen=True, slots=True)
class Target:
    """Where one inventory host is and how to get in. Empty means: as ~/.ssh/config says."""

    name: str
    address: str
    port: int | None = None
    user: str | None = None
    password: Secret | None = None
    private_key_file: str | None = None
    proxy_jump: str | None = None
    become: bool = False
    become_user: str = "root"
    become_password: Secret | None = None
    connection: str = "ssh"
    #: `-o` options of ssh from the inventory: (lower-case keyword, value), first one wins.
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one exec: whole time and silence in seconds, output in bytes."""

    seconds: float = 60.0
    silence: float = 30.0
    stdout_bytes: int = 64 << 20
    stderr_bytes: int = 64 << 10


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one exec gave back. `status` is the exit status, 128+n for signal n."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(slots=True)
class Counters:
    """What a connection cost, for reports and for tests that assert counts."""

    connections: int = 0
    execs: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def add(self, other: Counters) -> None:
        self.connections += other.connections
        self.execs += other.execs
        self.bytes_sent += other.bytes_sent
        self.bytes_received += other.bytes_received


class Connection(Protocol):
    """An open way to one host. Not thread-safe: one sequential conversation a host.

    `host_key` is the verified key of the host, "TYPE SHA256:BASE64" as OpenSSH prints
    it; empty where the way has none (the local machine, a fake). `alive` is false once
    it is known to be closed, by whichever side.
    """

    target: Target
    counters: Counters
    host_key: str

    @property
    def alive(self) -> bool: ...

    def run(
        self,
        script: bytes,
        payload: bytes = b"",
        *,
        limits: Limits = Limits(),
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Exchange:
        """Run `script` in /bin/sh on the host (as root where the target says become).

        `payload` is what the script reads on its standard input; after it comes end
        of file. `on_stdout` is called with each piece of output as it arrives.

        Raises `Unreachable` (connection lost, limit on time or silence reached),
        `Failed` (sudo refused, output limit reached, no usable shell).
        """
        ...

    def close(self) -> None:
        """Close; safe to call twice."""
        ...


class Transport(Protocol):
    """Opens connections. Safe to call from many threads."""

    def connect(self, target: Target) -> Connection:
        """Raises `Unreachable` naming the cause (no route, refused, host key, login)."""
        ...

    def close(self) -> None:
        """Close what connections share (jump hosts, agents)."""
        ...


@dataclass(slots=True)
class FakeConnection:
    """A connection that answers from a function; public, so that tests need no mocks."""

    target: Target
    answer: Callable[[bytes, bytes], Exchange]
    counters: Counters = field(default_factory=lambda: Counters(connections=1))
    closed: bool = False
    host_key: str = ""

    @property
    def alive(self) -> bool:
        return not self.closed

    def run(
        self,
        script: bytes,
        payload: bytes = b"",
        *,
        limits: Limits = Limits(),
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Exchange:
        exchange = self.answer(script, payload)
        self.counters.execs += 1
        self.counters.bytes_sent += len(script) + len(payload)
        self.counters.bytes_received += len(exchange.stdout) + len(exchange.stderr)
        if on_stdout:
            on_stdout(exchange.stdout)
        return exchange

    def close(self) -> None:
        self.closed = True
