"""Private keys: agents and key files, each opened once and shared by all connections."""

from __future__ import annotations

import base64
import getpass
import io
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from provisioner.secrets import Secret
from provisioner.transport.leanly import paramiko

if TYPE_CHECKING:
    from pathlib import Path

    from paramiko.message import Message

#: Asks for a secret; None where nobody can be asked.
Prompt = Callable[[str], Secret | None]

#: How often a passphrase is asked for before the key is given up.
_PASSPHRASE_TRIES = 3
_AGENT_SECONDS = 10.0
_OPENSSH_MAGIC = b"openssh-key-v1\0"


class KeyUnusable(Exception):  # noqa: N818 - a finding about one key, reported with the others
    """Why a key cannot be used, in a few words."""


class _Encrypted(Exception):  # noqa: N818
    """The key needs a passphrase, or another one than was given."""


def ask_on_terminal(question: str) -> Secret | None:
    """Ask on the terminal without echo; None if there is none."""
    if not sys.stdin.isatty():
        return None
    try:
        return Secret(getpass.getpass(f"{question}: "))
    except (EOFError, OSError):
        return None


class Agent(paramiko.agent.AgentSSH):
    """An ssh-agent whose one connection many threads share. Raises OSError, SSHException."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._turn = threading.Lock()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_AGENT_SECONDS)
        connection.connect(path)
        self._connect(connection)  # type: ignore[attr-defined]
        # Signing may wait for a human to touch a token; the login's own limit ends that.
        connection.settimeout(None)

    def _send_message(self, msg: bytes | Message) -> tuple[int, Message]:
        with self._turn:
            answer: tuple[int, Message] = super()._send_message(msg)  # type: ignore[misc]
            return answer

    def close(self) -> None:
        self._close()  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key that may be offered. `load` opens it, raising `KeyUnusable`."""

    label: str
    blob: bytes | None
    load: Callable[[], paramiko.PKey]


class KeyRing:
    """Opens agents and key files at most once each. Safe to share between threads."""

    def __init__(self, prompt: Prompt = ask_on_terminal) -> None:
        self._prompt = prompt
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._slots: dict[Path, _KeyFile] = {}
        self._agents: dict[str, Agent | None] = {}

    def candidates(
        self, files: tuple[Path, ...], agent: str | None, *, only_files: bool
    ) -> Iterator[Candidate]:
        """Keys in the order to offer them, none twice.

        `files` that the agent holds, other readable `files`, other keys of the agent
        (unless `only_files`), and last the files that need a passphrase.
        """
        slots = [self._file(path) for path in files if path.is_file()]
        held = {key.asbytes(): key for key in self._agent_keys(agent)}
        wanted = [slot.blob for slot in slots]
        for blob in wanted:
            if blob in held:
                yield _of_agent(held[blob])
        rest = [slot for slot in slots if slot.blob is None or slot.blob not in held]
        yield from (_of_file(slot) for slot in rest if not slot.encrypted)
        if not only_files:
            yield from (_of_agent(key) for blob, key in held.items() if blob not in wanted)
        yield from (_of_file(slot) for slot in rest if slot.encrypted)

    def close(self) -> None:
        with self._lock:
            for agent in self._agents.values():
                if agent is not None:
                    agent.close()
            self._agents.clear()

    def _file(self, path: Path) -> _KeyFile:
        with self._lock:
            if path not in self._slots:
                self._slots[path] = _KeyFile(path, self._ask)
            return self._slots[path]

    def _ask(self, question: str) -> Secret | None:
        with self._asking:  # one question at a time
            return self._prompt(question)

    def _agent_keys(self, path: str | None) -> tuple[paramiko.agent.AgentKey, ...]:
        if path is None:
            return ()
        with self._lock:
            if path not in self._agents:
                try:
                    self._agents[path] = Agent(path)
                except (OSError, paramiko.SSHException):
                    self._agents[path] = None  # a dangling SSH_AUTH_SOCK is no agent
            agent = self._agents[path]
        return tuple(agent.get_keys()) if agent else ()


