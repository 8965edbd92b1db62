"""Lookup tables: their types, their sources as postmap(1) reads them, what a dump shows.

Rests on postmap(1), access(5), DATABASE_README. An *indexed* table is compiled from a
source; `indexed:` stands for whichever compiled type the host has and prefers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provisioner.marks import Mark
from provisioner.postfix.logical import (
    SPACE,
    Logical,
    file_problems,
    is_encodable,
    logical_lines,
    warning,
)
from provisioner.postfix.splice import encode
from provisioner.postfix.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provisioner.diagnostics import Diagnostic

#: The symbolic type: resolved on each host with `resolve_indexed`.
INDEXED = "indexed"

#: Types that postmap compiles, and what it appends to the source's name.
COMPILED = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb"}


#: Types that some distributions have in a package of their own, `postfix-TYPE`.
PACKAGED = ("pcre", "lmdb", "cdb")


def compiled_suffix(how: str) -> str:
    """What the compiler appends to the source's name; empty for what is not compiled. `how`
    may begin with `alias-`."""
    return COMPILED.get(how.removeprefix("alias-"), "")


#: Types whose file a process reads once, when it starts.
READ_ONCE = frozenset({"regexp", "pcre", "cidr", "texthash"})

#: Types whose keys are patterns, tried in file order.
PATTERNS = frozenset({"regexp", "pcre", "cidr"})

#: What postmap says on standard error without anything being wrong with the table: Debian's
#: 3.11 advises against Berkeley DB on every run.
HARMLESS = re.compile(
    r"hash/btree support is deprecated|See \S*NON_BERKELEYDB_README\S* for more info"
)

_PREFERENCE = ("lmdb", "cdb", "hash", "btree", "texthash")
_FILE_TYPES = frozenset({INDEXED, *COMPILED, *READ_ONCE})
_PREFIX = r"(?:(?<=[\s,{:])|^)"
_SYMBOL = re.compile(_PREFIX + INDEXED + r":(?=[/$])")
_PATH = r"(?=[/$])((?:\$\{[^{}]*\}|[^\s,{}])+)"
_REFERENCE = re.compile(_PREFIX + r"([a-z][a-z0-9_]*):" + _PATH)

_PLAIN_ALIAS = re.compile(r"[A-Za-z0-9._+-]+")

#: First line of every source we write.
HEADER = "# Managed by provisioner: changes made here are overwritten."


@dataclass(frozen=True, slots=True)
class Entry:
    """One key and its value. `line` is where it was read; 0 for one that was not."""

    key: str
    value: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Table:
    """A table source as postmap understands it: the entries it would store, in order."""

    entries: tuple[Entry, ...]
    problems: tuple[Diagnostic, ...] = ()

    @property
    def values(self) -> dict[str, str]:
        return {entry.key: entry.value for entry in self.entries}


def resolve_indexed(supported: Iterable[str], default: str) -> str:
    """What `indexed:` means on a host: the best type it has.

    `supported` are the types of `postconf -m`, `default` its `default_database_type`.
    Raises ValueError where the host has no file-based type at all.
    """
    available = set(supported)
    if default in available and default in COMPILED:
        return default
    for candidate in _PREFERENCE:
        if candidate in available:
            return candidate
    raise ValueError(
        f"none of the table types {', '.join(_PREFERENCE)} is supported; "
        f"postconf -m says: {', '.join(sorted(available)) or 'nothing'}"
    )


def can_dump(type: str, version: Version) -> bool:  # noqa: A002 - Postfix's own word
    """Whether `postmap -s` can list a table of that type, so that `dump` has a counterpart.

    A cdb can be listed since Postfix 3.10; before, compare its bytes: the same source
    compiles to the same cdb on every run and version.
    """
    return type in COMPILED and (type != "cdb" or version >= Version(3, 10))


def complaints(stderr: str) -> list[str]:
    """The lines of postmap's standard error that mean something is wrong with the table.

    postmap ends with status 0 whatever it skips; its warnings are the only sign.
    """
    lines = (line.strip() for line in stderr.splitlines())
    return [line for line in lines if line and not HARMLESS.search(line)]


def substitute(value: str, type: str) -> str:  # noqa: A002 - Postfix's own word
    """`value` with the map type `indexed:` replaced by the real `type`."""
    return _SYMBOL.sub(f"{type}:", value)


def references(value: str) -> list[tuple[str, str]]:
    """The file-based tables that `value` names, as (type, path), each once, in order."""
    found = (match.groups() for match in _REFERENCE.finditer(value))
    return list(dict.fromkeys((kind, path) for kind, path in found if kind in _FILE_TYPES))


def fold_key(key: str) -> str:
    """`key` as tables of fixed strings store and look it up."""
    return key.lower() if key.isascii() else key.casefold()


def parse(text: str, file: str = "table", *, fold: bool = True) -> Table:
    """Read an indexed (or texthash) source as postmap does with `smtputf8_enable = yes`.

    Raises nothing. Keys are folded to lower case unless `fold` is off. Of entries with the
    same key the first counts; an entry without value is skipped; both are findings in
    `problems`.
    """
    lines = logical_lines(text)
    problems = file_problems(text, lines, file)
    entries: dict[str, Entry] = {}
    for logical in lines.logical:
        split = _split(logical)
        if isinstance(split, str):
            problems.append(warning(split, Mark(file, logical.line, 1), "postmap skips it"))
            continue
        key = fold_key(split[0]) if fold else split[0]
        if key in entries:
            problems.append(
                warning(
                    f"key {key!r} was given in line {entries[key].line} already",
                    Mark(file, logical.line, 1),
                    "the first one counts; remove one of them",
                )
            )
            continue
        entries[key] = Entry(key, split[1], logical.line)
    problems.sort(key=lambda each: each.mark.line if each.mark else 0)
    return Table(tuple(entries.values()), tuple(problems))


def _split(logical: Logical) -> tuple[str, str] | str:
    """Key and value of a logical line, or what is wrong with it."""
    text = logical.text
    if not _is_utf8(text):
        return f"not UTF-8: {text[:60]!r}"
    end = _key_end(text)
    if end is None:
        return f"unbalanced double quote: {text[:60]!r}"
    key, value = text[:end], text[end:].strip(SPACE)
    if not key or not value:
        return f"no value after the key: {text.strip(SPACE)[:60]!r}"
    return key, value


def _key_end(text: str) -> int | None:
    """Where the key ends: at the first blank outside double quotes. None if one stays open."""
    quoted, at = False, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] in SPACE and not quoted:
            break
        elif text[at] == '"':
            quoted = not quoted
        at += 1
    return None if quoted else min(at, len(text))


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def render(entries: Iterable[Entry], type: str = INDEXED) -> str:  # noqa: A002 - Postfix's word
    """The source of a table: a header comment, one entry to a line in the given order.

    Keys of indexed and texthash tables are written folded; those of pattern tables as
    given. Raises ValueError, saying what and why, for an entry that would not come out as
    it went in.
    """
    lines = [HEADER]
    seen: set[str] = set()
    for entry in entries:
        check_entry(entry, type)
        key = entry.key if type in PATTERNS else fold_key(entry.key)
        if key in seen and type not in PATTERNS:
            raise ValueError(f"key {key!r} is given twice; Postfix would use the first only")
        seen.add(key)
        lines.append(f"{key} {entry.value}")
    return "\n".join(lines) + "\n"


def check_path(path: str) -> None:
    """Raise ValueError where main.cf could not name a table by that path."""
    if any(char in " \t,{}" for char in path):
        raise ValueError(f"{path!r}: blanks, commas and braces cannot stand in a table's path")


_PLAIN_KEY = re.compile(r"[A-Za-z0-9@._+/-]+")
_PLAIN_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def check_entry(entry: Entry, type: str = INDEXED) -> None:  # noqa: A002 - Postfix's own word
    """Raise ValueError where `entry` would not survive in a source of that type."""
    key, value = entry.key, entry.value
    if _PLAIN_KEY.fullmatch(key) and _PLAIN_VALUE.fullmatch(value):
        return  # nearly all are, and a table may have a million
    for what, text in (("key", key), ("value", value)):
        if not text:
            raise ValueError(f"empty {what} in entry {key!r} {value!r}; Postfix would skip it")
        if any(ord(char) < 0x20 and char != "\t" for char in text) or "\x7f" in text:
            raise ValueError(f"{what} {text!r} contains a newline or control character")
        if text != text.strip(SPACE):
            raise ValueError(f"blanks at the ends of {what} {text!r} would be lost")
        if not is_encodable(text) or not _is_utf8(text):
            raise ValueError(f"{what} {text!r} is not text that a table can hold")
    if key.startswith("#"):
        raise ValueError(f"key {key!r} would be read as a comment")
    if type in PATTERNS:
        return
    if key.endswith(":"):
        raise ValueError(f"key {key!r} ends in a colon, as in an alias file; postmap warns of it")
    if _key_end(f"{key} ") != len(key):
        raise ValueError(f"key {key!r} contains a blank or an open double quote")


def inline(entries: Iterable[Entry]) -> str:
    """A table that stands in main.cf itself (`inline:{…}`, Postfix 3.0 and later).

    Raises ValueError for what cannot be written so.
    """
    given = list(entries)
    if not given:
        raise ValueError("an inline table has at least one entry")
    for entry in given:
        check_entry(entry)
        if set("{}=$") & set(entry.key) or set("{}$") & set(entry.value):
            raise ValueError(f"{entry.key} {entry.value}: braces, $ and = cannot stand inline")
    pairs = ", ".join(f"{{{entry.key} = {entry.value}}}" for entry in given)
    return f"inline:{{{pairs}}}"


def render_aliases(entries: Iterable[Entry]) -> str:
    """The source of an aliases(5) table, for postalias(1). Raises ValueError as `render`."""
    lines = [HEADER]
    for entry in entries:
        check_entry(entry)
        if '"' in entry.key or "\\" in entry.key:
            raise ValueError(f"key {entry.key!r}: quotes and \\ cannot stand in an alias")
        key = entry.key if _PLAIN_ALIAS.fullmatch(entry.key) else f'"{entry.key}"'
        lines.append(f"{key}: {entry.value}")
    return "\n".join(lines) + "\n"


def dump(entries: Iterable[Entry]) -> str:
    """What `postmap -s TYPE:FILE | LC_ALL=C sort` prints for a table of these entries."""
    lines = [f"{fold_key(entry.key)}\t{entry.value}\n" for entry in entries]
    return "".join(sorted(lines, key=encode))
