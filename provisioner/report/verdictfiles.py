"""What policy tests came to, for programs: one JSON document, or JUnit's XML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from provisioner.diagnostics import printable
from provisioner.fleet.outcome import Outcome
from provisioner.host.rehearsal import Rehearsal
from provisioner.planning import planfile
from provisioner.planning.planner import Desired
from provisioner.policy.conversation import Verdict
from provisioner.policy.tracing import Cause
from provisioner.policy.wording import expected, got, spoken
from provisioner.report.verdicts import Held, held
from provisioner.resources.base import Origin
from provisioner.secrets import masked


def rehearsal_document(outcome: Outcome, desired: Mapping[str, Desired]) -> dict[str, Any]:
    """What one host's throw-away Postfix answered, as a JSON value; empty if none was asked."""
    found = outcome.rehearsal
    if found is None:
        return {}
    return {
        "findings": list(found.findings),
        "notes": list(found.notes),
        "tests": [_test(each) for each in held([outcome], desired)],
    }


def failures_document(found: Rehearsal) -> dict[str, Any]:
    """What forbade a change, as an event tells it."""
    return {
        "findings": list(found.findings),
        "notes": list(found.notes),
        "failed": [
            {"name": each.test, "faults": list(each.failed), **verdict_document(each, None)}
            for each in found.failed
        ],
    }


def host_document(outcome: Outcome) -> dict[str, Any]:
    entry: dict[str, Any] = {"status": str(outcome.status), "seconds": round(outcome.seconds, 3)}
    if outcome.error:
        entry["error"] = planfile.error_document(outcome.error)
    return entry


def _test(each: Held) -> dict[str, Any]:
    test = each.test
    told: dict[str, Any] = {
        "name": test.name,
        "origin": _origin(test.origin),
        "said": spoken(test.conversation),
        "expected": expected(test.expect),
    }
    if each.verdict is None:
        return {**told, "result": "skipped", "why": test.skip}
    told |= {"result": "failed" if each.failed else "passed", "got": got(each.verdict)}
    if each.failed:
        told |= {"faults": list(each.wrong), "failed_before": each.failed_before}
    return {**told, **verdict_document(each.verdict, each.cause)}


def verdict_document(verdict: Verdict, why: Cause | None) -> dict[str, Any]:
    """The last reply and what decided."""
    told: dict[str, Any] = {}
    if verdict.last is not None:
        last = verdict.last
        told["reply"] = {"code": last.code, "text": last.text, "stage": str(last.stage)}
    if verdict.fault:
        told["fault"] = verdict.fault
    if verdict.decision is not None:
        decision = verdict.decision
        told["decided"] = {
            "restriction": decision.restriction,
            "table": decision.table,
            "key": decision.key,
            "action": decision.action,
            "origin": _origin(why.origin) if why and why.origin else None,
        }
    return told


def _origin(origin: Origin) -> dict[str, Any]:
    """As in a plan."""
    mark = origin.mark
    place = {"file": mark.file, "line": mark.line, "column": mark.column} if mark else None
    return {"role": origin.role, "option": origin.option, "mark": place}


def junit(outcomes: Sequence[Outcome], desired: Mapping[str, Desired]) -> str:
    """A test suite a host, a test case a test. A host that could not be asked is an error."""
    root = ET.Element("testsuites", name="policy tests")
    for outcome in outcomes:
        every = list(held([outcome], desired))
        findings = outcome.rehearsal.findings if outcome.rehearsal else ()
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_text(outcome.host),
            tests=str(len(every) + bool(findings) + bool(outcome.error)),
            failures=str(sum(each.failed for each in every) + bool(findings)),
            errors=str(int(bool(outcome.error))),
            skipped=str(sum(each.verdict is None for each in every)),
            time=f"{outcome.seconds:.3f}",
        )
        host = _text(outcome.host)
        if outcome.error:
            case = ET.SubElement(suite, "testcase", classname=host, name="the host answers")
            _say(case, "error", str(outcome.error), outcome.error.help)
        if findings:
            case = ET.SubElement(suite, "testcase", classname=host, name="Postfix starts")
            _say(case, "failure", findings[0], "\n".join(findings))
        for each in every:
            _case(suite, each)
        notes = outcome.rehearsal.notes if outcome.rehearsal else ()
        if notes:
            ET.SubElement(suite, "system-out").text = _text("; ".join(notes))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, each: Held) -> None:
    where: dict[str, str] = {}
    mark = each.test.origin.mark
    if mark is not None:
        where = {"file": _text(mark.file), "line": str(mark.line)}
    name = _text(each.test.name)
    case = ET.SubElement(suite, "testcase", {"classname": _text(each.host), "name": name, **where})
    if each.verdict is None:
        ET.SubElement(case, "skipped", message=_text(each.test.skip))
    elif each.failed:
        lines = [
            f"said: {spoken(each.test.conversation)}",
            f"expected: {expected(each.test.expect)}",
            f"got: {got(each.verdict)}",
        ]
        if each.cause is not None:
            lines.append(f"decided: {each.cause.text} [{each.cause.origin or 'not ours'}]")
        _say(case, "failure", "; ".join(each.wrong), "\n".join(lines))


def _say(case: ET.Element, kind: str, message: str, text: str) -> None:
    found = ET.SubElement(case, kind, message=_text(message))
    found.text = "\n".join(_text(line) for line in text.split("\n"))


def _text(text: str) -> str:
    """Fit for XML, which cannot hold control characters."""
    return printable(masked(text)).replace("\t", " ")


def documents(
    outcomes: Iterable[Outcome], desired: Mapping[str, Desired]
) -> dict[str, dict[str, Any]]:
    """By host: how it ended, and its tests."""
    return {
        each.host: {**host_document(each), **rehearsal_document(each, desired)} for each in outcomes
    }
