"""`provisioner inventory`, from its arguments to what it prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from provisioner.cli.inventory import inventory
from provisioner.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "inventory/hosts": "[mx]\nmx[1:2]\n[relay]\nrelay1 v=3\n[mx:vars]\nv=1\n",
    "inventory/group_vars/all.yml": "postfix: {a: 1, l: [1]}\n",
    "inventory/group_vars/mx.yml": "postfix: {l: {append: [2]}}\nv: 2\n",
    "group_vars/all.yml": "beside: ü\n",
    "site.yml": "- hosts: mx\n  roles: [postfix]\n- hosts: none\n  roles: [postfix]\n",
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(inventory, arguments)


def document(*arguments: str) -> Any:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("repository")
def test_table_of_hosts_groups_and_roles() -> None:
    result = run()
    assert result.stdout.splitlines() == [
        "HOST    GROUPS  ROLES",
        "mx1     mx      postfix",
        "mx2     mx      postfix",
        "relay1  relay",
        "",
        "3 hosts in 2 groups",
    ]
    assert 'site.yml:3:10: warning: no host of this inventory matches "none"' in result.stderr


@pytest.mark.usefixtures("repository")
def test_limit() -> None:
    assert run("-l", "relay").stdout.splitlines()[-1] == "1 host in 1 group"
    assert set(document("--list", "-l", "mx2")["_meta"]["hostvars"]) == {"mx2"}


@pytest.mark.usefixtures("repository")
def test_list_reads_variables_beside_the_site_file() -> None:
    variables = document("--list")["_meta"]["hostvars"]["relay1"]
    assert variables == {"beside": "ü", "postfix": {"a": 1, "l": [1]}, "v": 3}


@pytest.mark.usefixtures("repository")
def test_one_host_with_origins() -> None:
    assert document("--host", "mx1")["v"] == 2
    found = document("--host", "mx1", "--origins")
    assert found["v"] == {
        "value": 2,
        "origin": "inventory/group_vars/mx.yml:2:1",
        "overrides": [{"value": 1, "origin": "inventory/hosts:6:1"}],
    }
    assert found["postfix"]["value"] == {"a": 1, "l": [1, 2]}
    assert found["postfix"]["origins"]["a"] == "inventory/group_vars/all.yml:1:14"
    assert found["postfix"]["origins"]["l"] == "inventory/group_vars/mx.yml:1:14"


@pytest.mark.usefixtures("repository")
def test_graph() -> None:
    lines = run("--graph").stdout.splitlines()
    assert lines == [
        "@all:",
        "  |--@ungrouped:",
        "  |--@mx:",
        "  |  |--mx1",
        "  |  |--mx2",
        "  |--@relay:",
        "  |  |--relay1",
    ]


def test_named_inventory_needs_no_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = run("-i", "b,a,").stdout.splitlines()
    assert lines[:3] == ["HOST  GROUPS", "b     ungrouped", "a     ungrouped"]


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "mx3"], 'no host is named "mx3"'),
        (["-l", "mx9"], "nothing matches"),
        (["-i", "none"], "no such file"),
        (["--site", "none.yml"], "no such file"),
    ],
)
def test_input_errors_reach_the_caller(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, InputError)
    assert says in result.exception.message
    assert result.exception.help


@pytest.mark.parametrize("arguments", [["--list", "--graph"], ["--origins"]])
def test_usage(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_values_that_json_cannot_spell(tmp_path: Path) -> None:
    path = tmp_path / "h.json"
    path.write_text(
        '{"all": {"hosts": {"h": {"half": "\\ud83d", "x": {"__ansible_vault": "c"}}}}}',
        encoding="utf-8",
    )
    found = document("-i", str(path), "--host", "h")
    assert found == {"half": "\ud83d", "x": {"__ansible_vault": "c"}}
