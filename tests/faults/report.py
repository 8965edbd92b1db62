"""What was found, as the tables of docs/reliability.md. Each part has a block of its own
between two comments there; only the parts that ran are written anew."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from concurrency import Met
from corpus import STAGES, Caught
from injection import FAULTS
from load import Loaded
from matrix import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

#: The calls of an apply, in the order of the page: (words of a row, calls that it sums up).
PHASES = (
    ("lock and recovery", "start begin open_transaction"),
    ("preconditions", "expect"),
    ("stage", "make_directory stage_begin stage_attributes stage_take stage_keep stage_rest "
     "stage_kept_copy stage_end receive sync_staged touches"),
    ("compile", "stage_compile"),
    ("rehearse", "rehearse_file rehearse_gone rehearse_backends rehearse validate"),
    ("health before", "health_before"),
    ("back up", "sum_up backup backup_attributes backup_unit rename_list will_rename will_compile "
     "will_remove prepared"),
    ("arm the guard", "arm_guard"),
    ("rename", "rename_all attributes make_queue control swapped"),
    ("reload or restart", "activate"),
    ("sync", "sync_directories"),
    ("health after", "health_endpoint health_after"),
    ("finish", "remember_compiled finish"),
    ("confirm", "confirm"),
    ("the guard's undo", "guard"),
)  # fmt: skip


def phase(boundary: str) -> str:
    """The row that a boundary belongs to."""
    call = boundary.partition(":")[0]
    return next((name for name, calls in PHASES if call in calls.split()), call)


def write(results: Sequence[object], command: str, page: Path = PAGE) -> None:
    """Write the blocks of the parts that ran into the page."""
    text = page.read_text("utf-8")
    for name, kind, render in (
        ("matrix", Result, matrix),
        ("corpus", Caught, corpus),
        ("concurrency", Met, concurrency),
        ("load", Loaded, load),
    ):
        mine = [each for each in results if isinstance(each, kind)]
        if not mine:
            continue
        lines = "\n".join(["", f"`{command}`:", "", *render(mine), ""])
        block = re.compile(rf"(<!-- {name} -->).*?(<!-- /{name} -->)", re.DOTALL)
        text, count = block.subn(lambda found, new=lines: found[1] + new + found[2], text)
        if not count:
            raise ValueError(f"{page} has no block for {name}")
    page.write_text(text, "utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(str(each) for each in row)} |"


def matrix(results: Sequence[Result]) -> Iterator[str]:
    """Boundary by fault: `old·new` runs, and how many were neither."""
    bad = [each for each in results if not each.well]
    yield f"{len(results)} runs, {len(bad)} of them not as they must be."
    yield ""
    found: dict[tuple[str, str], Counter[str]] = {}
    for each in results:
        found.setdefault((phase(each.boundary), each.fault), Counter())[each.ended] += 1
    names = [name for name, _ in PHASES]
    names += sorted({row for row, _ in found} - set(names))
    rows = [
        [name, *(cell(found.get((name, fault), Counter())) for fault in FAULTS)]
        for name in names
        if any((name, fault) in found for fault in FAULTS)
    ]
    yield from table(["held at", *FAULTS], rows)
    if bad:
        yield ""
        for each in bad:
            yield f"- `{each.case}` at {each.boundary}: {first(each.said)}"


def cell(ended: Counter[str]) -> str:
    if not ended:
        return ""
    text = f"{ended['old']}·{ended['new']}"
    return f"{text}, **{ended['violation']} neither**" if ended["violation"] else text


def corpus(results: Sequence[Caught]) -> Iterator[str]:
    early = [each for each in results if each.stage in STAGES[:3]]
    wrong = [each for each in results if each.wrong]
    share = 100 * len(early) / len(results)
    yield (
        f"{len(results)} faults; {len(early)} ({share:.1f} %) refused before the first rename; "
        f"{len(wrong)} hosts not as before."
    )
    yield ""
    rows = []
    for stage in STAGES:
        mine = [each for each in results if each.stage == stage]
        if mine:
            longest = max(each.gap for each in mine)
            rows.append([stage, len(mine), f"{longest:.1f} s"])
    yield from table(["caught by", "faults", "longest gap"], rows)
    for stage, words in (("health", "Undone after they were live"), ("nobody", "Not caught")):
        mine = [each for each in results if each.stage == stage]
        if mine:
            yield ""
            yield f"{words}: {'; '.join(each.name for each in mine)}."
    if wrong:
        yield ""
        for each in wrong:
            yield f"- {each.name} ({each.release}): {first(each.wrong)}"


def concurrency(results: Sequence[Met]) -> Iterator[str]:
    names = dict.fromkeys(each.name for each in results)
    rows = []
    for name in names:
        mine = [each for each in results if each.name == name]
        bad = [each for each in mine if not each.well]
        ended = f"**{first(bad[0].said)}**" if bad else "as it must be"
        rows.append([name, ", ".join(each.release for each in mine), ended])
    yield from table(["meanwhile", "tried on", "ended"], rows)


def load(results: Sequence[Loaded]) -> Iterator[str]:
    rows = [
        [
            each.name, each.release, each.changes, each.accepted, each.lost, each.turned_away,
            f"{each.p50 * 1000:.0f} ms", f"{each.p99 * 1000:.0f} ms", f"{each.gap:.2f} s",
        ]
        for each in results
    ]  # fmt: skip
    head = ["applied", "on", "changes", "accepted", "lost", "turned away"]
    yield from table([*head, "greeting p50", "p99", "longest gap"], rows)


def first(text: str) -> str:
    """The first line, as one cell of a table can hold it."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0].replace("|", "\\|")[:200] if lines else ""
