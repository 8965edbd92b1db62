"""The last lines of a run: how many hosts ended how, and which need attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from provisioner.fleet.outcome import Outcome
from provisioner.report.console import print_line
from provisioner.report.plantext import Line

_STYLES = {"changed": "green", "ok": "green"}


def recap(outcomes: Sequence[Outcome], *, run: str, unfinished: int = 0) -> None:
    """Print the recap on standard output."""
    counts = Counter(str(outcome.status) for outcome in outcomes)
    if unfinished:
        counts["not finished"] = unfinished
    text = ", ".join(f"{number} {status}" for status, number in counts.items())
    bad = any(status not in _STYLES for status in counts)
    print_line(f"Run {run}: {text or 'nothing was done'}.", "bold red" if bad else "bold green")
    if unfinished:
        print_line(
            "What a host had received whole it completes by itself; anything else it discards. "
            "Run apply again: it completes what is missing."
        )


def status_lines(outcomes: Sequence[Outcome]) -> Iterator[Line]:
    """One line a host: as desired, drifted (and where), or why it is not known."""
    width = max((len(outcome.host) for outcome in outcomes), default=0)
    for outcome in outcomes:
        name = f"{outcome.host:<{width}}"
        if outcome.error is not None:
            yield Line(f"{name}  {outcome.status}: {outcome.error.message}", "red")
            continue
        plan = outcome.plan
        if plan is None or plan.empty:
            orphans = f" ({len(plan.orphans)} orphans)" if plan and plan.orphans else ""
            yield Line(f"{name}  ok{orphans}", "green")
            continue
        addresses = list(dict.fromkeys(change.address for change in plan.changes))
        shown = ", ".join(addresses[:5]) + (
            f" and {len(addresses) - 5} more" if addresses[5:] else ""
        )
        yield Line(f"{name}  differs: {shown}", "yellow")
