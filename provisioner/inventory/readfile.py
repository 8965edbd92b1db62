"""Reading what a user wrote: bounded, and as text, or an error that says where."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from provisioner.errors import InputError
from provisioner.marks import Mark

if TYPE_CHECKING:
    from pathlib import Path

#: Largest file that is read, in bytes.
MAX_FILE_BYTES = 16 << 20

VAULT_HEADER = "$ANSIBLE_VAULT;"


def read_regular(path: Path, most: int) -> bytes:
    """The content of `path`. Raises OSError: unreadable, no regular file (EINVAL), larger than
    `most` bytes (EFBIG); ValueError: no path at all."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file")
    with path.open("rb") as source:
        data = source.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most >> 20} MiB")
    return data


#: Nothing is there, however it shows: no name, a file where a directory should be, a link to
#: itself.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def read_bytes(path: Path) -> bytes:
    """The content of `path`. Raises InputError: unreadable, no file, larger than the bound."""
    advice = "check the path"
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except ValueError:
        reason = "no such file"
    except OSError as error:
        if error.errno == errno.EFBIG:
            reason, advice = f"the file is {error.strerror}", "split it"
        elif error.errno == errno.EINVAL:
            reason = str(error.strerror)
        else:
            absent = error.errno in _ABSENT
            reason = "no such file" if absent else f"cannot be read: {error.strerror}"
    raise InputError(reason, mark=Mark(str(path)), help=advice)


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
