"""main.cf: read it as Postfix does, edit it without touching anything else.

Rests on postconf(5) ("Main.cf file format") and postconf(1). The text is that of the file
decoded as described in `provisioner.postfix`; CR LF files, a byte order mark and a missing
final newline are read as Postfix reads them and reported in `MainCf.problems`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from provisioner.diagnostics import Diagnostic
from provisioner.marks import Mark
from provisioner.postfix import macros
from provisioner.postfix.logical import (
    BOM,
    PARAMETER,
    SPACE,
    Logical,
    balanced,
    file_problems,
    is_encodable,
    logical_lines,
    split_list,
    warning,
)
from provisioner.postfix.splice import Edit, Editor

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Indentation of the entries of a list that we write one to a line.
INDENT = "    "
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

#: Parameters that Postfix takes as they are, without expanding `$`, at start.
RAW = frozenset(
    {
        "command_execution_directory",
        "default_rbl_reply",
        "forward_path",
        "luser_relay",
        "mailbox_command",
        "postscreen_expansion_filter",
        "postscreen_reject_footer",
        "smtpd_expansion_filter",
        "smtpd_reject_footer",
    }
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting as written.

    `value` is what Postfix programs read (`postconf -n` prints it with each run of blanks
    as one). `unfolded` is the same with each fold, and the whitespace around it, as a
    single blank. `start` and `end` are character offsets of the logical line (with its
    newline, and any comments inside it); `line` counts from 1.
    """

    name: str
    value: str
    start: int
    end: int
    line: int
    unfolded: str
    source: Logical = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class MainCf:
    """A main.cf as Postfix understands it.

    `entries` holds every occurrence in file order, `parameters` the last of each name,
    which is the one that counts. A finding of severity ERROR in `problems` stops every
    Postfix program; a WARNING is something it ignores in silence or nearly so.
    """

    entries: tuple[Parameter, ...]
    problems: tuple[Diagnostic, ...] = ()
    parameters: dict[str, Parameter] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", {entry.name: entry for entry in self.entries})

    @property
    def values(self) -> dict[str, str]:
        """Every parameter that is set, and its value as Postfix programs read it."""
        return {entry.name: entry.value for entry in self.entries}

    def get(self, name: str) -> str | None:
        """The value of `name` as Postfix programs read it, or None where it is not set."""
        found = self.parameters.get(name)
        return found.value if found else None


@dataclass(frozen=True, slots=True)
class Value:
    """A value to write. With `fold`, it is a list: one entry to a line, blanks do not matter.
    `written` is the whole setting as it once stood in a file, with its blanks and line ends."""

    text: str
    fold: bool = False
    written: str = ""


@lru_cache(maxsize=64)
def parse(text: str, file: str = "main.cf") -> MainCf:
    """Read `text`; `file` is the name that problems are reported under. Raises nothing.

    Planning asks for the same text many times, and hosts often have the same file.
    """
    lines = logical_lines(text)
    entries: list[Parameter] = []
    problems = file_problems(text, lines, file)
    for logical in lines.logical:
        entry = _parameter(logical)
        if entry is None:
            problems.append(
                Diagnostic(
                    f"no 'name = value' on this line: {logical.text.strip(SPACE)[:60]!r}",
                    Mark(file, logical.line, 1),
                    "every Postfix program refuses to run with it; comment it out or complete it",
                )
            )
        else:
            entries.append(entry)
    problems += _duplicates(entries, file)
    problems.sort(key=lambda each: each.mark.line if each.mark else 0)
    return MainCf(tuple(entries), tuple(problems))


def _parameter(logical: Logical) -> Parameter | None:
    split = split_setting(logical.text)
    if split is None:
        return None
    name, value = split
    again = split_setting(logical.unfolded)
    unfolded = again[1] if again else value
    return Parameter(name, value, logical.start, logical.end, logical.line, unfolded, logical)


def written(text: str, entry: Parameter) -> str:
    """How `entry` of the file `text` is written, without the comments inside it; empty where
    that is how `render` would write it, or where the line ends are not plain."""
    lines = text[entry.start : entry.end].rstrip("\n").split("\n")
    found = "\n".join(line for line in lines if line.strip(SPACE) and line.lstrip(SPACE)[0] != "#")
    again = parse(found + "\n").entries
    if "\r" in found or [each.value for each in again] != [entry.value]:
        return ""
    return "" if found == render(entry.name, Value(entry.value)) else found


