"""Where text goes: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache
from typing import IO, TYPE_CHECKING

from provisioner.diagnostics import Diagnostic, Severity, printable, render
from provisioner.errors import ProvisionerError
from provisioner.report.plantext import Line

if TYPE_CHECKING:
    from rich.console import Console


def is_fancy(stream: object) -> bool:
    """Whether a stream gets colour and live display: a terminal, and nobody said no."""
    isatty = getattr(stream, "isatty", lambda: False)
    return bool(isatty()) and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def fancy_console(stream: IO[str]) -> Console:
    """A rich console on a terminal, that never guesses at markup or folds lines on its own."""
    return _console(stream, no_color=bool(os.environ.get("NO_COLOR")))


@cache
def _console(stream: IO[str], *, no_color: bool) -> Console:
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=True,
        no_color=no_color,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def print_lines(lines: Iterable[Line]) -> None:
    for line in lines:
        print_line(line.text, line.style)


def print_line(text: str, style: str | None = None, *, stderr: bool = False) -> None:
    """One line; where nothing can be fancy, without loading what makes it so."""
    # Whatever of it a host or a file said: a terminal takes no orders from it.
    text = "\n".join(map(printable, text.split("\n")))
    stream = sys.stderr if stderr else sys.stdout
    if is_fancy(stream):
        fancy_console(stream).print(text, style=style or None)
    else:
        stream.write(f"{text}\n")


def print_diagnostic(found: Diagnostic) -> None:
    style = "bold red" if found.severity is Severity.ERROR else "yellow"
    first, *rest = render(found).split("\n")
    print_line(first, style, stderr=True)
    for line in rest:
        print_line(line, stderr=True)


def print_error(error: ProvisionerError) -> None:
    for found in error.diagnostics():
        print_diagnostic(found)
