"""From an endpoint to an encrypted connection whose host key has been verified."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from provisioner.errors import Unreachable
from provisioner.transport.knownhosts import Finding, HostKey, KnownHosts, Verdict
from provisioner.transport.leanly import paramiko
from provisioner.transport.prompt import PromptSocket, PromptTransport
from provisioner.transport.shell import last_words, with_last_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provisioner.transport.endpoint import Endpoint

#: Signature algorithms of each recorded key type, best first.
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}

#: Authenticated ciphers first: paramiko compares a MAC of its own byte by byte, in Python.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")

#: Seconds after which the kernel gives up a connection whose peer acknowledges nothing.
_UNACKNOWLEDGED_SECONDS = 45

#: SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254.
_PROHIBITED = 1

_CAUSES = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "no answer",
}


@dataclass(slots=True)
class Wire:
    """A byte stream to an sshd: a socket, a jump host's channel, or a proxy program."""

    socket: Any
    process: subprocess.Popen[bytes] | None = None
    complaints: IO[bytes] | None = None

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self.socket.close()
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.complaints is not None:
            self.complaints.close()

    def last_complaint(self) -> bytes:
        """What a proxy program wrote to standard error."""
        if self.complaints is None:
            return b""
        self.complaints.seek(0)
        return self.complaints.read(4096)


def wire_to(endpoint: Endpoint) -> Wire:
    """Connect by TCP, or start the proxy program. Raises `Unreachable`."""
    if endpoint.proxy_command:
        return _wire_by_program(endpoint, endpoint.proxy_command)
    deadline = time.monotonic() + endpoint.connect_seconds
    cause = "it has no address"
    for family, kind, protocol, _, address in _resolve(endpoint):
        stream = PromptSocket(family, kind, protocol)
        try:
            stream.settimeout(max(0.1, deadline - time.monotonic()))
            stream.connect(address)
        except TimeoutError:
            cause = f"no answer within {endpoint.connect_seconds:g} s"
            stream.close()
        except OSError as error:
            cause = _CAUSES.get(error.errno or 0) or error.strerror or str(error)
            stream.close()
        else:
            _keep_alive(stream)
            return Wire(stream)
    raise Unreachable(
        endpoint.name,
        "connect",
        f"{endpoint.where}: {cause}",
        help="is the address right (ansible_host, ansible_port), and does sshd listen there?",
    )


def wire_through(jump: paramiko.Transport, endpoint: Endpoint, via: str) -> Wire:
    """Open a channel on jump host `via`'s connection. Raises `Unreachable`."""
    try:
        channel = jump.open_channel(
            "direct-tcpip",
            (endpoint.host, endpoint.port),
            ("127.0.0.1", 0),
            timeout=endpoint.connect_seconds,
        )
    except paramiko.ChannelException as error:
        message = f"{endpoint.where} through {via}: {error.text or 'refused'}"
        advice = f"log in to {via}, and see whether it reaches {endpoint.where}"
        if error.code == _PROHIBITED:
            advice = f"{via} forwards nothing there: AllowTcpForwarding and PermitOpen in its"
            advice += " sshd_config, and the options of the key in its authorized_keys"
        raise Unreachable(endpoint.name, "connect", message, help=advice) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        message = f"{endpoint.where} through {via}: {error or 'connection lost'}"
        raise Unreachable(endpoint.name, "connect", message) from error
    return Wire(channel)


def shake(wire: Wire, endpoint: Endpoint, known: KnownHosts) -> tuple[paramiko.Transport, HostKey]:
    """Greet and exchange keys; the key is *not* judged yet. Raises `Unreachable`."""
    transport = PromptTransport(wire.socket)
    transport.banner_timeout = endpoint.connect_seconds
    transport.handshake_timeout = endpoint.connect_seconds
    options = transport.get_security_options()
    recorded = [
        algorithm
        for key_type in known.key_types(endpoint.known_as)
        for algorithm in _ALGORITHMS.get(key_type, (key_type,))
    ]
    options.key_types = _first(recorded, options.key_types)
    options.ciphers = _first(_CIPHERS, options.ciphers)
    try:
        transport.start_client(timeout=endpoint.connect_seconds)
        shown = transport.get_remote_server_key()
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        message = with_last_words(_handshake_cause(error, endpoint), wire.last_complaint())
        if said := _greeting(endpoint):
            message = f'{endpoint.where} does not greet as SSH does, but with "{last_words(said)}"'
        raise Unreachable(endpoint.name, "connect", message) from error
    return transport, HostKey(shown.get_name(), shown.asbytes())


def _first(wanted: Iterable[str], known: Sequence[str]) -> list[str]:
    """`known` in the order of `wanted`, what is not wanted last."""
    preferred = [each for each in wanted if each in known]
    return [*preferred, *(each for each in known if each not in preferred)]


