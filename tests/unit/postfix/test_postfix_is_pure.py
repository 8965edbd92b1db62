"""The Postfix knowledge is pure: no I/O, no programs, no clock, nothing from outside."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import provisioner.postfix

ALLOWED = {
    "__future__",
    "collections.abc",
    "dataclasses",
    "functools",
    "enum",
    "ipaddress",
    "re",
    "typing",
    "provisioner.diagnostics",
    "provisioner.marks",
    "provisioner.postfix",
    "provisioner.secrets",
}
MODULES = sorted(Path(provisioner.postfix.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_imports(module: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval"}
    strange = {
        name
        for name in imported
        if name not in ALLOWED and not name.startswith("provisioner.postfix.")
    }
    assert not strange
