"""The reference for inventories is the `ansible-inventory` program: same files, same answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.inventory import load_inventory
from provisioner.inventory.export import graph_lines, host_variables, to_list

CASES = Path(__file__).parent.parent / "cases" / "inventory" / "ansible"
PATTERNS = CASES.parent / "patterns.yml"

#: Runs `ansible-inventory` and `ansible` again and again: what takes a second of each run is
#: its start. Reads a JSON line {folder, runs: [[program, argument, …], …]}, answers with one:
#: what each printed.
SERVER = """
import json, os, sys, tempfile
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.inventory import InventoryCLI

PROGRAMS = {"ansible": AdHocCLI, "ansible-inventory": InventoryCLI}

def run(arguments):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            code = 1
            try:
                PROGRAMS[arguments[0]](arguments).run()
                code = 0
            except SystemExit as end:
                code = end.code or 0
            finally:
                sys.stdout.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return code, out.read().decode(), err.read().decode()

for line in sys.stdin:
    asked = json.loads(line)
    os.chdir(asked["folder"])
    answers = [run(arguments) for arguments in asked["runs"]]
    os.chdir("/")
    print(json.dumps(answers), flush=True)
"""


class Reference:
    """The programs `ansible-inventory` and `ansible`, started once."""

    def __init__(self, program: str, home: Path) -> None:
        first_line = Path(program).read_text(encoding="utf-8").splitlines()[0]
        self._process = subprocess.Popen(
            [*first_line.removeprefix("#!").split(), "-c", SERVER],
            cwd=home,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_LOCALHOST_WARNING": "0",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def ask(self, folder: Path, *runs: Sequence[str]) -> list[str]:
        """What each run printed; every one has to succeed."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"folder": str(folder), "runs": runs}) + "\n")
        stdin.flush()
        answers = json.loads(stdout.readline())
        for code, _, complaint in answers:
            assert code == 0, complaint
        return [text for _, text, _ in answers]


def _program() -> str | None:
    given = os.environ.get("PROVISIONER_ANSIBLE_INVENTORY")
    if given:
        return given
    beside = Path(sys.executable).parent / "ansible-inventory"
    return shutil.which("ansible-inventory") or (str(beside) if beside.exists() else None)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    program = _program()
    if program is None:
        why = "ansible-inventory is neither on PATH nor named by PROVISIONER_ANSIBLE_INVENTORY"
        if os.environ.get("CI"):
            pytest.fail(f"{why}; install the extra [contract]")
        pytest.skip(why)
    running = Reference(program, tmp_path_factory.mktemp("home"))
    yield running
    running.close()


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


def _arguments(case: dict[str, Any], sources: list[str], root: Path) -> list[str]:
    empty = root / "no play here"
    empty.mkdir(exist_ok=True)
    arguments = [part for source in sources for part in ("-i", source)]
    # Without it, variables would be read beside the current directory.
    return ["ansible-inventory", *arguments, "--playbook-dir", case.get("beside", str(empty))]


@pytest.mark.parametrize("case", _cases())
def test_same_hosts_groups_and_variables(
    case: dict[str, Any], reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = _write(case, tmp_path)
    monkeypatch.chdir(tmp_path)
    loaded = load_inventory(sources, Path(case["beside"]) if "beside" in case else None)
    # Only names that are no patterns: --host takes one.
    hosts = [name for name in loaded.hosts if re.fullmatch(r"[a-z0-9.-]+", name)][:3]
    common = _arguments(case, sources, tmp_path)
    listing, graph, *each = reference.ask(
        tmp_path,
        [*common, "--list"],
        [*common, "--graph"],
        *([*common, "--host", name] for name in hosts),
    )
    theirs = json.loads(listing)
    ours = json.loads(json.dumps(to_list(loaded)))
    assert theirs["_meta"]["hostvars"] or len(theirs) > 2, "the case must say something"
    assert _comparable(ours) == _comparable(theirs)
    assert list(graph_lines(loaded)) == graph.strip("\n").splitlines()
    for name, printed in zip(hosts, each, strict=True):
        assert json.loads(json.dumps(host_variables(loaded.hosts[name]))) == json.loads(printed)


def test_there_are_enough_cases() -> None:
    assert len(_cases()) >= 60


@pytest.fixture
def patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The cases of patterns; their inventory is `hosts` in the current directory."""
    case: dict[str, Any] = yaml.safe_load(PATTERNS.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    for name, text in {"hosts": case["inventory"], **case["files"]}.items():
        Path(name).write_text(text, encoding="utf-8")
    return case


def test_patterns_mean_the_same_hosts(
    reference: Reference, tmp_path: Path, patterns: dict[str, Any]
) -> None:
    """`ansible PATTERN --list-hosts`: the same hosts in the same order."""
    asked = patterns["matching"]
    runs = (["ansible", "-i", "hosts", "--list-hosts", "--", text] for text in asked)
    theirs = dict(zip(asked, map(_listed, reference.ask(tmp_path, *runs)), strict=True))
    loaded = load_inventory(["hosts"])
    ours = {text: [host.name for host in loaded.select(text)] for text in asked}
    assert all(theirs.values()), "each of these patterns matches something"
    assert ours == theirs


def test_limits_leave_the_same_hosts(
    reference: Reference, tmp_path: Path, patterns: dict[str, Any]
) -> None:
    """`--limit PATTERN` of Ansible, which alone takes files: the same hosts, however ordered."""
    asked = patterns["limits"]
    common = ["ansible", "all", "-i", "hosts", "--list-hosts"]
    runs = ([*common, f"--limit={text}"] for text in asked)
    theirs = dict(zip(asked, map(_listed, reference.ask(tmp_path, *runs)), strict=True))
    loaded = load_inventory(["hosts"])
    ours = {text: sorted(host.name for host in loaded.select(text)) for text in asked}
    assert ours == {text: sorted(found) for text, found in theirs.items()}


def _listed(printed: str) -> list[str]:
    """The hosts that `ansible --list-hosts` printed, below a line that counts them."""
    count, *names = printed.splitlines()
    assert count.strip() == f"hosts ({len(names)}):"
    return [name.strip() for name in names]


def _comparable(listing: dict[str, Any]) -> dict[str, Any]:
    """`listing` without what differs between versions of Ansible: the format's name."""
    listing["_meta"].pop("profile", None)
    return listing
