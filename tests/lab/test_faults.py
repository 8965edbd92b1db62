"""A small, always equal part of what `inv faults` does: see docs/reliability.md."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from concurrency import MEETINGS, Meetings
from corpus import Corpus, load
from injection import FAULTS
from load import Loads
from matrix import Case, Matrix
from rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Any

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host


def all_well(run: Callable[[Any], Any], items: Iterable[Any]) -> None:
    results = [run(each) for each in items]
    assert results
    bad = [str(each) for each in results if not each.well]
    assert not bad, "\n".join(bad)


def test_each_fault_at_some_boundary(
    lab: Lab, fresh_host: Callable[..., Host], tmp_path: Path
) -> None:
    host = fresh_host()
    chance = random.Random(1)  # noqa: S311 - no secret
    cases = [Case(host.release, "reload", fault, chance.random()) for fault in FAULTS]
    all_well(Matrix(Rig(lab, host, tmp_path)).run, cases)


@pytest.mark.matrix
def test_faults_while_a_change_is_undone(lab: Lab, host: Host, tmp_path: Path) -> None:
    kinds = [("undone", "group"), ("undone", "power"), ("guarded", "shell"), ("guarded", "power")]
    cases = [Case(host.release, scenario, fault, 0.9) for scenario, fault in kinds]
    all_well(Matrix(Rig(lab, host, tmp_path)).run, cases)


def some(release: str, first: int, every: int) -> list[Any]:
    """Each so-many-th fault of the corpus that is one on that release."""
    entries = [each for each in load() if not each.releases or release in each.releases]
    return entries[first::every]


def test_some_bad_configurations(lab: Lab, fresh_host: Callable[..., Host], tmp_path: Path) -> None:
    host = fresh_host()
    all_well(Corpus(Rig(lab, host, tmp_path)).run, some(host.release, 10, 25))


@pytest.mark.matrix
def test_more_bad_configurations(lab: Lab, host: Host, tmp_path: Path) -> None:
    all_well(Corpus(Rig(lab, host, tmp_path)).run, some(host.release, 11, 25))


def test_another_apply_at_the_same_time(
    lab: Lab, fresh_host: Callable[..., Host], tmp_path: Path
) -> None:
    names = ["two applies at once", "main.cf edited right before the renames"]
    all_well(Meetings(Rig(lab, fresh_host(), tmp_path)).run, names)


@pytest.mark.matrix
def test_others_at_work(lab: Lab, fresh_host: Callable[..., Host], tmp_path: Path) -> None:
    all_well(Meetings(Rig(lab, fresh_host(), tmp_path)).run, MEETINGS)


def test_no_accepted_mail_is_lost(
    lab: Lab, fresh_host: Callable[..., Host], tmp_path: Path
) -> None:
    all_well(Loads(Rig(lab, fresh_host(), tmp_path)).run, ["reload"])
