"""What the layers promise: a pure core, light imports, small modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = (
    "provisioner/policy",
    "provisioner/postfix",
    "provisioner/resources",
    "provisioner/planning",
    "roles",
)
#: What talks to the world, or looks at a clock.
IMPURE = {
    "asyncio", "concurrent", "http", "invoke", "multiprocessing", "paramiko", "requests",
    "select", "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time",
    "urllib",
}  # fmt: skip
#: Layers that a pure one must not reach into.
SHELL = {
    f"provisioner.{name}"
    for name in ("cli", "fleet", "host", "inventory", "lab", "report", "transport")
}

MODULES = sorted((ROOT / "provisioner").rglob("*.py")) + sorted((ROOT / "roles").rglob("*.py"))
PURE_MODULES = sorted(file for folder in PURE for file in (ROOT / folder).rglob("*.py"))


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            yield node.module


def test_the_pure_layers_are_found() -> None:
    assert {name(file).split("/role.py")[0] for file in PURE_MODULES} >= {
        "provisioner/postfix/main_cf.py",
        "provisioner/resources/table.py",
        "provisioner/planning/planner.py",
        "roles/postfix",
    }


@pytest.mark.parametrize("file", PURE_MODULES, ids=name)
def test_the_core_is_pure(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    found = set(imports(tree))
    assert {each for each in found if each.split(".")[0] in IMPURE} == set()
    assert {each for each in found if ".".join(each.split(".")[:2]) in SHELL} == set()
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called.isdisjoint({"open", "print", "input", "exec", "eval"})
    asked = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert asked.isdisjoint({"now", "today", "utcnow", "environ", "read_text", "read_bytes"} - (
        {"today"} if file.is_relative_to(ROOT / "roles") else set()  # given to roles, not asked
    ))  # fmt: skip


@pytest.mark.parametrize("file", MODULES, ids=name)
def test_modules_are_small_and_finished(file: Path) -> None:
    text = file.read_text("utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= 450, "too long for one module"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{node.name} does not fit on a screen"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
        if isinstance(node, ast.Name):
            assert node.id != "NotImplementedError", f"a stub in line {node.lineno}"
    if text.strip():
        assert ast.get_docstring(tree), "the module does not say what it is for"


_LOADED = """
import sys
from provisioner.cli.main import run
run({arguments!r})
print("\\n".join(sorted(sys.modules)), file=sys.stderr)
"""


def loaded_by(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.format(arguments=list(arguments))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stderr.split("\n"))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("-h",)])
def test_help_loads_next_to_nothing(arguments: tuple[str, ...]) -> None:
    found = loaded_by(*arguments)
    assert found.isdisjoint({"paramiko", "pydantic", "rich", "yaml", "jinja2", "invoke", "asyncio"})
    ours = {each for each in found if each.split(".")[0] == "provisioner"}
    assert ours <= {
        "provisioner",
        "provisioner.cli",
        "provisioner.cli.main",
        "provisioner.diagnostics",
        "provisioner.errors",
        "provisioner.marks",
        "provisioner.secrets",
    }


@pytest.mark.parametrize("command", ["plan", "apply", "status", "inventory", "roles"])
def test_a_commands_help_opens_no_connection_library(command: str) -> None:
    found = loaded_by(command, "--help")
    assert found.isdisjoint({"paramiko", "rich", "yaml", "jinja2", "invoke"})


def test_secrets_have_one_way_out() -> None:
    """`reveal` is called where the text leaves, and nowhere that renders or plans."""
    for folder in ("provisioner/planning", "provisioner/report", "provisioner/resources"):
        for file in (ROOT / folder).rglob("*.py"):
            assert ".reveal(" not in file.read_text("utf-8"), name(file)
