"""Messages that point: a place, what is wrong there, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from provisioner.marks import Mark
from provisioner.secrets import masked

#: Longest stretch of a source line that is shown under a message, in characters.
SNIPPET_WIDTH = 160
#: Longest message that is shown whole, in characters.
MESSAGE_WIDTH = 1000


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, order=True, slots=True)
class Diagnostic:
    """One finding: `message` says what and why, `help` what to do, `mark` where."""

    message: str
    mark: Mark | None = None
    help: str = ""
    severity: Severity = Severity.ERROR


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The known name most like `word`, if one is near enough (0 to 1) to be meant."""
    import difflib

    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)
    return matches[0] if matches else None


def printable(text: str) -> str:
    """`text` with control characters escaped: safe to show on a terminal."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def brief(text: str) -> str:
    """`text`, without its middle where it is longer than anybody reads."""
    if len(text) <= MESSAGE_WIDTH:
        return text
    return f"{text[: MESSAGE_WIDTH - 200]} […] {text[-150:]}"


def read_source_line(mark: Mark) -> str | None:
    """Line `mark.line` of `mark.file`, or None where it cannot be read."""
    try:
        with Path(mark.file).open(encoding="utf-8", errors="replace") as source:
            for number, line in enumerate(source, 1):
                if number == mark.line:
                    return line.rstrip("\r\n")
    except OSError:
        return None
    return None


def render(
    diagnostic: Diagnostic, source_line: Callable[[Mark], str | None] = read_source_line
) -> str:
    """The message as a compiler prints it: place, text, the line with a caret, help."""
    where = f"{diagnostic.mark}: " if diagnostic.mark else ""
    lines = [f"{where}{diagnostic.severity}: {printable(brief(masked(diagnostic.message)))}"]
    mark = diagnostic.mark
    text = source_line(mark) if mark and mark.line else None
    if mark and text is not None:
        shown = masked(text)[:SNIPPET_WIDTH].replace("\t", " ")
        gutter = f"{mark.line:>5} | "
        lines.append(gutter + printable(shown))
        if 0 < mark.column <= len(shown) + 1:
            lead = printable(shown[: mark.column - 1])
            lines.append(" " * (len(gutter) - 2) + "| " + " " * len(lead) + "^")
    if diagnostic.help:
        lines.append(f"  help: {printable(brief(masked(diagnostic.help)))}")
    return "\n".join(lines)
