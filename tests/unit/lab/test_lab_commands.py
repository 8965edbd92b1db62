"""`provisioner lab` where no lab is up, and none may be started."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from provisioner.cli.lab import lab
from provisioner.errors import ExitCode, InputError
from provisioner.lab import LabError, requirements, state

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROVISIONER_LAB_RUN", str(tmp_path / "run"))
    return tmp_path / "run"


def test_ls_of_nothing() -> None:
    assert CliRunner().invoke(lab, ["ls"]).stdout == ""
    shown = json.loads(CliRunner().invoke(lab, ["ls", "--json"]).stdout)
    assert shown == {"version": 1, "hosts": []}


@pytest.mark.parametrize("arguments", [["ssh", "mx1"], ["inventory"], ["reset", "mx1"]])
def test_commands_on_a_lab_that_is_not_up(arguments: list[str]) -> None:
    with pytest.raises(InputError, match="no lab 'default' is up") as error:
        CliRunner().invoke(lab, arguments, catch_exceptions=False)
    assert error.value.exit_code is ExitCode.USAGE
    assert error.value.help == "start one: provisioner lab up"


def test_a_torn_lab_is_named_with_the_way_out(nothing_up: Path) -> None:
    (nothing_up / "torn").mkdir(parents=True)
    (nothing_up / "torn/lab.json").write_text("{")
    with pytest.raises(LabError, match="cannot be read") as error:
        state.load("torn")
    assert error.value.help == "provisioner lab down --name torn"
    shown = CliRunner().invoke(lab, ["ls"])
    assert "lab torn is broken" in shown.stderr
    assert shown.exit_code == 0


@pytest.mark.parametrize("arguments", [["up", "--name", "No Name"], ["down", "--name", "../etc"]])
def test_names_are_checked_before_anything_happens(arguments: list[str]) -> None:
    with pytest.raises(InputError, match="cannot name a lab"):
        CliRunner().invoke(lab, arguments, catch_exceptions=False)


def test_up_and_doctor_where_a_lab_is_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        requirements, "check", lambda: [requirements.Check("root", False, "run as root")]
    )
    for arguments in (["up"], ["doctor"], ["build"]):
        with pytest.raises(InputError, match="no root") as error:
            CliRunner().invoke(lab, arguments, catch_exceptions=False)
        assert requirements.OWN_HOST in error.value.help


@pytest.mark.parametrize("arguments", [["up", "-n", "0"], ["up", "-n", "255"], ["up", "-n", "x"]])
def test_counts_are_checked_by_click(arguments: list[str]) -> None:
    assert CliRunner().invoke(lab, arguments).exit_code == 2


def test_the_command_module_is_light() -> None:
    code = (
        "import sys; import provisioner.cli.lab;"
        "print([m for m in ('paramiko', 'dnslib', 'yaml', 'cryptography') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