def verify(endpoint: Endpoint, key: HostKey, known: KnownHosts) -> None:
    """Raises `Unreachable` unless `key` is recorded for the endpoint."""
    finding = known.judge(endpoint.known_as, key)
    if finding.verdict is not Verdict.KNOWN:
        raise distrust(endpoint, key, finding)


def distrust(endpoint: Endpoint, key: HostKey, finding: Finding) -> Unreachable:
    """Why a shown key is not trusted, and what to do about it."""
    advice = (
        "compare the fingerprint with the host's own, then: "
        f"provisioner hosts trust {endpoint.name}"
    )
    where = ", ".join(str(record.mark) for record in finding.records)
    if finding.verdict is Verdict.CHANGED:
        types = {record.key.type for record in finding.records}
        if key.type in types:
            message = (
                f"THE HOST KEY OF {endpoint.known_as} HAS CHANGED: it shows {key}, recorded is "
                f"another at {where}; it was reinstalled, or someone listens in"
            )
            advice += " --replace"
        else:
            message = (
                f"{endpoint.known_as} shows the key {key}, of which nothing is recorded; "
                f"its recorded keys are of other types, at {where}"
            )
    elif finding.verdict is Verdict.REVOKED:
        message = f"{endpoint.known_as} shows {key}, which is marked @revoked at {where}"
        advice = "this key must not be used any more; find out why the host still has it"
    elif finding.verdict is Verdict.AUTHORITY:
        message = (
            f"{endpoint.known_as} is vouched for by a certificate authority ({where}), "
            f"and host certificates are not supported; its plain key is {key}"
        )
    else:
        message = f"the host key of {endpoint.known_as} is not known: {key}"
    return Unreachable(endpoint.name, "host key", message, help=advice)


def _handshake_cause(error: Exception, endpoint: Endpoint) -> str:
    text = str(error)
    where, seconds = endpoint.where, endpoint.connect_seconds
    if "No existing session" in text or "timed out" in text or isinstance(error, TimeoutError):
        return f"{where} accepts connections but did not complete the handshake in {seconds:g} s"
    if "Indecipherable" in text or "Invalid SSH banner" in text:
        return f"{where} is not an SSH server: {text}"
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return f"{where} shares no algorithm with us: {text}"
    if "protocol banner" in text and not text.endswith("banner"):
        return f"{where} accepts connections but sent no SSH greeting: {text[29:] or 'silence'}"
    if isinstance(error, EOFError) or "protocol banner" in text:
        return f"{where} gave no SSH greeting and closed the connection"
    return f"{where}: handshake failed: {text or type(error).__name__}"


def _greeting(endpoint: Endpoint) -> bytes:
    """What the port says first, if that is not SSH: another service, or why it refuses."""
    if endpoint.jumps or endpoint.proxy_command:
        return b""
    try:
        with socket.create_connection((endpoint.host, endpoint.port), 1) as stream:
            said = stream.recv(256)
    except OSError:
        return b""
    return b"" if said.startswith(b"SSH-") else said


def _resolve(endpoint: Endpoint) -> list[Any]:
    """getaddrinfo with a limit: the resolver itself may take minutes. Raises `Unreachable`."""
    numeric = False
    with contextlib.suppress(ValueError):
        numeric = bool(ipaddress.ip_address(endpoint.host.partition("%")[0]))
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append(
                socket.getaddrinfo(
                    endpoint.host, endpoint.port, endpoint.family, socket.SOCK_STREAM
                )
            )
        except (OSError, UnicodeError) as error:
            answer.append(error)

    if numeric:
        ask()
    else:
        thread = threading.Thread(target=ask, name="resolve", daemon=True)
        thread.start()
        thread.join(endpoint.connect_seconds)
    if not answer:
        message = f"{endpoint.host}: no answer from DNS in {endpoint.connect_seconds:g} s"
        raise Unreachable(endpoint.name, "connect", message)
    if isinstance(answer[0], Exception):
        cause = getattr(answer[0], "strerror", None) or str(answer[0])
        message = f"cannot find the address of {endpoint.host}: {cause}"
        raise Unreachable(
            endpoint.name, "connect", message, help="give it as ansible_host"
        ) from answer[0]
    found: list[Any] = answer[0]
    return found


def _keep_alive(stream: socket.socket) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        stream.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_SECONDS * 1000
        )


def _wire_by_program(endpoint: Endpoint, command: str) -> Wire:
    """ProxyCommand over a socket pair, so that it is a socket like any other."""
    ours, theirs = socket.socketpair()
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the wire
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=complaints,
            start_new_session=True,
            cwd=Path("/"),
        )
    except OSError as error:
        ours.close()
        complaints.close()
        message = f"ProxyCommand {shlex.quote(command)}: {error.strerror}"
        raise Unreachable(endpoint.name, "connect", message) from error
    finally:
        theirs.close()
    return Wire(ours, process, complaints)
