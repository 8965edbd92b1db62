"""Documentation that cannot rot unnoticed: generated pages, links, commands, JSON fields."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import get_args

import click
import pytest

from provisioner.cli.main import COMMANDS, cli
from provisioner.errors import Failed
from provisioner.fleet.events import (
    Event,
    HostEnded,
    HostNote,
    HostStarted,
    HostStep,
    RunEnded,
    RunStarted,
)
from provisioner.fleet.outcome import Outcome, Status
from provisioner.planning.plan import HostPlan
from provisioner.planning.planfile import document
from provisioner.report.jsonlines import record

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for folder in (".", "docs", "examples", "roles")
    for path in ROOT.glob(f"{folder}/*.md" if folder == "." else f"{folder}/**/*.md")
)
LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^\s*[#$] (provisioner .*)$", re.MULTILINE)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date() -> None:
    generate = generator()
    old = [str(path.relative_to(ROOT)) for path in generate.stale(generate.pages())]
    assert old == [], "run: inv docs"


def test_check_names_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generate = generator()
    page = tmp_path / "roles.md"
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "pages", lambda: {page: "new\n"})
    assert generate.main(["--check"]) == 1
    assert "stale  roles.md" in capsys.readouterr().out
    assert not page.exists()
    assert generate.main([]) == 0
    assert page.read_text() == "new\n"
    assert generate.main(["--check"]) == 0


def anchors(path: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of headings."""
    text = path.read_text("utf-8")
    found = set(re.findall(r'<a id="([^"]+)">', text))
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def unknown_words(line: str) -> list[str]:
    """The words of a documented command line that the program does not know."""
    words = shlex.split(re.split(r"[|>;]|  +#", line)[0])[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            return [words[0]]
        command, words = found, words[1:]
    known = {"-h", "--help", "--version"}
    for parameter in command.params:
        known.update(parameter.opts if isinstance(parameter, click.Option) else ())
    words = words[: words.index("--")] if "--" in words else words
    flags = [word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]
    return [flag for flag in flags if flag not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_documented_commands_exist(page: Path) -> None:
    lines = COMMAND.findall(page.read_text("utf-8"))
    assert {line: unknown_words(line) for line in lines if unknown_words(line)} == {}


def test_every_command_has_a_page() -> None:
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    for name in COMMANDS:
        assert f"## provisioner {name}\n" in reference


def test_json_fields_are_documented() -> None:
    page = (ROOT / "docs" / "reference" / "json.md").read_text("utf-8")
    outcome = Outcome("mx1", Status.FAILED, HostPlan("mx1"), Failed("mx1", "apply", "no"))
    events = (
        RunStarted("plan", ("mx1",), "run"),
        HostStarted("mx1"),
        HostStep("mx1", "plan"),
        HostNote("mx1", "not rehearsed"),
        HostEnded(outcome),
        RunEnded(),
    )
    assert {type(each) for each in events} == set(get_args(Event)), "an event is new"
    records = [record(each) for each in events]
    fields = {field for each in records for field in each} | set(document(HostPlan("mx1")))
    names = {str(each["event"]) for each in records}
    missing = [word for word in sorted(fields | names) if f"`{word}`" not in page]
    assert missing == []
