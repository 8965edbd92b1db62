"""The fault tests' own parts that need no host: what is drawn, judged and written down."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import controller
import pytest
from corpus import STAGES, Caught, judge, load
from injection import FAULTS
from matrix import SCENARIOS, Result, draw, label, parse
from report import PAGE, write
from rig import Violation
from support import Done

from provisioner.host.program import Program


def test_the_corpus_is_large_and_names_each_fault_once() -> None:
    entries = load()
    assert len(entries) >= 100
    assert len({(each.file, each.name) for each in entries}) == len(entries)
    assert {each.by for each in entries} <= {*STAGES}
    assert all(each.why for each in entries if each.by == "nobody")


def test_the_same_seed_draws_the_same_cases() -> None:
    cases = draw(3, 60, ["bookworm", "trixie"], [*FAULTS])
    assert cases == draw(3, 60, ["bookworm", "trixie"], [*FAULTS])
    assert cases != draw(4, 60, ["bookworm", "trixie"], [*FAULTS])
    assert {each.fault for each in cases[: len(FAULTS)]} == {*FAULTS}
    assert {each.scenario for each in cases} == {*SCENARIOS}
    assert [parse(str(each)) for each in cases] == cases


def test_a_program_stops_at_its_boundaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call and each command that changes something is one, in the order of the run."""
    trace, reached = tmp_path / "trace", tmp_path / "reached"
    monkeypatch.setattr(controller, "TRACE", str(trace))
    monkeypatch.setattr(
        controller, "_BOUNDARY", controller._BOUNDARY.replace(controller.REACHED, str(reached))
    )
    program = Program("probe.sh", nonce="n")
    program.call("probe_nothing")
    program.call("touch_both", str(tmp_path / "a b"))
    functions = """
probe_nothing() { touch_none; }
touch_none() { :; }
touch_both() { touch "$1"; said=$(mv -- "$1" "$1.new"); }
"""
    calls = program._lines[1:]
    script = controller.held("\n".join([functions, *calls, ""]).encode(), calls, "3")
    trace.touch()
    done = subprocess.run(["sh"], input=script, capture_output=True, check=True)
    assert done.stderr == b""
    assert trace.read_text().splitlines() == [
        "call probe_nothing", "call touch_both", "touch", "mv"
    ]  # fmt: skip
    assert reached.read_text().strip().isdigit()
    assert (tmp_path / "a b.new").exists()


def test_a_boundary_is_called_after_call_and_command() -> None:
    assert label(["call begin", "rm", "call swap", "mv"]) == "swap: mv"
    assert label(["call begin", "rm", "call swap"]) == "swap"
    assert label(["ln"], "guard") == "guard: ln"


def events(verb: str, status: str, *steps: str, error: str = "") -> str:
    records: list[dict[str, object]] = [{"event": "run_started", "verb": verb}]
    records += [{"event": "host_step", "step": step} for step in steps]
    records.append({"event": "host_ended", "status": status, "error": {"message": error}})
    return "\n".join(json.dumps(each) for each in records)


@pytest.mark.parametrize(
    ("code", "out", "stage"),
    [
        (3, "", "input"),
        (4, events("plan", "failed"), "plan"),
        (4, events("apply", "failed", "lock", "stage", error="no"), "host"),
        (4, events("apply", "rolled_back", "stage", "swap", "undo"), "health"),
        (0, events("apply", "changed", "stage", "swap", "reload"), "nobody"),
    ],
)
def test_the_stage_is_read_from_events(code: int, out: str, stage: str) -> None:
    assert judge(Done(code, out, "why"))[0] == stage


def test_a_host_that_needs_a_human_is_no_catch() -> None:
    with pytest.raises(Violation, match="conflict"):
        judge(Done(8, events("apply", "conflict", "swap", "undo"), ""))


def test_only_the_parts_that_ran_are_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- matrix -->old<!-- /matrix -->\n<!-- corpus -->kept<!-- /corpus -->\n")
    well = Result("bookworm:reload:power:3", "power", "reload", "activate: postfix", "old")
    bad = Result("bookworm:reload:full:4", "full", "reload", "activate", "violation", "gone|x")
    write([well, bad], "inv faults", page)
    text = page.read_text()
    assert "old<" not in text
    assert "kept" in text
    assert "`bookworm:reload:full:4`" in text
    assert "gone\\|x" in text
    assert "2 runs, 1 of them not as they must be" in text


def test_the_page_has_a_place_for_every_part(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text("utf-8"))
    write([Caught("a fault", "tables", "trixie", "host", "host")], "inv faults", page)
    assert "1 faults; 1 (100.0 %) refused before the first rename" in page.read_text()
