"""Ansible's INI inventories: `[group]`, `[group:children]`, `[group:vars]`, host lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.diagnostics import nearest, printable
from provisioner.errors import InputError
from provisioner.inventory.addresses import RangeError, expand
from provisioner.inventory.iniwords import typed, words
from provisioner.marks import Map, Mark

if TYPE_CHECKING:
    from provisioner.inventory.build import Builder, GroupDraft

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_GROUP_NAME = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
#: How `surrogateescape` spells bytes that are no UTF-8.
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
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
    reader = _IniReader(file, builder, ascii_only=text.isascii())
    for number, line in enumerate(text.splitlines(), 1):
        reader.read(number, line)
    reader.finish()


class _IniReader:
    def __init__(self, file: str, builder: Builder, *, ascii_only: bool) -> None:
        self.file = file
        self.ascii_only = ascii_only
        self.builder = builder
        self.group = builder.groups["ungrouped"]
        self.kind = "hosts"
        self.pending: dict[str, _Pending] = {}

    def read(self, number: int, raw: str) -> None:
        line = raw.strip()
        if not line or line[0] in "#;":
            return
        first = line[0]
        offset = raw.index(first) + 1
        mark = Mark(self.file, number, offset)
        undecodable = None if self.ascii_only else _NOT_UTF8.search(line)
        if undecodable:
            raise InputError(
                f"byte 0x{ord(undecodable[0]) - 0xDC00:02x} is not UTF-8",
                mark=Mark(self.file, number, offset + undecodable.start()),
                help="save the file in UTF-8",
            )
        section = _SECTION.fullmatch(line) if first == "[" else None
        if section:
            self._section(section[1], section[2] or "hosts", mark)
        elif first == "[" and line[-1] == "]":
            raise InputError(
                f"this is no section header: {printable(line)}",
                mark=mark,
                help="an address with a port is [ADDRESS]:PORT, without one it has no brackets"
                if line.count(":") > 1
                else "write [group], [group:children] or [group:vars], without blanks",
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
        (pattern, _), *assignments = words(line, mark)
        names, port = self._expand(pattern, mark)
        variables = self._assigned(line, assignments, mark) if assignments else None
        for name in names:
            self.builder.add_host(name, self.group, mark, port)
            if variables:
                own = variables if len(names) == 1 else _copy(variables)
                self.builder.set_variables(name, own)

    def _assigned(self, line: str, assignments: list[tuple[str, int]], mark: Mark) -> Map:
        """The variables of a host line: its words behind the host, each with its column."""
        variables = Map(mark=mark)
        marks, key_marks = variables.marks, variables.key_marks
        file, number = mark.file, mark.line
        for word, column in assignments:
            key, equals, text = word.partition("=")
            at = Mark(file, number, column)
            if not equals:
                raise InputError(
                    f'"{printable(word)}" is no key=value',
                    mark=at,
                    help="write key=value without blanks around the ="
                    if "=" in (line[column - mark.column + len(word) :].lstrip()[:1], word[:1])
                    else "behind the host's name stand variables; one host a line",
                )
            if key in variables:
                self.builder.warn(
                    f'"{printable(key)}" is given twice in this line; the last one counts',
                    at,
                    "remove one of them",
                )
            key_marks[key] = at
            marks[key] = value_mark = Mark(file, number, column + len(key) + 1)
            variables[key] = typed(text, value_mark)
        return variables

    def _expand(self, pattern: str, mark: Mark) -> tuple[list[str], int | None]:
        if ":" not in pattern and "[" not in pattern and pattern.strip() != "---":
            return [pattern], None
        try:
            names, port = expand(pattern)
        except RangeError as error:
            raise InputError(
                f"{printable(pattern)}: {error}", mark=mark, help=printable(error.help)
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
            advice = f'did you mean "{guess}"?' if guess else f"add a section [{name}]"
            if name in self.builder.hosts:
                advice = f'"{name}" is a host: put it into a group, and name that one here'
            where = f"[{name}:vars]" if entry.only_vars else f"[{entry.parents[-1].name}:children]"
            raise InputError(
                f'{where} names the group "{printable(name)}", which is declared nowhere',
                mark=entry.mark,
                help=printable(advice),
            )


def _copy(variables: Map) -> Map:
    return Map(
        variables,
        mark=variables.mark,
        marks=variables.marks,
        key_marks=variables.key_marks,
    )
