"""Ansible's INI inventories: `[group]`, `[group:children]`, `[group:vars]`, host lines."""

from __future__ import annotations

import ast
import io
import re
import shlex
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner.diagnostics import nearest, printable
from provisioner.errors import InputError
from provisioner.inventory.addresses import expand
from provisioner.inventory.values import MAX_NUMBER_BITS, UnsafeText
from provisioner.marks import Map, Mark, Seq

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.inventory.build import Builder, GroupDraft

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_GROUP_NAME = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_PLAIN_WORD = re.compile(r"[^ \t\r\n]+")
#: How `surrogateescape` spells bytes that are no UTF-8.
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
#: Names and addresses: Python would see an expression or nothing in them, never a literal.
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./@:-]{0,200}|[0-9]{1,3}(?:\.[0-9]{1,3}){2,3}")
_NAMED_LITERALS = ("True", "False", "None")
_SMALL_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
#: With none of these in a line, words are what stands between blanks.
_NEEDS_SHLEX = frozenset("\"'\\#")
_KINDS = ("hosts", "children", "vars")


@dataclass(slots=True)
class _Pending:
    """A group that was mentioned before it was declared."""

    mark: Mark
    parents: list[GroupDraft]
    only_vars: bool


def looks_like_ini(text: str) -> bool:
    """Whether some line of `text` is a section header."""
    return any(_SECTION.fullmatch(line.strip()) for line in text.splitlines())


def read_ini(data: bytes, file: str, builder: Builder) -> None:
    """Put what the INI inventory `data` says into `builder`.

    Bytes that are not UTF-8 are tolerated in comment lines only. Raises InputError at
    the first thing that cannot be understood.
    """
    text = data.decode("utf-8", "surrogateescape")
    if text.startswith("\ufeff"):
        builder.warn("a byte order mark stands here", Mark(file, 1, 1), "save without BOM")
        text = text[1:]
    reader = _IniReader(file, builder)
    for number, line in enumerate(text.splitlines(), 1):
        reader.read(number, line)
    reader.finish()


class _IniReader:
    def __init__(self, file: str, builder: Builder) -> None:
        self.file = file
        self.builder = builder
        self.group = builder.groups["ungrouped"]
        self.kind = "hosts"
        self.pending: dict[str, _Pending] = {}

    def read(self, number: int, raw: str) -> None:
        line = raw.strip()
        if not line or line[0] in "#;":
            return
        offset = raw.index(line[0]) + 1
        mark = Mark(self.file, number, offset)
        undecodable = None if line.isascii() else _NOT_UTF8.search(line)
        if undecodable:
            raise InputError(
                f"byte 0x{ord(undecodable[0]) - 0xDC00:02x} is not UTF-8",
                mark=Mark(self.file, number, offset + undecodable.start()),
                help="save the file in UTF-8",
            )
        section = _SECTION.fullmatch(line)
        if section:
            self._section(section[1], section[2] or "hosts", mark)
        elif line.startswith("[") and line.endswith("]"):
            raise InputError(
                f"this is no section header: {printable(line)}",
                mark=mark,
                help="write [group], [group:children] or [group:vars], without blanks",
            )
        elif self.kind == "hosts":
            self._host_line(line, mark)
        elif self.kind == "vars":
            self._variable_line(line, mark)
        else:
            self._child_line(line, mark)

    def _section(self, name: str, kind: str, mark: Mark) -> None:
        if kind not in _KINDS:
            guess = nearest(kind, _KINDS)
            raise InputError(
                f'a section is of no kind "{printable(kind)}"',
                mark=mark,
                help=f"did you mean [{name}:{guess}]?" if guess else "children or vars",
            )
        if name not in self.builder.groups and kind == "vars" and name not in self.pending:
            self.pending[name] = _Pending(mark, [], only_vars=True)
        self.group = self.builder.add_group(name, mark)
        self.kind = kind
        if name in self.pending and kind != "vars":
            if self.pending[name].only_vars:
                del self.pending[name]
            else:
                self._adopt(name)

    def _adopt(self, name: str) -> None:
        """Hang the now declared group `name` below those that named it as a child."""
        entry = self.pending.pop(name)
        for parent in entry.parents:
            self.builder.add_child(parent, self.builder.groups[name], entry.mark)
            above = self.pending.get(parent.name)
            if above is not None and not above.only_vars:
                self._adopt(parent.name)

    def _host_line(self, line: str, mark: Mark) -> None:
        words = list(_words(line, mark))
        pattern, place = words[0]
        names, port = self._expand(pattern, place)
        variables = Map(mark=place)
        for word, at in words[1:]:
            key, equals, text = word.partition("=")
            if not equals:
                raise InputError(
                    f'"{printable(word)}" is no key=value',
                    mark=at,
                    help="behind the host's name stand variables; one host a line",
                )
            if key in variables:
                self.builder.warn(
                    f'"{printable(key)}" is given twice in this line; the last one counts',
                    at,
                    "remove one of them",
                )
            value_mark = Mark(at.file, at.line, at.column + len(key) + 1)
            variables[key] = typed(text, value_mark)
            variables.marks[key], variables.key_marks[key] = value_mark, at
        for name in names:
            self.builder.add_host(name, self.group, place, port)
            self.builder.set_variables(name, variables)

    def _expand(self, pattern: str, mark: Mark) -> tuple[list[str], int | None]:
        try:
            names, port = expand(pattern)
        except ValueError as error:
            raise InputError(
                f"{printable(pattern)}: {error}",
                mark=mark,
                help="[1:9], [01:20], [a:f] or [1:9:2]; a section header stands alone on its line",
            ) from None
        if pattern.strip().endswith(":") and port is None:
            raise InputError(
                f'a host\'s name cannot end in ":": {printable(pattern)}',
                mark=mark,
                help="if this file is YAML, name it .yml",
            )
        if "---" in [name.strip() for name in names]:
            raise InputError(
                "this looks like YAML, not like an INI inventory",
                mark=mark,
                help="name the file .yml",
            )
        if not names:
            self.builder.warn(
                f"the range {printable(pattern)} is empty", mark, "begin must not be behind end"
            )
        return names, port

    def _variable_line(self, line: str, mark: Mark) -> None:
        key, equals, rest = line.partition("=")
        if not equals:
            raise InputError(
                f"key=value expected: {printable(line)}",
                mark=mark,
                help=f"hosts stand in [{self.group.name}], not in [{self.group.name}:vars]",
            )
        text = rest.strip()
        lead = len(rest) - len(rest.lstrip())
        value_mark = Mark(mark.file, mark.line, mark.column + len(key) + 1 + lead)
        value = typed(text, value_mark)
        if isinstance(value, str) and re.search(r"\s[#;]", text) and text[0] not in "\"'":
            self.builder.warn(
                f"in [{self.group.name}:vars] a comment is part of the value",
                value_mark,
                "put the comment on a line of its own, or quote the value",
            )
        self.builder.set_variable(self.group.name, key.strip(), value, value_mark, mark)

    def _child_line(self, line: str, mark: Mark) -> None:
        found = _GROUP_NAME.fullmatch(line)
        if not found:
            raise InputError(
                f"a group's name expected: {printable(line)}",
                mark=mark,
                help=f"[{self.group.name}:children] names one group a line, and nothing else",
            )
        name = found[1]
        child = self.builder.groups.get(name)
        if child is not None:
            self.builder.add_child(self.group, child, mark)
        elif name in self.pending:
            self.pending[name].parents.append(self.group)
        else:
            self.pending[name] = _Pending(mark, [self.group], only_vars=False)

    def finish(self) -> None:
        """Raise InputError for the first group that was mentioned and never declared."""
        declared = [name for name in self.builder.groups if name not in self.pending]
        for name, entry in self.pending.items():
            guess = nearest(name, declared)
            where = f"[{name}:vars]" if entry.only_vars else f"[{entry.parents[-1].name}:children]"
            raise InputError(
                f'{where} names the group "{printable(name)}", which is declared nowhere',
                mark=entry.mark,
                help=f'did you mean "{guess}"?' if guess else f"add a section [{name}]",
            )


