"""Broken options, read as every command reads them: place, cause and cure, each told once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from provisioner.cli.options import Common
from provisioner.cli.workspace import load
from provisioner.diagnostics import Diagnostic, render
from provisioner.errors import ExitCode, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = Path(__file__).parents[2] / "cases/roles/broken.yaml"
CASES = yaml.safe_load(FILE.read_text("utf-8"))
HOSTS = 50


def _repository(case: dict[str, Any]) -> None:
    for folder in ("group_vars", "host_vars"):
        Path("inventory", folder).mkdir(parents=True)
    Path("inventory/hosts").write_text(f"[mx]\nmx[1:{HOSTS}]\n", "utf-8")
    Path("inventory/group_vars/mx.yml").write_text(case["vars"], "utf-8")
    if "host" in case:
        Path("inventory/host_vars/mx2.yml").write_text(case["host"], "utf-8")
    roles = ", ".join(["postfix", *case.get("roles", ())])
    Path("site.yml").write_text(f"- hosts: all\n  roles: [{roles}]\n", "utf-8")


def _check(found: list[Diagnostic], says: Iterable[str]) -> None:
    assert len(found) == len(list(says)), [render(each) for each in found]
    for each, expected in zip(found, says, strict=True):
        place, message, cure = (part.strip() for part in expected.split(" | "))
        shown = render(each)
        assert each.mark is not None, shown
        folder = "host_vars" if "mx2" in place else "group_vars"
        assert str(each.mark) == f"inventory/{folder}/{place}", shown
        assert message in each.message, shown
        assert cure in each.help or cure in each.message, shown
        assert shown.splitlines()[2].endswith("^"), "the place is pointed at"


@pytest.mark.parametrize("case", [pytest.param(each, id=each["name"]) for each in CASES])
def test_broken_options(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[Diagnostic] = []
    monkeypatch.setattr("provisioner.cli.workspace.print_diagnostic", told.append)
    _repository(case)
    if "warns" in case:
        assert len(load(Common()).hosts) == HOSTS
        _check(told, case["warns"])
        return
    with pytest.raises(InputError) as caught:
        load(Common())
    assert caught.value.exit_code is ExitCode.USAGE
    _check(caught.value.diagnostics(), case["says"])


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 50
