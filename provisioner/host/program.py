"""Building a remote program: the one place where anything is quoted for a shell.

A program is a library of functions (a `.sh` file of this package) followed by calls of
them. Arguments are quoted here and nowhere else; bulk data travels behind the script
as payload and is read by exact length.
"""

from __future__ import annotations

import gzip
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib import resources

#: Text of at most so many bytes travels in the script; everything else behind it, compressed.
SHORT = 16_384
#: What many hosts are sent, such as the guard, is compressed once, if it has no more bytes than
#: these.
SHARED = 1 << 20


class Program:
    """A script in the making. `nonce` marks every frame of its answer."""

    def __init__(self, *libraries: str, nonce: str | None = None) -> None:
        self.nonce = nonce or secrets.token_hex(16)
        self._lines = [f"N={quote(self.nonce)}"]
        self._libraries = libraries
        self._payload: list[bytes] = []

    def need(self, library: str) -> None:
        """Have that library in the script."""
        if library not in self._libraries:
            self._libraries = (*self._libraries, library)

    def call(self, function: str, *arguments: str | int) -> None:
        """Append one call of a library function."""
        words = [function, *(quote(str(argument)) for argument in arguments)]
        self._lines.append(" ".join(words))

    @contextmanager
    def piped(self, function: str) -> Iterator[None]:
        """What is called within writes to standard input of that library function."""
        self._lines.append("{")
        yield
        self._lines.append(f"}} | {function}")

    def send(self, function: str, data: bytes, *arguments: str | int) -> None:
        """Append a call of a function that is given `data`.

        Its first two arguments are what `take` of frames.sh wants: `text` and that text, or
        `gzip` and how many bytes to read.
        """
        if len(data) <= SHORT and b"\0" not in data:
            self.call(function, "text", data.decode("utf-8", "surrogateescape"), *arguments)
            return
        packed = _packed(data) if len(data) <= SHARED else _packed.__wrapped__(data)
        self.call(function, "gzip", len(packed), *arguments)
        self._payload.append(packed)

    def receive(self, name: str, data: bytes) -> None:
        """Append a call that stores `data` as one of our own files on the host (apply.sh)."""
        self.send("receive", data, name)

    def script(self) -> bytes:
        parts = [library(name) for name in ("frames.sh", *self._libraries)]
        return "\n".join([*parts, *self._lines, ""]).encode("utf-8", "surrogateescape")

    def payload(self) -> bytes:
        return b"".join(self._payload)


@lru_cache(maxsize=16)
def _packed(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def quote(text: str) -> str:
    """`text` as one word of POSIX sh. Raises ValueError for NUL, which no word can hold."""
    if "\0" in text:
        raise ValueError("a NUL byte cannot be passed to a remote program")
    return shlex.quote(text)


@cache
def library(name: str) -> str:
    """A `.sh` file of this package without comments and indentation (they travel
    to every host on every run)."""
    lines = (line.strip() for line in resource_text(name).splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def resource_text(name: str) -> str:
    """A file of this package, as it is."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")
