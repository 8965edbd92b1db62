"""Recorded host keys: reading known_hosts files, verdicts, and recording new keys.

The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": plain, hashed and
pattern names, `[host]:port`, `@revoked` and `@cert-authority`. Files are read once;
plain names are found by index, hashed ones by one HMAC each.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.marks import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable

USER_FILES = (Path("~/.ssh/known_hosts"), Path("~/.ssh/known_hosts2"))
GLOBAL_FILES = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public host key: its type ("ssh-ed25519") and its wire form."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """SHA256 in base64, as OpenSSH prints it."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def base64(self) -> str:
        return base64.b64encode(self.blob).decode()

    def __str__(self) -> str:
        return f"{self.type} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a known_hosts file."""

    names: str
    key: HostKey
    mark: Mark
    marker: str = ""

    def matches(self, name: str) -> bool:
        if self.names.startswith("|1|"):
            return _hash_matches(self.names, name)
        matched = False
        for pattern in self.names.lower().split(","):
            negated = pattern.startswith("!")
            if _glob(pattern[negated:], name):
                if negated:
                    return False
                matched = True
        return matched


class Verdict(Enum):
    """What the records say about a key that a host has shown."""

    KNOWN = auto()
    UNKNOWN = auto()
    CHANGED = auto()
    REVOKED = auto()
    AUTHORITY = auto()


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, with the records it rests on."""

    verdict: Verdict
    records: tuple[Record, ...] = ()


def host_name_in_records(host: str, port: int) -> str:
    """The name under which a host's key is recorded: "host" or "[host]:port"."""
    host = host.lower()
    return host if port == 22 else f"[{host}]:{port}"


class KnownHosts:
    """The records of several files. Immutable once read; share it between threads."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Read `files`; one that does not exist is empty. Raises OSError otherwise."""
        self._plain: dict[str, list[Record]] = {}
        self._other: list[Record] = []
        for path in files:
            for record in read_records(path):
                self._add(record)

    def _add(self, record: Record) -> None:
        names = record.names.lower()
        if record.marker or any(char in names for char in "*?!|"):
            self._other.append(record)
            return
        for name in names.split(","):
            self._plain.setdefault(name, []).append(record)

    def records(self, name: str) -> list[Record]:
        """Every record whose names match `name` (see `host_name_in_records`)."""
        name = name.lower()
        return self._plain.get(name, []) + [each for each in self._other if each.matches(name)]

    def key_types(self, name: str) -> list[str]:
        """The types of the keys recorded for `name`, to ask the host for these first."""
        return list(dict.fromkeys(each.key.type for each in self.records(name) if not each.marker))

    def judge(self, name: str, key: HostKey) -> Finding:
        """Whether `key`, shown by the host recorded as `name`, is to be trusted.

        As in ssh(1), a host on another port than 22 is also known by a matching key
        that is recorded without the port.
        """
        records = self.records(name)
        revoked = [each for each in records if each.marker == "@revoked" and each.key == key]
        if revoked:
            return Finding(Verdict.REVOKED, tuple(revoked))
        plain = [each for each in records if not each.marker]
        same = [each for each in plain if each.key == key]
        if same:
            return Finding(Verdict.KNOWN, tuple(same))
        without_port = re.fullmatch(r"\[(.*)\]:\d+", name)
        if without_port:
            elsewhere = self.judge(without_port[1], key)
            if elsewhere.verdict in (Verdict.KNOWN, Verdict.REVOKED):
                return elsewhere
        if plain:
            return Finding(Verdict.CHANGED, tuple(plain))
        authorities = [each for each in records if each.marker == "@cert-authority"]
        if authorities:
            return Finding(Verdict.AUTHORITY, tuple(authorities))
        return Finding(Verdict.UNKNOWN)


def read_records(path: Path) -> list[Record]:
    """The records of one file, in order; lines that are not records are skipped, as by ssh."""
    try:
        text = path.expanduser().read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        record = parse_record(line, Mark(str(path.expanduser()), number))
        if record is not None:
            found.append(record)
    return found


def parse_record(line: str, mark: Mark) -> Record | None:
    """The record on `line`; None for a comment, a blank or a malformed line."""
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return None
    marker = fields.pop(0) if fields[0].startswith("@") else ""
    if len(fields) < 3:
        return None
    try:
        blob = base64.b64decode(fields[2], validate=True)
    except ValueError:
        return None
    return Record(fields[0], HostKey(fields[1], blob), mark, marker)


def record_key(path: Path, name: str, key: HostKey) -> None:
    """Append `key` for `name`; what the file holds, and its mode, stay. Raises OSError."""
    path = path.expanduser()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a+b") as file:
        size = file.seek(0, 2)
        newline = b""
        if size:
            file.seek(size - 1)
            newline = b"" if file.read(1) == b"\n" else b"\n"
        # One write on an O_APPEND descriptor: another writer cannot come in between.
        file.write(newline + f"{name} {key.type} {key.base64}\n".encode())


def forget_keys(path: Path, name: str) -> None:
    """Remove what is recorded for `name`, as `ssh-keygen -R` would.

    A line that also names other hosts loses this name only; lines with patterns or
    markers stay. The file is replaced in one step and keeps its mode. Raises OSError.
    """
    path = path.expanduser().resolve()
    lines = path.read_bytes().splitlines(keepends=True)
    found = path.stat()
    aside = path.with_name(f"{path.name}.provisioner")
    aside.write_bytes(b"".join(_without(line, name.lower()) for line in lines))
    aside.chmod(found.st_mode & 0o7777)
    os.chown(aside, found.st_uid, found.st_gid)
    aside.replace(path)


def _without(line: bytes, name: str) -> bytes:
    record = parse_record(line.decode("utf-8", "replace"), Mark(""))
    if record is None or record.marker:
        return line
    if record.names.startswith("|1|"):
        return b"" if record.matches(name) else line
    names = record.names.split(",")
    kept = [each for each in names if each.lower() != name]
    if len(kept) == len(names):
        return line
    if not kept:
        return b""
    return line.replace(record.names.encode(), ",".join(kept).encode(), 1)


def _hash_matches(hashed: str, name: str) -> bool:
    try:
        _, _, salt, digest = hashed.split("|")
        return hmac.compare_digest(
            hmac.digest(base64.b64decode(salt), name.encode(), "sha1"), base64.b64decode(digest)
        )
    except ValueError:
        return False


def _glob(pattern: str, name: str) -> bool:
    """ssh's patterns: only `*` and `?` are special, brackets belong to `[host]:port`."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
