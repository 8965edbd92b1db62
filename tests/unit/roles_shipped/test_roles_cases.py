"""Data cases of shipped roles: options in, resources out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from shipped import resources

from provisioner.errors import InputError
from provisioner.postfix import master_cf
from provisioner.resources.base import Resource
from provisioner.resources.file import File, FileState
from provisioner.resources.observed import Observed
from provisioner.resources.parameter import Parameter
from provisioner.resources.service import MasterService
from provisioner.resources.table import Table

CASES = yaml.safe_load((Path(__file__).parents[2] / "cases/roles/cases.yaml").read_text("utf-8"))


def lines(each: Resource) -> list[str]:
    """A resource as the cases write it."""
    if isinstance(each, Parameter):
        return [f"{each.name} = {each.value}"]
    if isinstance(each, Table):
        return [f"{each.path}: {line}" for line in each.content.decode().splitlines()]
    if isinstance(each, MasterService) and each.service:
        options = "".join(f" -o {name}={value}" for name, value in each.service.options)
        return [f"{each.name} {each.service.command}{options}"]
    if isinstance(each, File) and each.state is FileState.FILE:
        return [f"file {each.path} {each.attributes.mode or 0:04o}"]
    if isinstance(each, File):
        return []
    return [f"{each.kind} {each.name}"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    arguments = (case["options"], case.get("files"))
    if "error" in case:
        with pytest.raises((InputError, ValueError)) as caught:
            resources(*arguments, **case.get("mail", {}))
        said = str(caught.value)
        if isinstance(caught.value, InputError):
            said = "\n".join(d.message for d in caught.value.diagnostics())
        assert case["error"] in said
        return
    found, warnings = resources(*arguments, **case.get("mail", {}))
    made = [line for each in found.values() for line in lines(each)]
    for line in case.get("has", []):
        assert line in made
    for text in case.get("lacks", []):
        assert not [line for line in made if text in line]
    if "exactly" in case:
        assert made == case["exactly"]
    assert bool(warnings) is ("warning" in case)
    if warnings:
        assert case["warning"] in warnings[0].message
    if "shown_without" in case:
        for each in found.values():
            assert case["shown_without"] not in shown(each)
            carries = case["shown_without"] in repr(each)
            assert each.holds_secret or not carries


def shown(each: Resource) -> str:
    """What a plan on an empty host says of a resource."""
    from provisioner.postfix import main_cf
    from provisioner.resources.observed import Facts, FileRequest, PathState, UnitState

    paths = {r.path: PathState(r.path) for r in each.requests() if isinstance(r, FileRequest)}
    observed = Observed(
        Facts(postfix_version="3.7.11", map_types=frozenset({"hash", "texthash", "regexp"})),
        main_cf=main_cf.parse(""),
        master_cf=master_cf.parse("smtp inet n - y - - smtpd\n"),
        paths=paths,
        units={each.name: UnitState()},
    )
    return repr(
        [(c.before, c.after, c.notes, c.diff, c.reason) for c in each.diff(observed)]
        if each.kind not in ("unit", "package", "requirement", "service")
        else []
    )
