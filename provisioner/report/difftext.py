"""Differences between desired states as text: hosts that differ alike are shown once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from provisioner.report.plantext import Line, change_lines, counted
from provisioner.resources.base import Change


def differences(
    found: Mapping[str, Sequence[Change]], *, full_diff: bool = False
) -> Iterator[Line]:
    """All hosts that differ, and what differs there."""
    groups: dict[tuple[Line, ...], list[str]] = {}
    for host, changes in found.items():
        lines = [line for each in changes for line in change_lines(each, None, full_diff)]
        groups.setdefault(tuple(lines), []).append(host)
    for body, hosts in groups.items():
        count = "" if len(hosts) == 1 else f" ({counted(len(hosts))})"
        yield Line(f"{', '.join(hosts)}{count}:", "bold")
        yield from body
        yield Line("")
