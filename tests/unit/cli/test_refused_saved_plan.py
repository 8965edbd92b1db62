"""`apply PLANFILE` for a host that the inventory has changed since: refused, and said so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from provisioner.cli.main import run
from provisioner.cli.options import Common
from provisioner.cli.workspace import load
from provisioner.planning import planfile
from provisioner.planning.plan import HostPlan


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts.yml").write_text("all: {hosts: {mx1: {}}}\n")
    (tmp_path / "site.yml").write_text("- hosts: all\n  roles: [postfix]\n")
    monkeypatch.chdir(tmp_path)
    plan = HostPlan("mx1", desired_digest="of another inventory")
    text = planfile.dump(planfile.SavedPlan({"mx1": planfile.SavedHost(plan)}), {}, os.urandom)
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


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A plan of a host whose options hold a secret, saved while that was `first-secret`."""
    monkeypatch.setenv("PLANTED", "first-secret")
    (tmp_path / "inventory" / "group_vars").mkdir(parents=True)
    (tmp_path / "inventory" / "hosts.yml").write_text("all: {hosts: {mx1: {}}}\n")
    options = "postfix: {parameters: {smtp_helo_name: !env PLANTED}}\n"
    (tmp_path / "inventory" / "group_vars" / "all.yml").write_text(options)
    (tmp_path / "site.yml").write_text("- hosts: all\n  roles: [postfix]\n")
    monkeypatch.chdir(tmp_path)
    wanted = load(Common()).desired
    plan = HostPlan("mx1", desired_digest=wanted["mx1"].digest)
    saved = planfile.SavedPlan({"mx1": planfile.SavedHost(plan)})
    (tmp_path / "sealed.plan").write_text(planfile.dump(saved, wanted, os.urandom))
    return "sealed.plan"


def test_a_plan_with_secrets_is_opened_by_the_same_secrets(sealed: str) -> None:
    assert "first-secret" not in Path(sealed).read_text()
    assert run(["apply", sealed, "--check"]) == 2


def test_a_changed_secret_makes_it_stale(
    sealed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLANTED", "second-secret")
    assert run(["apply", sealed, "-y"]) == 7
    told = capsys.readouterr().err
    assert "the inventory wants something else by now" in told
    assert "-secret" not in told
