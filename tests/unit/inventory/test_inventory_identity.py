"""Who an inventory is, in git and without it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from provisioner.inventory import identity as module
from provisioner.inventory.identity import identity

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_mock import MockerFixture

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def _git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "one"
    (folder / "inventory").mkdir(parents=True)
    (folder / "inventory" / "hosts").write_text("mx1\n", encoding="utf-8")
    _git(folder, "init", "-q")
    _git(folder, "add", ".")
    _git(folder, "commit", "-qm", "first")
    return folder


@needs_git
def test_commit_and_changes(repository: Path) -> None:
    found = identity([repository / "inventory"])
    assert found.commit == _git(repository, "rev-parse", "HEAD")
    assert found.dirty is False
    (repository / "inventory" / "group_vars").mkdir()
    (repository / "inventory" / "group_vars" / "all").write_text("a: 1", encoding="utf-8")
    assert identity([repository / "inventory"]).dirty is True


@needs_git
def test_clones_and_later_commits_are_the_same_inventory(repository: Path) -> None:
    before = identity([repository / "inventory"])
    other = repository.parent / "two"
    _git(repository.parent, "clone", "-q", str(repository), str(other))
    (repository / "x").touch()
    _git(repository, "add", "x")
    _git(repository, "commit", "-qm", "second")
    after = identity([repository / "inventory"])
    assert before.id == after.id == identity([other / "inventory"]).id
    assert before.commit != after.commit
    assert identity([repository / "inventory" / "hosts"]).id != after.id


@needs_git
def test_a_shallow_clone_says_so(repository: Path) -> None:
    (repository / "x").touch()
    _git(repository, "add", "x")
    _git(repository, "commit", "-qm", "second")
    other = repository.parent / "shallow"
    _git(repository.parent, "clone", "-q", "--depth=1", f"file://{repository}", str(other))
    assert identity([other / "inventory"]).shallow is True
    assert identity([repository / "inventory"]).shallow is False


def test_outside_of_git_the_path_counts(tmp_path: Path) -> None:
    found = identity([tmp_path])
    assert (found.commit, found.dirty) == (None, None)
    assert found.id == identity([tmp_path / "x" / ".."]).id
    assert found.id != identity([tmp_path / "x"]).id


@pytest.mark.parametrize("problem", [FileNotFoundError(), subprocess.TimeoutExpired("git", 1)])
def test_git_that_is_missing_or_hangs(
    tmp_path: Path, mocker: MockerFixture, problem: Exception
) -> None:
    mocker.patch.object(module.subprocess, "run", side_effect=problem)
    assert identity([tmp_path]).commit is None