def _words(line: str, mark: Mark) -> Iterator[tuple[str, Mark]]:
    """The words of a host line, each with its place, quotes and comments as in a shell."""
    if _NEEDS_SHLEX.isdisjoint(line):
        for found in _PLAIN_WORD.finditer(line):
            yield found[0], Mark(mark.file, mark.line, mark.column + found.start())
        return
    source = io.StringIO(line)
    lexer = shlex.shlex(source, posix=True)
    lexer.whitespace_split = True
    while True:
        start = source.tell()
        start += len(line[start:]) - len(line[start:].lstrip(" \t\r\n"))
        place = Mark(mark.file, mark.line, mark.column + start)
        try:
            word = lexer.get_token()
        except ValueError as error:
            raise InputError(
                f"the line cannot be split into words: {str(error).lower()}",
                mark=place,
                help='close the quote, or write "..." around a value with a quote in it',
            ) from None
        if word is None:
            return
        yield word, place


def typed(text: str, mark: Mark) -> Any:
    """The value that `text` stands for: a Python literal if it is one, itself otherwise."""
    # Asking Python's parser is what costs most in a large inventory; these need no asking.
    if _WORD.fullmatch(text) and text not in _NAMED_LITERALS:
        return text
    if _SMALL_NUMBER.fullmatch(text):
        return int(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    except (TypeError, MemoryError, RecursionError) as error:
        raise InputError(
            f"the value cannot be read: {str(error) or type(error).__name__}",
            mark=mark,
            help="quote the value",
        ) from None
    return _plain(value, mark)


def _plain(value: Any, mark: Mark) -> Any:
    """A literal's value in the types that variables have."""
    if isinstance(value, (list, tuple)):
        return Seq([_plain(item, mark) for item in value], mark=mark, marks=[mark] * len(value))
    if isinstance(value, set):
        return _plain(sorted(value, key=repr), mark)
    if isinstance(value, dict):
        places = dict.fromkeys(value, mark)
        items = {key: _plain(item, mark) for key, item in value.items()}
        return Map(items, mark=mark, marks=places, key_marks=places)
    if isinstance(value, bytes):
        return UnsafeText(value.decode("utf-8", "replace"))  # Ansible's reading of b'...'
    if isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
        raise InputError("the number is too large", mark=mark, help="quote the value")
    if value is ...:
        return "..."
    return str(value) if isinstance(value, complex) else value
