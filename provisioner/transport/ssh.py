"""SSH on paramiko: strict host keys, agents and keys, jump hosts, sudo, limits on everything."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import HostError, InputError
from provisioner.transport.base import Counters, Exchange, Limits, Target
from provisioner.transport.dial import Wire, shake, verify, wire_through, wire_to
from provisioner.transport.endpoint import Endpoint, Resolver
from provisioner.transport.exchange import RemoteExec
from provisioner.transport.keys import KeyRing, Prompt, ask_on_terminal
from provisioner.transport.knownhosts import Finding, HostKey, KnownHosts
from provisioner.transport.login import login
from provisioner.transport.shell import Bootstrap, Dialogue
from provisioner.transport.sshconfig import SshConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import paramiko

# Its complaints come back to us as exceptions; Python would print them once more.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
if logging.getLogger("paramiko").level == logging.NOTSET:
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)

#: What to do where a jump host is in the way: variables are about the host behind it.
_JUMP_ADVICE = {
    "connect": "is the jump host right, where ProxyJump (or -J) names it: [user@]host[:port]?",
    "login": "name the user in ProxyJump (user@host), and the key in ~/.ssh/config (Host, "
    "IdentityFile) or an agent: as for ssh, ansible_* variables do not reach a jump host",
}


@dataclass
class SshConnection:
    """An open, verified, logged-in connection. See `transport.base.Connection`."""

    target: Target
    endpoint: Endpoint
    host_key: str
    login: str
    """By what the login succeeded: a key file, an agent's key, "password"."""
    transport: paramiko.Transport
    wire: Wire
    counters: Counters = field(default_factory=lambda: Counters(connections=1))

    @property
    def alive(self) -> bool:
        return self.transport.is_active()

    def run(
        self,
        script: bytes,
        payload: bytes = b"",
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Exchange:
        target = self.target
        # Root needs no sudo to be root, and small systems have none.
        needless = self.endpoint.user == target.become_user
        user = target.become_user if target.become and not needless else None
        dialogue = Dialogue(target, Bootstrap(script, user, alone=not payload))
        exec_ = RemoteExec(self.transport, dialogue, payload, limits, on_stdout)
        self.counters.execs += 1
        try:
            return exec_.run()
        finally:
            self.counters.bytes_sent += exec_.sent
            self.counters.bytes_received += exec_.received

    def close(self) -> None:
        self.transport.close()
        self.wire.close()


class SshTransport:
    """Opens SSH connections; share one between all threads of a run.

    Configuration, keys, agents and recorded host keys are read once; a jump host's
    connection is shared by the hosts behind it. `known_hosts` replaces the files that
    ssh would use. Times are in seconds: for name and TCP, again for the handshake
    (`connect_seconds`, unless ConnectTimeout says otherwise), for the login, and
    between keep-alive messages. Raises `InputError` where the configuration is wrong.
    """

    def __init__(
        self,
        known_hosts: Sequence[Path] | None = None,
        config_file: Path | None = Path("~/.ssh/config"),
        *,
        prompt: Prompt = ask_on_terminal,
        connect_seconds: float = 10.0,
        auth_seconds: float = 15.0,
        keepalive_seconds: float = 15.0,
    ) -> None:
        files = tuple(known_hosts) if known_hosts is not None else None
        self._resolver = Resolver(SshConfig(config_file), files, connect_seconds)
        self._ring = KeyRing(prompt)
        self._auth_seconds = auth_seconds
        self._keepalive_seconds = keepalive_seconds
        self._lock = threading.Lock()
        self._known: dict[tuple[Path, ...], KnownHosts] = {}
        self._jumps: dict[tuple[object, ...], Future[SshConnection]] = {}

    def connect(self, target: Target) -> SshConnection:
        """Raises `Unreachable` naming the cause, `InputError` for wrong configuration."""
        endpoint = self._resolver.target(target)
        return self._open(endpoint, self._route(endpoint), target)

    def host_key(self, target: Target) -> tuple[Endpoint, HostKey, Finding]:
        """The key that the host shows, where, and whether it is known; nobody is logged in.

        Raises `Unreachable`, also where a jump host on the way is not trusted.
        """
        endpoint = self._resolver.target(target)
        wire = self._wire(endpoint, self._route(endpoint))
        known = self._records(endpoint)
        try:
            transport, key = shake(wire, endpoint, known)
            transport.close()
        finally:
            wire.close()
        return endpoint, key, known.judge(endpoint.known_as, key)

    def close(self) -> None:
        with self._lock:
            jumps = list(self._jumps.values())
            self._jumps.clear()
        for jump in jumps:
            if jump.done() and jump.exception() is None:
                jump.result().close()
        self._ring.close()

    def _route(self, endpoint: Endpoint) -> tuple[Endpoint, ...]:
        """The jump hosts on the way, the one nearest to the endpoint first.

        Found out before anything is opened: jump hosts that need each other would
        otherwise wait for each other.
        """
        route: list[Endpoint] = []
        here = endpoint
        while here.jumps:
            *via, last = here.jumps
            here = self._resolver.hop(last, tuple(via))
            if any(here.shared_key == each.shared_key for each in route):
                raise InputError(f"{endpoint.name}: ProxyJump goes in circles, at {last}")
            route.append(here)
        return tuple(route)

    def _open(
        self, endpoint: Endpoint, route: tuple[Endpoint, ...], target: Target
    ) -> SshConnection:
        wire = self._wire(endpoint, route)
        try:
            known = self._records(endpoint)
            transport, key = shake(wire, endpoint, known)
            try:
                verify(endpoint, key, known)
                by = login(transport, endpoint, self._ring, self._auth_seconds)
                transport.set_keepalive(int(self._keepalive_seconds))
            except BaseException:
                transport.close()
                raise
        except BaseException:
            wire.close()
            raise
        return SshConnection(target, endpoint, str(key), by, transport, wire)

    def _wire(self, endpoint: Endpoint, route: tuple[Endpoint, ...]) -> Wire:
        if not route:
            return wire_to(endpoint)
        hop = route[0]
        try:
            jump = self._shared(hop, route[1:])
        except HostError as error:
            step = f"jump host {hop.name}: {error.step}"
            advice = _JUMP_ADVICE.get(error.step, error.help)
            raise type(error)(endpoint.name, step, error.message, help=advice) from error
        return wire_through(jump.transport, endpoint, hop.name)

    def _shared(self, hop: Endpoint, route: tuple[Endpoint, ...]) -> SshConnection:
        """The one connection to a jump host; who comes first opens it, the others wait."""
        with self._lock:
            future = self._jumps.get(hop.shared_key)
            if future and _is_dead(future):
                future = None
            mine = future is None
            if future is None:
                future = self._jumps[hop.shared_key] = Future()
        if mine:
            try:
                future.set_result(self._open(hop, route, Target(hop.name, hop.host)))
            except BaseException as error:  # noqa: BLE001 - raised by result(), here and in those who wait
                future.set_exception(error)
                with self._lock:
                    self._jumps.pop(hop.shared_key, None)
        return future.result()

    def _records(self, endpoint: Endpoint) -> KnownHosts:
        with self._lock:
            if endpoint.known_hosts not in self._known:
                try:
                    self._known[endpoint.known_hosts] = KnownHosts(endpoint.known_hosts)
                except OSError as error:
                    raise InputError(f"cannot read {error.filename}: {error.strerror}") from error
            return self._known[endpoint.known_hosts]


def _is_dead(future: Future[SshConnection]) -> bool:
    if not future.done():
        return False
    return future.exception() is not None or not future.result().transport.is_active()
