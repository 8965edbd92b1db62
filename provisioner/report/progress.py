"""Progress while hosts are worked on: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from provisioner.fleet.events import (
    Event,
    HostEnded,
    HostNote,
    HostStarted,
    HostStep,
    RunEnded,
    RunStarted,
)
from provisioner.fleet.outcome import Status
from provisioner.report.console import fancy_console, is_fancy, print_line
from provisioner.report.plantext import counted

if TYPE_CHECKING:
    from rich.status import Status as Spinner

#: Hosts named in the live line.
NAMED = 4

_GOOD = frozenset({Status.OK, Status.CHANGED, Status.PENDING, Status.SKIPPED})


class Progress:
    """A listener. Use as a context manager; what it shows goes to standard error."""

    def __init__(self, *, verbose: bool = False, quiet: bool = False) -> None:
        self._live = is_fancy(sys.stderr) and not quiet
        self._verbose = verbose
        self._quiet = quiet
        self._spinner: Spinner | None = None
        self._running: dict[str, str] = {}
        self._total = self._done = self._bad = 0
        self._verb = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted(verb, hosts, run):
                self._verb, self._total = verb, len(hosts)
                self._done = self._bad = 0
                if self._live:
                    self._spinner = fancy_console(sys.stderr).status("")
                    self._spinner.start()
                    self._show()
                elif not self._quiet:
                    about = f" (run {run})" if run else ""
                    self._line(f"{verb}: {counted(len(hosts))}{about}")
            case HostStarted(host):
                self._running[host] = ""
                self._show()
            case HostStep(host, step):
                self._running[host] = step
                self._show()
                if self._verbose:
                    self._line(f"{host}: {step}")
            case HostNote(host, text):
                self._line(f"{host}: {text}", "yellow")
            case HostEnded(outcome):
                self._running.pop(outcome.host, None)
                self._done += 1
                self._bad += outcome.status not in _GOOD
                self._show()
                self._report(event)
            case RunEnded():
                self._stop()

    def _report(self, event: HostEnded) -> None:
        outcome = event.outcome
        if outcome.error is not None:
            text = (
                f"{outcome.host}: {outcome.status}: {outcome.error.step}: {outcome.error.message}"
            )
            self._line(text, "red")
            if outcome.error.help:
                self._line(f"  help: {outcome.error.help}")
        elif not self._live and not self._quiet:
            self._line(f"{outcome.host}: {outcome.status} ({outcome.seconds:.1f} s)")

    def _line(self, text: str, style: str | None = None) -> None:
        stamp = "" if self._live else f"{datetime.now():%H:%M:%S} "
        print_line(stamp + text, style, stderr=True)

    def _show(self) -> None:
        if self._spinner is None:
            return
        names = [f"{host} {step}".strip() for host, step in list(self._running.items())[:NAMED]]
        more = len(self._running) - len(names)
        doing = ", ".join(names) + (f" and {more} more" if more else "")
        failed = f", {self._bad} failed" if self._bad else ""
        from rich.text import Text

        self._spinner.update(
            Text(f"{self._verb}: {self._done}/{self._total} done{failed}; {doing}"[:200])
        )

    def _stop(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None
