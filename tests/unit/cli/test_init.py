"""What `init` makes works at once, and the schemas accept what the roles accept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from provisioner.cli.main import cli
from provisioner.cli.options import Common
from provisioner.cli.workspace import load
from provisioner.errors import InputError
from provisioner.roles.loading import RoleLibrary, shipped_folder
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
    assert str(banner.origin.mark) == "inventory/group_vars/mail.yml:12:9"
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
    hooks = yaml.safe_load((made / ".pre-commit-config.yaml").read_text("utf-8"))
    assert hooks["repos"][0]["hooks"][0]["entry"] == "provisioner diff HEAD --exit-zero"
    checks = yaml.safe_load((made / ".github/workflows/check.yml").read_text("utf-8"))
    assert "provisioner diff" in checks["jobs"]["check"]["steps"][-1]["run"]


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
