"""`diff` and `plan --since`: what commits change, told from git alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from provisioner.cli.main import cli
from provisioner.cli.options import Common
from provisioner.cli.snapshots import touched_since
from provisioner.errors import InputError

FILES = {
    "site.yml": "- {hosts: mx, roles: [postfix]}\n",
    "inventory/hosts": "[mx]\nmx1\nmx2\n[old]\nmx1\n",
    "inventory/group_vars/mx.yml": "postfix: {parameters: {smtpd_banner: one}}\n",
}


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True
    )


def _write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _commit(folder: Path) -> None:
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "x")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    _git(tmp_path, "init", "-q")
    for name, text in FILES.items():
        _write(tmp_path, name, text)
    return tmp_path


def _diff(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["diff", *arguments])


def test_before_the_first_commit_everything_is_new(repository: Path) -> None:
    result = _diff("HEAD")
    assert result.exit_code == 2, result.output
    assert "mx1, mx2 (2 hosts):" in result.stdout
    assert "+ create host" in result.stdout


def test_only_what_differs_is_told_with_its_origin(repository: Path) -> None:
    _commit(repository)
    assert _diff("HEAD").exit_code == 0
    _write(repository, "inventory/host_vars/mx2", "postfix: {parameters: {smtpd_banner: two}}\n")
    result = _diff("HEAD")
    assert result.exit_code == 2
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines == [
        "mx2:",
        "~ update parameter:smtpd_banner  [inventory/host_vars/mx2:1:38]",
        "- one",
        "+ two",
        "",
        "1 host differs, 1 does not.",
    ]
    assert _diff("HEAD", "--exit-zero").exit_code == 0
    _commit(repository)
    assert _diff("HEAD").exit_code == 0
    document = json.loads(_diff("HEAD~1", "HEAD", "--json").stdout)
    (change,) = document["hosts"]["mx2"]["changes"]
    assert (change["before"], change["after"]) == ("one", "two")
    assert change["origin"]["mark"]["file"] == "HEAD:inventory/host_vars/mx2"
    assert touched_since(Common(), "HEAD~1") == ["mx2"]


def test_a_host_that_goes_and_one_that_comes(repository: Path) -> None:
    _commit(repository)
    _write(repository, "inventory/hosts", "[mx]\nmx1\nmx3\n")
    document = json.loads(_diff("HEAD", "--json").stdout)["hosts"]
    assert set(document) == {"mx2", "mx3"}
    assert document["mx2"]["changes"][0]["action"] == "delete"
    assert document["mx3"]["changes"][0]["action"] == "create"
    assert json.loads(_diff("HEAD", "--limit", "mx3", "--json").stdout)["hosts"].keys() == {"mx3"}


def test_secrets_stay_closed_and_differ_where_what_is_written_does(repository: Path) -> None:
    options = "postfix: {parameters: {smtpd_banner: !command [touch, %s]}}\n"
    _write(repository, "inventory/group_vars/mx.yml", options % "one")
    _write(repository, "inventory/group_vars/old", "$ANSIBLE_VAULT;1.1;AES256\n3132\n")
    _commit(repository)
    assert _diff("HEAD").exit_code == 0
    _write(repository, "inventory/group_vars/mx.yml", options % "two")
    result = _diff("HEAD")
    assert "- ***" in result.stdout
    assert "+ ***" in result.stdout
    assert not list(repository.rglob("one"))
    _commit(repository)
    _write(repository, "inventory/group_vars/old", "$ANSIBLE_VAULT;1.1;AES256\n3133\n")
    assert "encrypted:inventory/group_vars/old" in _diff("HEAD").stdout
    assert touched_since(Common(), "HEAD") == ["mx1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "git knows no revision nowhere"),
        (["--", "--upload-pack=x"], "git knows no revision"),
        (["HEAD", "-i", "/etc/hostname"], "outside the git repository"),
        (["HEAD", "--limit", "mx9"], 'nothing matches "mx9"'),
    ],
)
def test_what_cannot_be_compared(repository: Path, arguments: list[str], says: str) -> None:
    _commit(repository)
    result = _diff(*arguments)
    assert isinstance(result.exception, InputError)
    assert says in result.exception.message


def test_errors_in_a_revision_name_it(repository: Path) -> None:
    _write(repository, "inventory/group_vars/mx.yml", "postfix: {bad: 1}\n")
    _commit(repository)
    _write(repository, "inventory/group_vars/mx.yml", "{}\n")
    result = _diff("HEAD")
    assert isinstance(result.exception, InputError)
    (found,) = result.exception.diagnostics()
    assert str(found.mark) == "HEAD:inventory/group_vars/mx.yml:1:11"


def test_nothing_is_asked_where_nothing_differs(repository: Path) -> None:
    _commit(repository)
    result = CliRunner().invoke(cli, ["plan", "--since", "HEAD"])
    assert result.exit_code == 0
    assert "none is asked" in result.stderr
