"""What `init` makes works at once, and the schemas accept what the roles accept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from provisioner.cli.main import cli
from provisioner.cli.options import Common
from provisioner.cli.workspace import load
from provisioner.errors import InputError
from provisioner.roles.desired import UMBRELLA
from provisioner.roles.loading import RoleLibrary, shipped_folder
from provisioner.roles.policy import PolicyBook
from provisioner.roles.schema import KINDS, schema_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["init", "new"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "provisioner plan" in result.output
    return tmp_path / "new"


def test_the_new_repository_says_what_is_desired(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    workspace = load(Common())
    (state,) = workspace.desired.values()
    shown = {each.address: each for each in state.resources}
    banner = shown["parameter:smtpd_banner"]
    assert banner.identity() == ["$myhostname ESMTP mail service of localhost", False]
    assert str(banner.origin.mark) == "inventory/group_vars/mail/options.yml:12:9"
    assert workspace.targets[0].connection == "local"
    assert workspace.inventory.warnings == []


def test_every_file_with_a_modeline_names_a_schema_that_is_there(made: Path) -> None:
    found = 0
    for path in made.rglob("*.yml"):
        first = path.read_text("utf-8").splitlines()[0]
        if "yaml-language-server" in first:
            schema = path.parent / first.partition("$schema=")[2]
            assert json.loads(schema.read_text("utf-8"))["title"]
            found += 1
    assert found == 3


def test_what_it_makes_fits_its_own_schemas(made: Path) -> None:
    checked = 0
    for path in made.rglob("*.yml"):
        first, *_ = text = path.read_text("utf-8").splitlines()
        if "yaml-language-server" in first:
            schema = json.loads((path.parent / first.partition("$schema=")[2]).read_text("utf-8"))
            assert _errors(schema, yaml.safe_load("\n".join(text))) == []
            checked += 1
    assert checked == 3


def test_it_has_policy_tests(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    workspace = load(Common())
    book = PolicyBook(UMBRELLA)
    (host,) = workspace.hosts
    assert [each.options.name for each in book.written(host)] == [
        "strangers cannot relay through us",
        "nobody is offered VRFY",
    ]


@pytest.fixture
def under_git(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The new repository under git, with its own check as git's hook."""
    monkeypatch.chdir(made)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "x")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "x@example.org")
    _git("init", "-q", "-b", "main")
    config = yaml.safe_load((made / ".pre-commit-config.yaml").read_text("utf-8"))
    (hook,) = config["repos"][0]["hooks"]
    assert (hook["language"], hook["pass_filenames"]) == ("system", False)
    script = made / ".git/hooks/pre-commit"
    script.write_text(f"#!/bin/sh\nexec {hook['entry']}\n")
    script.chmod(0o755)
    _git("add", ".")
    return made


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def test_every_commit_is_checked_and_shown(under_git: Path) -> None:
    first = _git("commit", "-qm", "first")
    assert first.returncode == 0, first.stderr
    assert "1 host differs" in first.stdout + first.stderr, "the whole of it is new"
    options = under_git / "inventory/group_vars/mail/options.yml"
    good = options.read_text()
    options.write_text(good.replace("disable_vrfy_command: yes", "disable_vrfy_command: no"))
    second = _git("commit", "-qam", "second")
    assert second.returncode == 0, second.stderr
    assert "~ update parameter:disable_vrfy_command" in second.stdout + second.stderr
    options.write_text(good.replace("parameters:", "paramters:"))
    third = _git("commit", "-qam", "third")
    assert third.returncode != 0
    assert "did you mean parameters?" in third.stderr
    assert _git("log", "--format=%s").stdout.split() == ["second", "first"]


