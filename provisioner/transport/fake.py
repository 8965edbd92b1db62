"""A transport without hosts: public, so that tests of and with this package need no mocks.

::

    transport = FakeTransport({
        "mx1": lambda script, payload: Exchange(0, b"mail_name = Postfix\n", b""),
        "mx2": Unreachable("mx2", "connect", "no route to host"),
    })

A host is answered by its function, fails with its exception, or is unreachable if it
is not named. What was asked is kept in `calls`; `connections` holds all that were
opened, with their counters.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from provisioner.errors import HostError, Unreachable
from provisioner.transport.base import Exchange, FakeConnection, Target

Answer: TypeAlias = Callable[[bytes, bytes], Exchange]

__all__ = ["Answer", "Call", "FakeConnection", "FakeTransport"]


@dataclass(frozen=True, slots=True)
class Call:
    """One exec that was asked for."""

    host: str
    script: bytes
    payload: bytes


@dataclass
class FakeTransport:
    """A `Transport` that answers from `hosts`, by inventory name. Safe to share by threads."""

    hosts: Mapping[str, Answer | HostError]
    calls: list[Call] = field(default_factory=list)
    connections: list[FakeConnection] = field(default_factory=list)
    closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def connect(self, target: Target) -> FakeConnection:
        answer = self.hosts.get(target.name)
        if answer is None:
            raise Unreachable(target.name, "connect", "no such host in this fake")
        if isinstance(answer, HostError):
            raise answer

        def recorded(script: bytes, payload: bytes) -> Exchange:
            with self._lock:
                self.calls.append(Call(target.name, script, payload))
            return answer(script, payload)

        connection = FakeConnection(target, recorded)
        with self._lock:
            self.connections.append(connection)
        return connection

    def close(self) -> None:
        self.closed = True
