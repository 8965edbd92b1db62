"""The reference for inventories is the `ansible-inventory` program: same files, same answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.inventory import load_inventory
from provisioner.inventory.export import graph_lines, to_list

CASES = Path(__file__).parent.parent / "cases" / "inventory" / "ansible"
PATTERNS = CASES.parent / "patterns.yml"

#: Asks Ansible's own inventory for many patterns in one process.
ASK = """
import json, sys
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
manager = InventoryManager(loader=DataLoader(), sources=[sys.argv[1]])
print(json.dumps([[host.name for host in manager.get_hosts(text)] for text in sys.argv[2:]]))
"""


def _program() -> str | None:
    given = os.environ.get("PROVISIONER_ANSIBLE_INVENTORY")
    if given:
        return given
    beside = Path(sys.executable).parent / "ansible-inventory"
    return shutil.which("ansible-inventory") or (str(beside) if beside.exists() else None)


@pytest.fixture(scope="module")
def ansible_inventory() -> str:
    program = _program()
    if program is None:
        why = "ansible-inventory is neither on PATH nor named by PROVISIONER_ANSIBLE_INVENTORY"
        if os.environ.get("CI"):
            pytest.fail(f"{why}; install the extra [contract]")
        pytest.skip(why)
    return program


def _cases() -> list[Any]:
    return [
        pytest.param(case, id=f"{file.stem}: {case['name']}")
        for file in sorted(CASES.glob("*.yml"))
        for case in yaml.safe_load(file.read_text(encoding="utf-8"))
    ]


def _write(case: dict[str, Any], root: Path) -> list[str]:
    for name, content in case["files"].items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for name, target in case.get("links", {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    for name in case.get("executable", ()):
        (root / name).chmod(0o755)
    return list(case.get("sources") or [next(iter(case["files"]))])


def _ansible(program: str, case: dict[str, Any], sources: list[str], root: Path, what: str) -> str:
    empty = root / "no play here"
    empty.mkdir(exist_ok=True)
    arguments = [part for source in sources for part in ("-i", source)]
    # Without it, variables would be read beside the current directory.
    arguments += ["--playbook-dir", case.get("beside", str(empty))]
    done = subprocess.run(
        [program, *arguments, what],
        cwd=root,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("case", _cases())
def test_same_hosts_groups_and_variables(
    case: dict[str, Any],
    ansible_inventory: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = _write(case, tmp_path)
    monkeypatch.chdir(tmp_path)
    beside = Path(case["beside"]) if "beside" in case else None
    theirs = json.loads(_ansible(ansible_inventory, case, sources, tmp_path, "--list"))
    ours = json.loads(json.dumps(to_list(load_inventory(sources, beside))))
    assert theirs["_meta"]["hostvars"] or len(theirs) > 2, "the case must say something"
    assert _comparable(ours) == _comparable(theirs)


def test_graph_is_the_same(
    ansible_inventory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(case.values[0] for case in _cases() if "deep and wide" in str(case.id))
    sources = _write(case, tmp_path)
    monkeypatch.chdir(tmp_path)
    theirs = _ansible(ansible_inventory, case, sources, tmp_path, "--graph").strip().splitlines()
    assert list(graph_lines(load_inventory(sources))) == theirs


def test_patterns_mean_the_same_hosts(ansible_inventory: str, tmp_path: Path) -> None:
    case = yaml.safe_load(PATTERNS.read_text(encoding="utf-8"))
    source = tmp_path / "hosts"
    source.write_text(case["inventory"], encoding="utf-8")
    first_line = Path(ansible_inventory).read_text(encoding="utf-8").splitlines()[0]
    done = subprocess.run(
        [*first_line.removeprefix("#!").split(), "-c", ASK, str(source), *case["matching"]],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    theirs = dict(zip(case["matching"], json.loads(done.stdout), strict=True))
    loaded = load_inventory([source])
    ours = {text: [host.name for host in loaded.select(text)] for text in case["matching"]}
    assert all(theirs.values()), "each of these patterns matches something"
    assert ours == theirs


def _comparable(listing: dict[str, Any]) -> dict[str, Any]:
    """`listing` without what differs between versions of Ansible: the format's name."""
    listing["_meta"].pop("profile", None)
    return listing
