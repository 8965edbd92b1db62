"""Where text goes: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from provisioner.diagnostics import Diagnostic, Severity, render
from provisioner.errors import ProvisionerError
from provisioner.report.plantext import Line

if TYPE_CHECKING:
    from rich.console import Console


def is_fancy(stream: object) -> bool:
    """Whether a stream gets colour and live display: a terminal, and nobody said no."""
    isatty = getattr(stream, "isatty", lambda: False)
    return bool(isatty()) and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def console(*, stderr: bool = False) -> Console:
    """A rich console that never guesses at markup or folds lines on its own."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        force_terminal=is_fancy(stream),
        no_color=bool(os.environ.get("NO_COLOR")) or not is_fancy(stream),
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def print_lines(lines: Iterable[Line]) -> None:
    out = console()
    for line in lines:
        out.print(line.text, style=line.style or None)


def print_diagnostic(found: Diagnostic) -> None:
    style = "bold red" if found.severity is Severity.ERROR else "yellow"
    first, *rest = render(found).split("\n")
    err = console(stderr=True)
    err.print(first, style=style)
    for line in rest:
        err.print(line)


def print_error(error: ProvisionerError) -> None:
    for found in error.diagnostics():
        print_diagnostic(found)