class _KeyFile:
    """One key file: its public half at once, its private half when it is needed."""

    def __init__(self, path: Path, prompt: Prompt) -> None:
        self.path = path
        self._prompt = prompt
        self._lock = threading.Lock()
        self._key: paramiko.PKey | None = None
        self._problem = ""
        self.blob: bytes | None = None
        self.encrypted = False
        try:
            self._key = _open(path, None)
            self.blob = self._key.asbytes()
        except _Encrypted:
            self.encrypted = True
            self.blob = _public_blob(path)
        except KeyUnusable as error:
            self._problem = str(error)

    def load(self) -> paramiko.PKey:
        """The private key, asking for its passphrase if need be. Raises `KeyUnusable`."""
        with self._lock:
            if self._key is None and not self._problem:
                self._unlock()
            if self._key is None:
                raise KeyUnusable(self._problem)
            return self._key

    def _unlock(self) -> None:
        self._problem = "wrong passphrase"
        for _ in range(_PASSPHRASE_TRIES):
            passphrase = self._prompt(f"passphrase of {self.path}")
            if passphrase is None:
                self._problem = "it has a passphrase, and there is no terminal to ask on"
                return
            try:
                self._key = _open(self.path, passphrase)
            except _Encrypted:
                continue
            except KeyUnusable as error:
                self._problem = str(error)
            return


def _of_file(slot: _KeyFile) -> Candidate:
    return Candidate(str(slot.path), slot.blob, slot.load)


def _of_agent(key: paramiko.agent.AgentKey) -> Candidate:
    comment = getattr(key, "comment", "") or key.get_name()
    return Candidate(f"agent key {comment}", key.asbytes(), lambda: key)


def _open(path: Path, passphrase: Secret | None) -> paramiko.PKey:
    """The key in `path`. Raises `_Encrypted` and `KeyUnusable`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyUnusable(f"cannot be read: {error.strerror}") from error
    password = passphrase.reveal().encode() if passphrase is not None else None
    is_openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    if is_openssh and password is None and _header(data)[0] != b"none":
        raise _Encrypted
    read = serialization.load_ssh_private_key if is_openssh else serialization.load_pem_private_key
    try:
        loaded = read(data, password)
    except TypeError as error:
        raise _Encrypted from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if password is not None:
            raise _Encrypted from error
        raise KeyUnusable("not a private key this program can read") from error
    # By way of its plain text: the one constructor all key classes and versions share.
    text = loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    ).decode()
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        return paramiko.Ed25519Key.from_private_key(io.StringIO(text))
    if isinstance(loaded, ec.EllipticCurvePrivateKey):
        return paramiko.ECDSAKey.from_private_key(io.StringIO(text))
    if isinstance(loaded, rsa.RSAPrivateKey):
        return paramiko.RSAKey.from_private_key(io.StringIO(text))
    raise KeyUnusable(f"keys of type {type(loaded).__name__} are not supported")


def _public_blob(path: Path) -> bytes | None:
    """The public half of an encrypted key: its own header has it, or the .pub file beside."""
    try:
        blob = _header(path.read_bytes())[1]
        if blob is not None:
            return blob
        return base64.b64decode(path.with_name(path.name + ".pub").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _header(text: bytes) -> tuple[bytes, bytes | None]:
    """Cipher and public key of an OpenSSH private key; ("none", None) for anything else.

    PROTOCOL.key of OpenSSH: magic, cipher, kdf, kdf options, number of keys, public key.
    """
    try:
        data = base64.b64decode(text.split(b"-----")[2])
        if not data.startswith(_OPENSSH_MAGIC):
            return b"none", None
        at = len(_OPENSSH_MAGIC)
        fields = []
        for gap in (0, 0, 4, 0):
            (length,) = struct.unpack_from(">I", data, at)
            fields.append(data[at + 4 : at + 4 + length])
            at += 4 + length + gap
        return fields[0], fields[3]
    except (ValueError, IndexError, struct.error):
        return b"none", None