def split_setting(text: str) -> tuple[str, str] | None:
    """Name and value of `name = value`, trimmed; None where Postfix finds no setting."""
    before, equals, after = text.partition("=")
    name = before.strip(SPACE)
    if not equals or not name or any(char in SPACE for char in name):
        return None
    return name, after.strip(SPACE)


def _duplicates(entries: list[Parameter], file: str) -> list[Diagnostic]:
    last = {entry.name: entry for entry in entries}
    return [
        warning(
            f"{entry.name} is set again in line {last[entry.name].line}; this one has no effect",
            Mark(file, entry.line, 1),
            "remove it",
        )
        for entry in entries
        if last[entry.name] is not entry
    ]


def same_value(current: Parameter, wanted: str, *, fold: bool = False) -> bool:
    """Whether `current` already says `wanted`, however it is folded.

    For a list (`fold`), commas and blanks between the entries do not matter either.
    """
    if fold:
        return split_list(current.value) == split_list(wanted)
    return wanted in (current.value, current.unfolded)


def edit(text: str, changes: Mapping[str, str | Value | None]) -> Edit:
    """Set (text, may be empty) or remove (None) parameters; see `Edit` for the result.

    A parameter that already has its value is left as it is written. Otherwise its last
    occurrence is rewritten in place and earlier ones are removed; one that does not occur
    is appended. Comments and blank lines inside a rewritten or removed value stay, after
    it. Raises ValueError for a name or value that `check_value` refuses.
    """
    editor = Editor(text)
    entries: dict[str, list[Parameter]] = {}
    for entry in parse(text).entries:
        entries.setdefault(entry.name, []).append(entry)
    for name, change in changes.items():
        value = Value(change) if isinstance(change, str) else change
        if value is not None:
            check_value(name, value.text, fold=value.fold)
            _set(editor, entries, name, value)
        else:
            for entry in entries.get(name, []):
                editor.remove(entry.source)
    return editor.finish()


def _set(editor: Editor, entries: dict[str, list[Parameter]], name: str, value: Value) -> None:
    found = entries.get(name)
    hidden = entries.get(BOM + name)
    if found:
        *earlier, last = found
        for entry in earlier:
            editor.remove(entry.source)
            editor.note(
                f"{name}: the earlier setting in line {entry.line}, overridden by that in line "
                f"{last.line}, was removed"
            )
        if not same_value(last, value.text, fold=value.fold):
            editor.rewrite(last.source, render(name, value))
    elif hidden:
        # Postfix sees no such parameter; the administrator surely does.
        editor.note(f"{name}: the byte order mark that hid the setting from Postfix was removed")
        editor.rewrite(hidden[0].source, render(name, value))
    else:
        editor.append(render(name, value))


def render(name: str, value: Value) -> str:
    """`name = value` as we write it, without the final newline; lists one entry to a line."""
    if value.written:
        return value.written
    if value.fold:
        items = list_items(value.text)
        if len(items) > 1:
            return f"{name} =\n{INDENT}" + f",\n{INDENT}".join(items)
    return f"{name} = {value.text}" if value.text else f"{name} ="


def list_items(value: str) -> list[str]:
    """The entries of a list that is separated by commas outside braces."""
    stripped = (item.strip(SPACE) for item in split_list(value, ","))
    return [item for item in stripped if item]


def check_name(name: str) -> None:
    """Raise ValueError where `name` cannot name a parameter."""
    if not PARAMETER.fullmatch(name):
        raise ValueError(
            f"{name!r} is no parameter name: letters, digits and _ (. : + @ - inside) make one"
        )


def check_value(name: str, value: str, *, fold: bool = False) -> None:
    """Raise ValueError, saying what and why, where `value` would not survive in main.cf."""
    check_name(name)
    if "\n" in value or "\r" in value:
        raise ValueError(f"{name}: a value is one line; Postfix has no way to write a newline")
    if control := _CONTROL.search(value):
        raise ValueError(f"{name}: control character {control[0]!r} in the value")
    if value != value.strip(SPACE):
        raise ValueError(f"{name}: blanks at the ends of {value!r} would be lost")
    if not is_encodable(value):
        raise ValueError(f"{name}: the value is not text that a file can hold")
    if name not in RAW:
        try:
            macros.check(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}; every Postfix program would stop") from None
    if fold:
        _check_list(name, value)


def _check_list(name: str, value: str) -> None:
    if not balanced(value):
        raise ValueError(f"{name}: unbalanced braces in {value!r}")
    for item in split_list(value):
        if item.startswith("#"):
            raise ValueError(f"{name}: {item!r} in a list would be read as a comment")
