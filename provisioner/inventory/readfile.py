"""Reading what a user wrote: bounded, and as text, or an error that says where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from provisioner.errors import InputError
from provisioner.marks import Mark

if TYPE_CHECKING:
    from pathlib import Path

#: Largest file that is read, in bytes.
MAX_FILE_BYTES = 16 << 20

VAULT_HEADER = "$ANSIBLE_VAULT;"


def read_bytes(path: Path) -> bytes:
    """The content of `path`. Raises InputError: unreadable, no file, larger than the bound."""
    mark = Mark(str(path))
    try:
        if not path.is_file():
            raise InputError(
                "not a regular file" if path.exists() else "no such file",
                mark=mark,
                help="check the path",
            )
        with path.open("rb") as source:
            data = source.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise InputError(f"cannot be read: {reason}", mark=mark, help="check the path") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            f"the file is larger than {MAX_FILE_BYTES >> 20} MiB", mark=mark, help="split it"
        )
    return data


def decode(data: bytes, file: str) -> str:
    """`data` as UTF-8 text. Raises InputError at the first byte that is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line_start = before.rfind(b"\n") + 1
        mark = Mark(
            file,
            before.count(b"\n") + 1,
            len(before[line_start:].decode("utf-8", "replace")) + 1,
        )
        raise InputError(
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            mark=mark,
            help="save the file in UTF-8",
        ) from None


def read_text(path: Path) -> str:
    """The content of `path` as UTF-8 text. Raises InputError."""
    return decode(read_bytes(path), str(path))
