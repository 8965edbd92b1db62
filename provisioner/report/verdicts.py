"""What a throw-away Postfix answered, as text: tests that fail as a compiler tells errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from provisioner.diagnostics import Diagnostic, printable, render
from provisioner.fleet.outcome import Outcome
from provisioner.planning.planner import Desired
from provisioner.policy.conversation import PolicyTest, Verdict
from provisioner.policy.tracing import Cause, cause
from provisioner.policy.wording import expected, faults, got, spoken
from provisioner.report.plantext import Line, counted


@dataclass(frozen=True)
class Held:
    """One test on one host, and what came of it; no verdict: it was skipped."""

    host: str
    test: PolicyTest
    verdict: Verdict | None
    cause: Cause | None = None
    failed_before: bool = False

    @property
    def failed(self) -> bool:
        return self.verdict is not None and bool(self.verdict.failed)

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is not as expected, in words."""
        return faults(self.test.expect, self.verdict) if self.verdict else ()


def held(outcomes: Iterable[Outcome], desired: Mapping[str, Desired]) -> Iterator[Held]:
    """Every test of every host that was asked, host by host."""
    for outcome in outcomes:
        found = outcome.rehearsal
        if found is None:
            continue
        wanted = desired[outcome.host]
        verdicts = {each.test: each for each in found.verdicts}
        for test in wanted.tests:
            verdict = verdicts.get(test.name)
            if verdict is None and not test.skip:
                continue  # not asked for, or the host could not
            why = None
            if verdict is not None and verdict.failed:
                why = cause(verdict.decision, wanted.resources, test.conversation.service)
            before = test.name in found.failed_before
            yield Held(outcome.host, test, verdict, why, before)


def failures(every: Iterable[Held]) -> Iterator[Line]:
    """The tests that fail; hosts on which one fails alike are told of once."""
    groups: dict[tuple[Line, ...], list[str]] = {}
    for each in every:
        if each.failed:
            groups.setdefault(tuple(_failure(each)), []).append(each.host)
    for (first, *rest), hosts in groups.items():
        yield Line(f"{first.text} [{named(hosts)}]", first.style)
        yield from rest
        yield Line("")


def named(hosts: Sequence[str]) -> str:
    """`mx1`, `3 hosts: mx1, mx2, mx3`."""
    if len(hosts) == 1:
        return hosts[0]
    return f"{len(hosts)} hosts: {', '.join(hosts[:5])}{', …' if hosts[5:] else ''}"


def _failure(each: Held) -> Iterator[Line]:
    assert each.verdict is not None  # noqa: S101 - it failed
    origin = each.test.origin
    whose = f" (of role {origin.role})" if origin.role else ""
    message = f'"{each.test.name}"{whose} fails: {"; ".join(each.wrong)}'
    head, *source = render(Diagnostic(message, origin.mark)).split("\n")
    yield Line(head if origin.mark else f"{origin}: {head}", "bold red")
    yield from (Line(text) for text in source)
    yield Line(f"  said:     {printable(spoken(each.test.conversation))}")
    yield Line(f"  expected: {printable(expected(each.test.expect))}", "green")
    yield Line(f"  got:      {printable(got(each.verdict))}", "red")
    yield from decided(each.cause, "  decided:  ")
    if each.failed_before:
        yield Line("  The live configuration fails it, too.", "yellow")


def decided(why: Cause | None, lead: str) -> Iterator[Line]:
    """What decided, and the line that wants it."""
    if why is not None:
        origin = f"  [{why.origin}]" if why.origin else "  [not from this inventory]"
        yield Line(f"{lead}{printable(why.text)}{origin}")


def findings(outcomes: Iterable[Outcome]) -> Iterator[Line]:
    """What is wrong with configurations themselves, and what was left out."""
    for style, kind in (("bold red", "findings"), ("yellow", "notes")):
        groups: dict[str, list[str]] = {}
        for outcome in outcomes:
            for text in getattr(outcome.rehearsal, kind, ()):
                groups.setdefault(text, []).append(outcome.host)
        for text, hosts in groups.items():
            yield Line(f"{named(hosts)}: {printable(text)}", style)


def each_test(every: Iterable[Held]) -> Iterator[Line]:
    """A line a test, whatever came of it; tests that went alike on several hosts once."""
    groups: dict[Line, list[str]] = {}
    for each in every:
        groups.setdefault(_one_line(each), []).append(each.host)
    for line, hosts in groups.items():
        yield Line(f"{line.text}  [{named(hosts)}]", line.style)


def _one_line(each: Held) -> Line:
    name = printable(each.test.name)
    if each.verdict is None:
        return Line(f"skipped  {name}: {printable(each.test.skip)}", "yellow")
    return Line(f"FAILED   {name}", "red") if each.failed else Line(f"passed   {name}", "green")


def summary(every: Sequence[Held], hosts: int) -> Line:
    """`Policy tests: 46 held on 2 hosts: 45 passed, 1 failed; 2 skipped.`"""
    failed = sum(each.failed for each in every)
    skipped = sum(each.verdict is None for each in every)
    total = len(every) - skipped
    text = f"Policy tests: {total} held on {counted(hosts)}: {total - failed} passed"
    text += f", {failed} failed" if failed else ""
    text += f"; {skipped} skipped" if skipped else ""
    return Line(f"{text}.", "bold red" if failed else "bold green")


def listing(desired: Mapping[str, Desired]) -> Iterator[Line]:
    """Every test with who says what, what is expected and who wants it, without any host."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for host, wanted in desired.items():
        for test in wanted.tests:
            role = f"role {test.origin.role}, " if test.origin.role and test.origin.mark else ""
            lines = [
                printable(test.name) + f"  [{role}{test.origin}]",
                f"    {printable(spoken(test.conversation))}",
                f"    expected: {printable(expected(test.expect))}",
                *([f"    skipped: {printable(test.skip)}"] if test.skip else []),
            ]
            groups.setdefault(tuple(lines), []).append(host)
    for (first, *rest), hosts in groups.items():
        count = "" if len(desired) == 1 else f"  ({named(hosts)})"
        yield Line(f"{first}{count}", "bold")
        yield from (Line(text, "dim") for text in rest)