def test_ci_shows_what_a_branch_changes(under_git: Path, tmp_path: Path) -> None:
    _git("commit", "-qm", "first")
    _git("checkout", "-qb", "change")
    (under_git / "inventory/host_vars").mkdir()
    exception = "postfix: {parameters: {disable_vrfy_command: no}}\n"
    (under_git / "inventory/host_vars/localhost.yml").write_text(exception)
    _git("add", ".")
    _git("commit", "-qm", "second")
    _git("clone", "-q", "-b", "change", str(under_git), str(tmp_path / "runner"))
    workflow = yaml.safe_load((under_git / ".github/workflows/check.yml").read_text("utf-8"))
    *_, check = workflow["jobs"]["check"]["steps"]
    done = subprocess.run(
        ["sh", "-ec", check["run"]],
        cwd=tmp_path / "runner",
        env={**os.environ, "GITHUB_BASE_REF": "main", "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "[HEAD:inventory/host_vars/localhost.yml:1:46]" in done.stdout
    assert "1 host differs, 0 do not." in done.stdout


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x", encoding="utf-8")
    result = CliRunner().invoke(cli, ["init", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert "not empty: mine" in result.exception.message
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# ---- schemas ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, object]]:
    roles = list(RoleLibrary())
    return {kind: schema_of(kind, roles, "provisioner") for kind in KINDS}


def _errors(schema: dict[str, object], document: object) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft7Validator.check_schema(schema)
    # An editor has the text of a date, not a date.
    document = json.loads(json.dumps(document, default=str))
    return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(document)]


EXAMPLES = [
    *sorted(ROOT.glob("examples/*/inventory/*_vars/*.yml")),
    *sorted(ROOT.glob("inventory/*_vars/*.yml")),
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: "/".join(path.parts[-4:]))
def test_examples_fit(schemas: dict[str, dict[str, object]], path: Path) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))
    assert _errors(schemas[path.parent.name], document) == []


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("mail: {domains: [a.example]}", True),
        ("mail: {domains: {append: [a.example]}}", True),
        ('mail: {domains: "{{ mine }}"}', True),
        ("mail: {domains: {apend: [a.example]}}", False),
        ("mail: {domians: [a.example]}", False),
        ("provisioner: {mail: {domains: [a.example]}}", True),
        ("provisioner: {mial: {}}", False),
        ("anything: {goes: 1}", True),
        ('postfix: {parameters: {message_size_limit: "{{ size }}"}}', True),
        ('postfix: {running: "{{ running }}"}', True),
        ("postfix: {running: sometimes}", False),
        ("postfix: {no_such_option: 1}", False),
        ("policy_tests: [{name: a, client: 192.0.2.1, expect: 5xx}]", True),
        ("policy_tests: [{name: a, client: {login: b}, expect: {reply: [450, 5xx]}}]", True),
        ("provisioner: {policy_tests: [{name: a, skip: why}]}", True),
        ('policy_tests: "{{ ours }}"', True),
        ("policy_tests: [{name: a, form: b@example.net, expect: 5xx}]", False),
        ("policy_tests: {name: a}", False),
        ("ansible_port: 22", True),
        ("ansible_port: [22]", False),
        ("policy_tests: [{name: a, from: b@example.org, expect: 5xx}]", True),
        ("policy_tests: [{name: a, form: b@example.org, expect: 5xx}]", False),
        ("", True),
    ],
)
def test_files_of_variables(schemas: dict[str, dict[str, object]], text: str, fits: bool) -> None:
    for kind in ("group_vars", "host_vars"):
        assert (_errors(schemas[kind], yaml.safe_load(text)) == []) is fits


def test_site_files(schemas: dict[str, dict[str, object]]) -> None:
    for path in (ROOT / "site.yml", *ROOT.glob("examples/*/site.yml")):
        assert _errors(schemas["site"], yaml.safe_load(path.read_text("utf-8"))) == []
    assert _errors(schemas["site"], [{"hosts": "all", "role": ["postfix"]}])
    assert shipped_folder().is_dir()


def test_the_schema_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["schema", "site"], catch_exceptions=False)
    assert json.loads(result.stdout)["title"] == "site file"
    result = CliRunner().invoke(cli, ["schema", "-o", str(tmp_path / "s")], catch_exceptions=False)
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "group_vars.json",
        "host_vars.json",
        "site.json",
    ]
    assert isinstance(CliRunner().invoke(cli, ["schema"]).exception, InputError)
