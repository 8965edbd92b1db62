"""Executable inventories: programs that print JSON when called with `--list`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.diagnostics import printable
from provisioner.errors import InputError
from provisioner.inventory.jsonfile import parse_json
from provisioner.inventory.readfile import MAX_FILE_BYTES, decode
from provisioner.marks import Map, Mark

if TYPE_CHECKING:
    from provisioner.inventory.build import Builder

#: Longest time one call of an inventory program may take, in seconds.
SECONDS = 60.0

_SECTIONS = ("hosts", "vars", "children")


def is_program(path: Path, data: bytes) -> bool:
    """Whether the file is one that can be run: executable, and a script or a binary."""
    return data[:2] == b"#!" or data[:4] == b"\x7fELF" if os.access(path, os.X_OK) else False


def read_program(path: Path, builder: Builder) -> None:
    """Put what the inventory program `path` prints into `builder`.

    Called with `--list`, and with `--host NAME` for every host where the list has no
    `_meta`. Raises InputError: it fails, takes too long, or prints something else.
    """
    listing = _run(path, "--list")
    meta = listing.get("_meta")
    known = meta.get("hostvars") if isinstance(meta, Map) else None
    hosts: dict[str, None] = {}
    for name, content in listing.items():
        if name != "_meta":
            _group(name, content, listing, builder, hosts)
    for name in hosts:
        variables = _run(path, "--host", name) if known is None else known.get(name)
        if not isinstance(variables, Map):
            continue
        for key, value in variables.items():
            builder.set_variable(
                name, key, value, variables.marks.get(key), variables.key_marks.get(key)
            )


def _run(path: Path, *arguments: str) -> Map:
    import subprocess  # most inventories are no programs

    where = Mark(str(path))
    by_hand = f"run it by hand: {path} {' '.join(arguments)}"
    try:
        done = subprocess.run(
            [os.path.abspath(path), *arguments],  # noqa: PTH100 - the path as named, links kept
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"the inventory program took longer than {SECONDS:g} s", mark=where, help=by_hand
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"the inventory program cannot be run: {error}", mark=where, help=by_hand
        ) from None
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise InputError(
            f"the inventory program failed (status {done.returncode})"
            + (f": {printable(last)}" if last else " and said nothing"),
            mark=where,
            help=by_hand,
        )
    if len(done.stdout) > MAX_FILE_BYTES:
        raise InputError("the inventory program prints too much", mark=where, help=by_hand)
    text = decode(done.stdout, f"{path} {' '.join(arguments)}")
    if arguments[0] == "--host" and not text.strip():
        return Map()
    document = parse_json(text, f"{path} {' '.join(arguments)}")
    if document is None or not isinstance(document.value, Map):
        raise InputError("the inventory program prints no JSON object", mark=where, help=by_hand)
    return document.value


def _group(name: Any, content: Any, listing: Map, builder: Builder, hosts: dict[str, None]) -> None:
    mark = listing.key_marks.get(name)
    group = builder.add_group(name, mark)
    if not isinstance(content, Map):
        content = Map({"hosts": content}, mark=mark)
    elif not any(key in content for key in _SECTIONS):
        content = Map({"hosts": [name], "vars": content}, mark=mark)
    members, variables = content.get("hosts", []), content.get("vars", Map())
    if not isinstance(members, list) or not all(isinstance(each, str) for each in members):
        raise _malformed(name, "hosts", "a list of names", mark)
    if not isinstance(variables, Map):
        raise _malformed(name, "vars", "an object", mark)
    for host in members:
        hosts[host] = None
        builder.add_host(host, group, mark)
    for key, value in variables.items():
        builder.set_variable(
            name, key, value, variables.marks.get(key), variables.key_marks.get(key)
        )
    children = content.get("children", [])
    if not isinstance(children, list):
        raise _malformed(name, "children", "a list of names", mark)
    for child in children:
        builder.add_child(group, builder.add_group(child, mark), mark)


def _malformed(group: str, key: str, kind: str, mark: Mark | None) -> InputError:
    return InputError(
        f'"{key}" of group "{printable(group)}" is to be {kind}',
        mark=mark,
        help="what `ansible-inventory --list` prints is the form",
    )
