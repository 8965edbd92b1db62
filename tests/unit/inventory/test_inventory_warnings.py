"""What Ansible swallows silently is read as Ansible reads it, and warned about at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.diagnostics import Severity
from provisioner.errors import InputError
from provisioner.inventory import load_inventory

#: name: (files, place of the warning, part of its text)
CASES: dict[str, tuple[dict[str, str], str, str]] = {
    "duplicate key": ({"h.yml": "all:\n  vars:\n    a: 1\n    a: 2\n"}, "h.yml:4:5", "twice"),
    "duplicate key in JSON": ({"h.json": '{"all": {},\n "all": {}}'}, "h.json:2:2", "twice"),
    "variable twice in a line": ({"h": "h1 a=1 a=2\n"}, "h:1:8", "twice"),
    "group that is a list": ({"h.yml": "all:\nweb: [h1]\n"}, "h.yml:2:1", '"web" is skipped'),
    "unknown key in a group": (
        {"h.yml": "all:\n  host:\n    h1:\n"},
        "h.yml:2:3",
        '"host" in group "all" is skipped',
    ),
    "comment in vars": ({"h": "[g]\nh1\n[g:vars]\na=x # y\n"}, "h:4:3", "part of the value"),
    "port of a known host": ({"h": "h1\nh1:2222\n"}, "h:2:1", "2222 is ignored"),
    "host like a group": ({"h": "[g]\nx\n[x]\n"}, "h:2:1", "group and of a host"),
    "empty range": ({"h": "h[3:1]\n"}, "h:1:1", "empty"),
    "name that no template can use": ({"h": "h1 a-b=1\n"}, "h:1:4", "templates"),
    "byte order mark": ({"h": "\ufeffh1\n"}, "h:1:1", "byte order mark"),
    "empty YAML": ({"h.yml": "---\n"}, "h.yml", "empty"),
    "priority in a file of variables": (
        {"h": "[g]\nh1\n", "group_vars/g.yml": "ansible_group_priority: 5\n"},
        "group_vars/g.yml:1:1",
        "no effect",
    ),
    "file hidden by another": (
        {"h": "h1\n", "group_vars/all/x.yml": "a: 1\n", "group_vars/all.yml": "b: 1\n"},
        "group_vars/all.yml",
        "ignored, because all exists",
    ),
    "group_vars that is a file": ({"h": "h1\n", "group_vars": "x\n"}, "group_vars", "directory"),
    "encrypted file of variables": (
        {"h": "h1\n", "host_vars/h1": "$ANSIBLE_VAULT;1.1;AES256\n31\n"},
        "host_vars/h1",
        "encrypted",
    ),
}


@pytest.mark.parametrize(("files", "place", "says"), CASES.values(), ids=CASES)
def test_warning(
    files: dict[str, str],
    place: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (warning,) = load_inventory([next(iter(files))]).warnings
    assert str(warning.mark) == place
    assert says in warning.message
    assert warning.severity is Severity.WARNING


def test_a_good_inventory_has_none(tmp_path: Path) -> None:
    path = Path(tmp_path / "hosts.yml")
    path.write_text("all: {children: {mx: {hosts: {'mx[1:2]': {a: 1}}}}}\n", encoding="utf-8")
    assert load_inventory([path]).warnings == []


STRAYS = {
    "README": "Inventory of the mail hosts\nSee: the wiki\n",
    "Makefile": "all:\n\tansible-inventory --graph\n",
    "pytest.ini": "[pytest]\naddopts = -q\n",
    "play.yml": "- name: x\n  hosts: all\n  tasks: []\n",
    "run.sh": "#!/bin/sh\nexec ansible-inventory -i . --list\n",
    "logo.png": "\x89PNG\r\n\x1a\n\x00\x00",
}


@pytest.mark.parametrize("name", STRAYS)
def test_files_that_are_no_inventories_are_left_out(name: str, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[mx]\nmx1\n", encoding="utf-8")
    (tmp_path / name).write_text(STRAYS[name], encoding="latin-1")
    loaded = load_inventory([tmp_path])
    assert list(loaded.hosts) == ["mx1"]
    (warning,) = loaded.warnings
    assert str(warning.mark).startswith(f"{tmp_path / name}:")
    assert "no inventory" in warning.message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("more.yml", "all:\n  hosts: [\n"),
        ("more", "[mx]\nmx2 mx3\n"),
        ("more", "all:\n\thosts:\n"),
        ("more.ini", "mx2 mx3\n"),
    ],
)
def test_broken_inventories_are_not_left_out(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[mx]\nmx1\n", encoding="utf-8")
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        load_inventory([tmp_path])
