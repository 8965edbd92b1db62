"""Logical lines: the one reader behind main.cf, master.cf and every lookup table source.

A line that starts with text begins a logical line; a line that starts with whitespace
continues it. Blank lines and comment lines, indented or not, are skipped wherever they
stand and end nothing. Rests on postconf(5), master(5), postmap(1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from provisioner.diagnostics import Diagnostic, Severity
from provisioner.marks import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What C's isspace() accepts, which is what Postfix trims and folds on. (Python's own
#: idea of whitespace is wider: a no-break space is text to Postfix.)
SPACE = " \t\n\v\f\r"

#: Separators of list values; braces protect them (Postfix 3.0 and later).
LIST_SEPARATORS = ", \t\r\n"

BOM = "\ufeff"

#: What a parameter may be called.
PARAMETER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+@-]*")
_BRACE = re.compile(r"[{}]")


@dataclass(frozen=True, slots=True)
class Physical:
    """One line of the file: `text[start:end]` with its line ending. `line` counts from 1."""

    start: int
    end: int
    line: int
    text: str

    @property
    def content(self) -> str:
        """The line without its newline; a carriage return stays, as it does for Postfix."""
        return self.text[:-1] if self.text.endswith("\n") else self.text

    @property
    def eol(self) -> str:
        """The line ending: CR LF, LF, or empty at the end of an unterminated file."""
        if self.text.endswith("\r\n"):
            return "\r\n"
        return "\n" if self.text.endswith("\n") else ""

    @property
    def is_content(self) -> bool:
        """Whether there is more on this line than blanks or a comment."""
        stripped = self.content.lstrip(SPACE)
        return bool(stripped) and not stripped.startswith("#")


@dataclass(frozen=True, slots=True)
class Logical:
    """One logical line: its content lines, without the comments and blanks between them."""

    parts: tuple[Physical, ...]

    @property
    def start(self) -> int:
        return self.parts[0].start

    @property
    def end(self) -> int:
        return self.parts[-1].end

    @property
    def line(self) -> int:
        return self.parts[0].line

    @property
    def text(self) -> str:
        """The text as Postfix joins it: newlines dropped, all other whitespace kept.

        What follows a NUL byte is cut off, as it is for every reader of C strings.
        """
        return "".join(part.content for part in self.parts).partition("\0")[0]

    @property
    def unfolded(self) -> str:
        """The text with each fold, and the whitespace around it, as a single blank."""
        joined = " ".join(part.content.strip(SPACE) for part in self.parts)
        return joined.partition("\0")[0]


@dataclass(frozen=True, slots=True)
class Lines:
    """A file cut into logical lines; `orphans` is indented text that Postfix ignores."""

    logical: tuple[Logical, ...]
    orphans: tuple[Physical, ...]


def physical_lines(text: str) -> Iterator[Physical]:
    """The lines of `text`, each with its line feed; other separators do not count."""
    start, number = 0, 1
    while start < len(text):
        stop = text.find("\n", start)
        end = len(text) if stop < 0 else stop + 1
        yield Physical(start, end, number, text[start:end])
        start, number = end, number + 1


def logical_lines(text: str) -> Lines:
    """Cut `text` into logical lines, as Postfix's readlline(3) does."""
    found: list[list[Physical]] = []
    orphans: list[Physical] = []
    for line in physical_lines(text):
        if not line.is_content:
            continue
        if line.text[0] not in SPACE:
            found.append([line])
        elif found:
            found[-1].append(line)
        else:
            orphans.append(line)
    return Lines(tuple(Logical(tuple(parts)) for parts in found), tuple(orphans))


def split_list(value: str, separators: str = LIST_SEPARATORS) -> list[str]:
    """The words of `value`; separators inside braces do not separate.

    An opening brace that is never closed protects everything to the end, as in Postfix.
    """
    words: list[str] = []
    begin, level = 0, 0
    for mark in _delimiters(separators).finditer(value):
        if mark[0] == "{":
            level += 1
        elif mark[0] == "}":
            level = max(level - 1, 0)
        elif level == 0:
            words.append(value[begin : mark.start()])
            begin = mark.end()
    words.append(value[begin:])
    return [word for word in words if word]


@cache
def _delimiters(separators: str) -> re.Pattern[str]:
    return re.compile(f"[{{}}{re.escape(separators)}]")


def balanced(value: str) -> bool:
    """Whether every brace in `value` has its partner, in the right order."""
    level = 0
    for brace in _BRACE.findall(value):
        level += 1 if brace == "{" else -1
        if level < 0:
            return False
    return level == 0


def is_encodable(text: str) -> bool:
    """Whether `text` can be written to a file: no surrogates but those of escaped bytes."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def file_problems(text: str, lines: Lines, file: str) -> list[Diagnostic]:
    """What is wrong with the file as such, whatever its lines mean."""
    found = [
        warning(
            f"ignored: indented text before the first entry: {orphan.text.strip()[:60]!r}",
            Mark(file, orphan.line, 1),
            "remove the blanks before it, or the line",
        )
        for orphan in lines.orphans
    ]
    if text.startswith(BOM):
        found.append(
            warning(
                "the file starts with a byte order mark, which becomes part of its first word",
                Mark(file, 1, 1),
                "save the file without it",
            )
        )
    found += [
        warning("text after a NUL byte is ignored", Mark(file, logical.line, 1), "remove it")
        for logical in lines.logical
        if any("\0" in part.text for part in logical.parts)
    ]
    if text and not text.endswith("\n"):
        found.append(
            warning(
                "the last line does not end in a newline",
                Mark(file, text.count("\n") + 1, 0),
                "text appended to the file would become part of that line",
            )
        )
    return found


def warning(message: str, mark: Mark, advice: str) -> Diagnostic:
    """A finding that Postfix passes over."""
    return Diagnostic(message, mark, advice, Severity.WARNING)
