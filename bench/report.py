"""Results as a JSON document, as the tables of docs/performance.md, and as a chart."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import goals
from rounds import Series
from tools import CHECKOUT, PACKAGES, WORKS

from provisioner import __version__

BEGIN, END = "<!-- inv bench writes from here -->", "<!-- to here -->"

#: What the steps of an apply are called in the table.
STEPS = {
    "apply": "health, remembering",
    "connect": "new login, confirmation, second probe",
}


@dataclass
class Size:
    """The results of one number of hosts."""

    hosts: int
    rounds: int
    titles: Mapping[str, str]
    series: Mapping[tuple[str, str], Series]
    steps: Mapping[str, float] = field(default_factory=dict)


def document(sizes: Sequence[Size], release: str) -> dict[str, Any]:
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.strip()
    return {
        "version": 2,
        "provisioner": __version__,
        "peers": [
            each for name, group in PACKAGES.items() if name != "provisioner" for each in group
        ],
        "openssh": ssh,
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "release": release,
        "sizes": [
            {
                "hosts": size.hosts,
                "rounds": size.rounds,
                "apply_steps": {k: round(v, 4) for k, v in size.steps.items()},
                "results": [
                    {"tool": tool, "work": work, **asdict(series)}
                    for (tool, work), series in size.series.items()
                ],
            }
            for size in sizes
        ],
    }


def write(sizes: Sequence[Size], release: str, folder: Path) -> None:
    """`performance.json` and `.svg` in `folder`, and the part of `performance.md` that is ours."""
    text = json.dumps(document(sizes, release), indent=1) + "\n"
    (folder / "performance.json").write_text(text)
    (folder / "performance.svg").write_text(chart(sizes))
    page = folder / "performance.md"
    around = page.read_text() if page.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = around.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{tables(sizes, release)}\n{END}{after}")


# ---- tables -----------------------------------------------------------------------------


def tables(sizes: Sequence[Size], release: str) -> str:
    lines = ["![seconds by tool and number of hosts](performance.svg)", ""]
    for size in sizes:
        lines += [f"### {size.hosts} hosts", "", *_table(size), ""]
    lines += ["### Goals", "", *goals.table(sizes), "", *_growth(sizes), *_steps(sizes)]
    count = " and ".join(f"{size.rounds} with {size.hosts} hosts" for size in sizes)
    lines += [
        f"{release} hosts and controller shared {os.cpu_count()} processors. Medians of the rounds "
        f"({count}; Ansible: one), ranges in brackets. "
        "Processor and memory are the controller's; connections, execs and bytes are those of one "
        "more round, per host, with the headers of all protocols.",
        "",
    ]
    return "\n".join(lines)


def _table(size: Size) -> Iterator[str]:
    yield (
        "| work | tool | seconds | against ssh | processor | memory | connections | execs | sent "
        "| received |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for work in WORKS:
        base = size.series.get(("ssh", work))
        for name, title in size.titles.items():
            series = size.series[name, work]
            if not series.walls:
                yield f"| {work} | {title} | no result | | | | | | | |"
                continue
            against = f"{series.wall / base.wall:.2f}" if base and base.walls else ""
            yield (
                f"| {work} | {title} | {_seconds(series.walls)} | {against} | {series.cpu:.2f} s "
                f"| {series.memory / 1024:.0f} MiB | {_each(series.connections, size)} "
                f"| {_each(series.execs, size)} | {_kib(series.sent, size)} "
                f"| {_kib(series.received, size)} |"
            )


def _seconds(walls: Sequence[float]) -> str:
    middle = sorted(walls)[len(walls) // 2] if len(walls) % 2 else None
    shown = middle if middle is not None else sum(sorted(walls)[len(walls) // 2 - 1 :][:2]) / 2
    if len(walls) == 1:
        return f"{shown:.2f}"
    return f"{shown:.2f} ({min(walls):.2f} to {max(walls):.2f})"


def _each(count: int, size: Size) -> str:
    return f"{count / size.hosts:.3g}"


def _kib(count: int, size: Size) -> str:
    return f"{count / size.hosts / 1024:.1f} KiB"


def _growth(sizes: Sequence[Size]) -> Iterator[str]:
    """What each further host costs the controller."""
    if len(sizes) < 2:
        return
    few, many = sizes[0], sizes[-1]
    more = many.hosts - few.hosts
    yield f"Each host beyond {few.hosts}, up to {many.hosts}, costs the controller:"
    yield ""
    yield "| work | tool | seconds | processor | memory |"
    yield "| --- | --- | --- | --- | --- |"
    for work in WORKS:
        for name, title in many.titles.items():
            low, high = few.series.get((name, work)), many.series[name, work]
            if low is None or not (low.walls and high.walls):
                continue
            yield (
                f"| {work} | {title} | {(high.wall - low.wall) / more * 1000:.0f} ms "
                f"| {(high.cpu - low.cpu) / more * 1000:.1f} ms "
                f"| {(high.memory - low.memory) / more / 1024:.2f} MiB |"
            )
    yield ""


def _steps(sizes: Sequence[Size]) -> Iterator[str]:
    yield "Where a first apply of this tool spends its time, by its own events (seconds a host):"
    yield ""
    names = list(dict.fromkeys(step for size in sizes for step in size.steps if step))
    yield "| | " + " | ".join(STEPS.get(name, name) for name in names) + " |"
    yield "| --- |" + " --- |" * len(names)
    for size in sizes:
        cells = (f"{size.steps.get(name, 0.0):.2f}" for name in names)
        yield f"| {size.hosts} hosts | " + " | ".join(cells) + " |"
    yield ""


# ---- chart ------------------------------------------------------------------------------

_COLOURS = ("#1b6ca8", "#7f8c8d", "#c0703a", "#6a994e", "#8e6bbf", "#b5485d")
_WIDTH, _BAR, _LEFT, _RIGHT = 860, 16, 230, 90


def chart(sizes: Sequence[Size]) -> str:
    """Bars, one chart a work and number of hosts, each to its own scale."""
    body: list[str] = []
    y = 10
    for work in (WORKS[2], WORKS[1]):
        for size in sizes:
            rows = [
                (title, size.series[name, work].wall)
                for name, title in size.titles.items()
                if size.series[name, work].walls
            ]
            body.append(_text(10, y + 14, f"{work}, {size.hosts} hosts, seconds", "bold"))
            y += 24
            longest = max((seconds for _, seconds in rows), default=1.0)
            for number, (title, seconds) in enumerate(rows):
                width = max(2.0, seconds / longest * (_WIDTH - _LEFT - _RIGHT))
                colour = _COLOURS[number % len(_COLOURS)]
                body.append(_text(20, y + 12, title))
                body.append(
                    f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 3}" '
                    f'fill="{colour}"/>'
                )
                body.append(_text(_LEFT + width + 6, y + 12, f"{seconds:.2f}"))
                y += _BAR
            y += 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" '
        f'height="{y}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" fill="#222222">{escape(text)}</text>'
    )


DOCS = CHECKOUT / "docs"
