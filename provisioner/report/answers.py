"""What hosts would do with a mail, as text and JSON: equal answers are told of once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.diagnostics import printable
from provisioner.errors import ExitCode, worst
from provisioner.fleet.outcome import Outcome
from provisioner.planning.planner import Desired
from provisioner.policy.conversation import PolicyTest, Verdict
from provisioner.policy.tracing import Cause, cause
from provisioner.policy.wording import outcome_of, said, spoken
from provisioner.report.plantext import Line, counted
from provisioner.report.verdictfiles import host_document, verdict_document
from provisioner.report.verdicts import decided, findings, named

_STYLES = {"accepted": "green", "refused": "red", "put off": "yellow"}


@dataclass(frozen=True)
class Answer:
    """One host's: what was asked, the verdict, and who decided it."""

    host: str
    test: PolicyTest
    verdict: Verdict
    cause: Cause | None

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for answers that mean the same; a reply's text may name its host."""
        last = self.verdict.last
        decision = self.verdict.decision
        # A table has another type on another host, and is the same.
        table = decision.table.partition(":")[2] if decision else ""
        who = (decision.restriction.split(" ")[0], table, decision.key) if decision else ()
        reply = (last.stage, last.code) if last else ()
        return (self.verdict.fault, reply, who, str(self.cause.origin) if self.cause else "")


def answers(outcomes: Sequence[Outcome], desired: Mapping[str, Desired]) -> list[Answer]:
    found = []
    for outcome in outcomes:
        if outcome.rehearsal is None or not outcome.rehearsal.verdicts:
            continue
        wanted = desired[outcome.host]
        (test,), verdict = wanted.tests, outcome.rehearsal.verdicts[0]
        why = cause(verdict.decision, wanted.resources, test.conversation.service)
        found.append(Answer(outcome.host, test, verdict, why))
    return found


def lines(found: Sequence[Answer], outcomes: Sequence[Outcome]) -> Iterator[Line]:
    """The answers, those that are equal together; then where they differ."""
    groups: dict[tuple[object, ...], list[Answer]] = {}
    for each in found:
        groups.setdefault(each.key, []).append(each)
    asked = list(dict.fromkeys(spoken(each.test.conversation) for each in found))
    if len(asked) == 1:
        yield Line(printable(asked[0]), "dim")
    for members in groups.values():
        first = members[0]
        yield Line(f"{named([each.host for each in members])}:", "bold")
        yield from _answer(first)
    yield from findings(outcomes)
    if len(groups) > 1:
        counts = ", ".join(
            f"{outcome_of(members[0].verdict)} on {counted(len(members))}"
            for members in groups.values()
        )
        yield Line(f"Verdicts differ: {counts}.", "bold yellow")


def _answer(each: Answer) -> Iterator[Line]:
    word = outcome_of(each.verdict)
    last = each.verdict.last
    if last is None or each.verdict.fault:
        yield Line(f"  no answer: {printable(each.verdict.fault)}", "red")
        return
    text = f"  {word}: {last.code} {printable(last.text)}  ({printable(said(last))})"
    yield Line(text, _STYLES[word])
    yield from decided(each.cause, "  decided by ")


def documents(outcomes: Sequence[Outcome], found: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    """By host: how it ended, the verdict, who decided, and what to know of the rehearsal."""
    by_host = {each.host: each for each in found}
    told: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        entry = host_document(outcome)
        answer = by_host.get(outcome.host)
        if answer is not None:
            entry |= {
                "said": spoken(answer.test.conversation),
                "verdict": outcome_of(answer.verdict),
                **verdict_document(answer.verdict, answer.cause),
                "notes": list(outcome.rehearsal.notes) if outcome.rehearsal else [],
            }
        told[outcome.host] = entry
    return told


def exit_code(outcomes: Sequence[Outcome], found: Sequence[Answer]) -> ExitCode:
    """Whatever the verdict, an answer is fine; none is a host's failure."""
    codes = [each.error.exit_code for each in outcomes if each.error]
    codes += [ExitCode.HOST_FAILED for each in found if each.verdict.fault]
    return worst(codes)
