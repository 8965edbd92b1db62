"""Resources and planning compute; they touch no host, no file, no program and no clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import provisioner.planning
import provisioner.resources

FORBIDDEN = {
    *("asyncio", "invoke", "io", "os", "paramiko", "pathlib", "requests", "select", "shutil"),
    *("signal", "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib"),
    *("provisioner.cli", "provisioner.fleet", "provisioner.host", "provisioner.inventory"),
    *("provisioner.lab", "provisioner.report", "provisioner.transport"),
}
MODULES = [
    path
    for package in (provisioner.planning, provisioner.resources)
    for path in sorted(Path(str(package.__file__)).parent.glob("*.py"))
]


def parents(name: str) -> set[str]:
    """`a.b.c` with `a.b` and `a`."""
    parts = name.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts) + 1)}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_nothing_to_act_with_is_imported(module: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imported |= parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            imported |= parents(node.module or "")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval"}
    assert imported & FORBIDDEN == set()
