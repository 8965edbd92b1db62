"""A plan as text, in the manner of Terraform: what changes, to what, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from provisioner.diagnostics import printable
from provisioner.planning.plan import HostPlan
from provisioner.postfix.activation import Activation
from provisioner.resources.base import Action, Change, KeyedDiff, Origin, TextDiff

#: Changed lines of one file's diff that are shown without --diff.
SHORT_DIFF = 40

#: Differing old values of one change that are shown.
DIFFERING_SHOWN = 3

_SYMBOLS = {
    Action.CREATE: ("+", "green"),
    Action.INSTALL: ("+", "green"),
    Action.START: ("+", "green"),
    Action.ENABLE: ("+", "green"),
    Action.DELETE: ("-", "red"),
    Action.STOP: ("-", "red"),
    Action.DISABLE: ("-", "red"),
    Action.ADOPT: ("=", "cyan"),
    Action.ACTIVATE: ("!", "magenta"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text and the style of a terminal that has any."""

    text: str
    style: str = ""


def plans(found: Mapping[str, HostPlan], *, full_diff: bool = False) -> Iterator[Line]:
    """All plans; hosts with the same plan are shown once.

    Plans are the same when they lead to the same state: where single old values differ
    (each host's own name in them, say), these are listed.
    """
    groups: dict[tuple[Line, ...], list[HostPlan]] = {}
    for plan in found.values():
        if not plan.empty or plan.orphans or plan.warnings or plan.rival:
            groups.setdefault(tuple(_body(_without_before(plan), full_diff)), []).append(plan)
    for members in groups.values():
        yield from _heading(members)
        yield from _body(_merged(members), full_diff)
        yield Line("")


def _without_before(plan: HostPlan) -> HostPlan:
    changes = (replace(each, before=None) if each.diff is None else each for each in plan.changes)
    return replace(plan, changes=tuple(changes))


def _merged(members: Sequence[HostPlan]) -> HostPlan:
    """One plan for all: old values that differ are named with their hosts."""
    merged = []
    for versions in zip(*(plan.changes for plan in members), strict=True):
        hosts: dict[str | None, list[str]] = {}
        for plan, change in zip(members, versions, strict=True):
            hosts.setdefault(change.before, []).append(plan.host)
        if len(hosts) > 1:
            merged.append(replace(versions[0], before=_differing(hosts)))
        else:
            merged.append(versions[0])
    return replace(members[0], changes=tuple(merged))


def _differing(hosts: Mapping[str | None, Sequence[str]]) -> str:
    lines = [
        f"{'(absent)' if value is None else ' '.join(value.split())}  ({_few(names)})"
        for value, names in hosts.items()
    ]
    more = len(lines) - DIFFERING_SHOWN
    return "\n".join([*lines[:DIFFERING_SHOWN], *([f"… and {more} others"] if more > 0 else [])])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if names[4:] else "")


def _heading(members: Sequence[HostPlan]) -> Iterator[Line]:
    names = ", ".join(plan.host for plan in members)
    yield Line(f"{names}:" if len(members) == 1 else f"{names} ({len(members)} hosts):", "bold")
    by_facts: dict[str, list[str]] = {}
    for plan in members:
        postfix = plan.facts.get("postfix") or "not installed"
        by_facts.setdefault(f"Postfix {postfix} on {plan.facts.get('system')}", []).append(
            plan.host
        )
    for facts, hosts in by_facts.items():
        whose = "" if len(by_facts) == 1 else f" ({', '.join(hosts)})"
        yield Line(f"  {facts}{whose}", "dim")


def _body(plan: HostPlan, full_diff: bool) -> Iterator[Line]:
    if plan.rival:
        yield Line(f"  ! managed by another inventory: {plan.rival}", "bold yellow")
    composed = {f"parameter:{each.name}": each.entries for each in plan.lists}
    for change in plan.changes:
        yield Line("")
        yield from change_lines(change, composed.get(change.address), full_diff)
    if plan.known_after_install:
        yield Line("")
        yield Line(
            f"  ? known after the packages are installed: {', '.join(plan.known_after_install)}",
            "yellow",
        )
    for warning in plan.warnings:
        yield Line(f"  ! {warning}", "yellow")
    for orphan in plan.orphans:
        then = f"before us: {printable(orphan.before)}; --prune puts that back"
        if orphan.address.startswith("package:"):
            then = "packages stay installed; --prune only forgets it"
        yield Line(f"  o {orphan.address} is declared no more: kept ({then})", "yellow")
    if plan.changes:
        yield Line("")
        yield from _activation(plan)


