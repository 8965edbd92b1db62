"""`apply PLANFILE` for a host that the inventory has changed since: refused, and said so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from provisioner.cli.main import run
from provisioner.planning import planfile
from provisioner.planning.plan import HostPlan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts.yml").write_text("all: {hosts: {mx1: {}}}\n")
    (tmp_path / "site.yml").write_text("- hosts: all\n  roles: [postfix]\n")
    monkeypatch.chdir(tmp_path)
    plan = HostPlan("mx1", desired_digest="of another inventory")
    text = planfile.dump(planfile.SavedPlan({"mx1": planfile.SavedHost(plan)}))
    (tmp_path / "old.plan").write_text(text)
    return "old.plan"


def test_a_person_reads_why(saved: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["apply", saved, "-y"]) == 7
    told = capsys.readouterr().err
    assert "mx1" in told
    assert "the inventory wants something else by now" in told
    assert "plan again" in told


def test_a_program_reads_why(saved: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["apply", saved, "-y", "--json"]) == 7
    first, ended, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["version"], first["hosts"]) == (1, ["mx1"])
    assert (ended["host"], ended["status"]) == ("mx1", "stale")
    assert ended["error"]["message"] == "the inventory wants something else by now"
    assert last["event"] == "run_ended"
