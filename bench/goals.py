"""What was aimed at, beside what was measured: one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.cli.options import Common

if TYPE_CHECKING:
    from report import Size

#: Steps of an apply that a script by hand does not have, as its own events name them.
SAFETY = ("rehearse", "guard", "connect")

#: How many times as long others take at least, with nothing to change.
FASTER = {"pyinfra": 3.0, "mitogen": 12.0, "ansible": 60.0}


@dataclass(frozen=True)
class Goal:
    """`limit` is the most that `found` may be, or with `least` the least."""

    text: str
    found: float
    limit: float
    unit: str
    least: bool = False

    @property
    def met(self) -> bool:
        return self.found >= self.limit if self.least else self.found <= self.limit

    def row(self) -> str:
        sign = "≥" if self.least else "≤"
        verdict = "met" if self.met else "**missed**"
        limit = f"{sign} {self.limit:g} {self.unit}"
        return f"| {self.text} | {limit} | {self.found:.2f} {self.unit} | {verdict} |"


def table(sizes: Sequence[Size]) -> Iterator[str]:
    """The rows for all numbers of hosts; what was not measured has none."""
    yield "| | goal | measured | |"
    yield "| --- | --- | --- | --- |"
    for size in sizes:
        yield from (goal.row() for goal in (*_no_change(size), *_first_apply(size)))
    if len(sizes) > 1:
        yield from (goal.row() for goal in _growth(sizes[0], sizes[-1]))


def _wall(size: Size, tool: str, work: str) -> float | None:
    series = size.series.get((tool, work))
    return series.wall if series and series.walls else None


def _no_change(size: Size) -> Iterator[Goal]:
    about, series = f"no change, {size.hosts} hosts", size.series["provisioner", "no change"]
    own = series.wall
    if bare := _wall(size, "ssh", "no change"):
        most = 0.6 if size.hosts >= 60 else 1.0
        yield Goal(f"{about}, against parallel OpenSSH", own / bare, most, "x")
    for tool, times in FASTER.items():
        if theirs := _wall(size, tool, "no change"):
            text = f"{about}, {size.titles[tool]} takes"
            yield Goal(text, theirs / own, times, "x", least=True)
    sent = (series.sent + series.received) / size.hosts / 1000
    yield Goal(f"{about}, exchanged with each", sent, 20, "kB")


def _first_apply(size: Size) -> Iterator[Goal]:
    about, own = f"first apply, {size.hosts} hosts", size.series["provisioner", "first apply"].wall
    safety = sum(size.steps.get(step, 0.0) for step in SAFETY)
    yield Goal(f"{about}: rehearsal, guard and confirmation of a host", safety, 0.8, "s")
    if bare := _wall(size, "ssh", "first apply"):
        text = f"{about}, without these three, against parallel OpenSSH"
        # With more hosts than forks, a run lasts as long as several hosts one after the other.
        in_turn = max(1.0, size.hosts / Common.forks)
        yield Goal(text, (own - safety * in_turn) / bare, 1.2, "x")
    if theirs := _wall(size, "ansible-tuned", "first apply"):
        text = f"{about}, {size.titles['ansible-tuned']} takes"
        yield Goal(text, theirs / own, 5, "x", least=True)


def _growth(few: Size, many: Size) -> Iterator[Goal]:
    """What each further host costs the controller, with nothing to change."""
    low, high = (size.series["provisioner", "no change"] for size in (few, many))
    more = many.hosts - few.hosts
    about = f"no change, controller, each host beyond {few.hosts}"
    yield Goal(f"{about}, processor", (high.cpu - low.cpu) / more * 1000, 12, "ms")
    yield Goal(f"{about}, memory", (high.memory - low.memory) / more * 1024 / 1e6, 0.5, "MB")