def _activation(plan: HostPlan) -> Iterator[Line]:
    if plan.packages:
        yield Line("  Incomplete: packages first, then the rest is planned again.", "yellow")
        return
    if plan.activation is Activation.NONE:
        why = f" ({'; '.join(plan.reasons)})" if plan.reasons else ""
        yield Line(f"  activation: none{why}", "dim")
        return
    yield Line(f"  activation: {plan.activation}", "bold")
    for reason in _grouped(plan.reasons):
        yield Line(f"    because {reason}", "dim")


def _grouped(reasons: Iterable[str]) -> Iterator[str]:
    """`a: why`, `b: why` as `why (a, b)`."""
    names: dict[str, list[str]] = {}
    for reason in reasons:
        name, colon, why = reason.partition(": ")
        names.setdefault(why if colon else reason, []).extend([name] if colon else [])
    for why, which in names.items():
        shown = ", ".join(which[:6]) + (f" and {len(which) - 6} more" if which[6:] else "")
        yield f"{why} ({shown})" if which else why


def change_lines(
    change: Change, entries: tuple[tuple[str, Origin], ...] | None, full_diff: bool
) -> Iterator[Line]:
    symbol, style = _SYMBOLS.get(change.action, ("~", "yellow"))
    origin = f"  [{change.origin}]" if change.origin else ""
    yield Line(f"  {symbol} {change.action} {change.address}{origin}", style)
    if change.reason and change.action is Action.ACTIVATE:
        yield Line(f"      {change.reason}")
    for note in change.notes:
        yield Line(f"      ({note})", "dim")
    if isinstance(change.diff, KeyedDiff):
        yield from _attributes(change)
        yield from _keyed(change.diff, full_diff)
    elif isinstance(change.diff, TextDiff):
        yield from _attributes(change)
        yield from _text(change.diff, full_diff)
    elif entries is not None:
        yield from _before(change)
        yield from _entries(entries)
    else:
        yield from _before(change)
        for line in (change.after or "").splitlines():
            yield Line(f"      + {printable(line)}", "green")
        if change.after == "":
            yield Line("      + (empty)", "green")


def _attributes(change: Change) -> Iterator[Line]:
    if change.after:
        yield Line(f"      {change.after}", "dim")


def _before(change: Change) -> Iterator[Line]:
    for line in (change.before or "").splitlines():
        yield Line(f"      - {printable(line)}", "red")
    if change.before == "":
        yield Line("      - (empty)", "red")


def _entries(entries: tuple[tuple[str, Origin], ...]) -> Iterator[Line]:
    width = min(64, max(len(text) for text, _ in entries))
    for text, origin in entries:
        yield Line(f"      + {printable(text):<{width}}  [{origin}]", "green")


def _keyed(diff: KeyedDiff, full: bool) -> Iterator[Line]:
    lines = [
        *(Line(f"      + {_pair(k, v)}", "green") for k, v in diff.added),
        *(Line(f"      - {_pair(k, v)}", "red") for k, v in diff.removed),
        *(
            Line(f"      ~ {printable(k)}  {printable(old)} -> {printable(new)}", "yellow")
            for k, old, new in diff.changed
        ),
    ]
    yield from _shortened(lines, full)


def _pair(key: str, value: str) -> str:
    return f"{printable(key)}  {printable(value)}"


def _text(diff: TextDiff, full: bool) -> Iterator[Line]:
    styles = {"+": "green", "-": "red", "@": "cyan"}
    lines = [Line(f"      {line}", styles.get(line[:1], "")) for line in diff.lines]
    yield from _shortened(lines, full)


def _shortened(lines: Sequence[Line], full: bool) -> Iterator[Line]:
    shown = lines if full else lines[:SHORT_DIFF]
    yield from shown
    if len(shown) < len(lines):
        yield Line(f"      … {len(lines) - len(shown)} more lines (--diff shows them)", "dim")


def counted(number: int, what: str = "host") -> str:
    """`1 host`, `2 hosts`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def summary(found: Iterable[HostPlan]) -> str:
    """`Plan: 3 hosts to change (12 to create, …), 1 unchanged.`"""
    every = list(found)
    busy = [plan for plan in every if not plan.empty]
    if not busy:
        verb = "is" if len(every) == 1 else "are"
        return f"No changes: {counted(len(every))} {verb} as desired."
    counts: dict[str, int] = {}
    for plan in busy:
        for change in plan.changes:
            counts[change.action] = counts.get(change.action, 0) + 1
    what = ", ".join(f"{number} to {action}" for action, number in counts.items())
    return f"Plan: {counted(len(busy))} to change ({what}), {len(every) - len(busy)} unchanged."
