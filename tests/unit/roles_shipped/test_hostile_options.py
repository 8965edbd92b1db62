"""Hostile texts in every option of every shipped role.

Each text of the documents in `tests/cases/roles/hostile.yaml`, value or free key, is replaced
by hostile ones in turn. Then either an error says where, or what is written means the same
as before with the one text in the place of the other: no entry, line, service or setting
more, none cut in two, none lost.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from shipped import LIBRARY, TODAY
from simulate import MemoryHost, Node

from provisioner.diagnostics import render
from provisioner.errors import InputError
from provisioner.host.transaction import Owner, apply_program
from provisioner.inventory import load_inventory
from provisioner.inventory.model import Host
from provisioner.inventory.site import RoleRef
from provisioner.marks import Map, Mark, Seq
from provisioner.planning.planner import Desired, plan_host
from provisioner.postfix import main_cf, master_cf
from provisioner.postfix.logical import logical_lines, split_list
from provisioner.resources.file import File
from provisioner.resources.observed import UnitState
from provisioner.resources.package import Package
from provisioner.resources.requirement import Requirement
from provisioner.resources.table import Table
from provisioner.resources.unit import Unit
from provisioner.roles.desired import desired_states
from provisioner.roles.interface import MailFacts

DOCUMENTS = yaml.safe_load(
    (Path(__file__).parents[2] / "cases/roles/hostile.yaml").read_text("utf-8")
)
SITE = Mark("site.yml", 1, 1)
MAIN = "myhostname = old.example\n# a comment\n"
MASTER = "smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp\n"

HOSTILE = {
    "nothing": "",
    "a blank": " ",
    "NUL": "a\0b",
    "a newline": "a\nb",
    "a second setting": "a\nmynetworks = 0.0.0.0/0",
    "a continuation": "a\n  b",
    "CR LF": "a\r\nb",
    "a form feed": "a\fb",
    "leading blanks": "  lead",
    "trailing blank": "trail ",
    "a tab": "a\tb",
    "escape": "\x1b[31mred",
    "delete": "a\x7fb",
    "a C1 line end": "a\x85b",
    "a line separator": "a\u2028b",
    "a no-break space": "a\xa0b",
    "right to left": "a\u202eb",
    "a byte order mark": "\ufeffa",
    "emoji": "\U0001f600",
    "a lone surrogate": "a\ud800",
    "an escaped byte": "a\udcff",
    "a dollar": "$",
    "a reference": "$mydomain",
    "a reference in text": "a${x}b",
    "an open reference": "a${",
    "a command": "$(reboot)",
    "a command in backquotes": "`reboot`",
    "a command behind a semicolon": ";reboot",
    "a pipe": "|reboot",
    "a comment": "#a",
    "a comment inside": "a #b",
    "a double quote": 'a"b',
    "a quoted text": '"a"',
    "a single quote": "a'b",
    "a backslash": "a\\b",
    "a backslash at the end": "a\\",
    "an opening brace": "{a",
    "a closing brace": "a}",
    "braces": "{a b}",
    "two words": "a b",
    "two items": "a, b",
    "an equals sign": "a=b",
    "a colon": "a:b",
    "a colon at the end": "a:",
    "a slash": "/",
    "a path up": "../../no/such",
    "a path with a hole": "/etc//x/../y",
    "a dash": "-",
    "an option": "--help",
    "a template": "{{ 1 }}",
    "a format": "%s%n",
    "a bracket": "[a",
    "brackets": "]:25, [b",
    "a star": "*",
    "a mark": "!a",
    "a 100 kB word": "x" * 100_000,
    "100 kB of lines": "x y\n" * 25_000,
}


# ---- documents -------------------------------------------------------------------------


def marked(value: Any, mark: Mark = SITE) -> Any:
    """`value` as an inventory reader gives it: every place known."""
    if isinstance(value, Mapping):
        places = {key: Mark("all.yml", n + 1, 1) for n, key in enumerate(value)}
        items = {key: marked(item, places[key]) for key, item in value.items()}
        return Map(items, mark=mark, marks=places, key_marks=places)
    if isinstance(value, list):
        return Seq((marked(each, mark) for each in value), mark=mark, marks=[mark] * len(value))
    return value


def desired(document: Mapping[str, Any], folder: Path) -> Desired:
    """What the document asks for. Raises `InputError`."""
    known = load_inventory(["mx1,"]).hosts["mx1"]
    variables = marked({**document["options"], "mail": document.get("mail", {})})
    host = Host("mx1", (), (variables,), 0, known._book)
    # What contributes to restriction lists is refused where nobody guards them.
    names = dict.fromkeys(["smtpd_restrictions", *document["options"]])
    roles = [RoleRef(name, SITE) for name in names]
    wanted = desired_states(
        [host], {"mx1": roles}, LIBRARY, {"id": "here"}, today=TODAY, folder=folder
    )
    return wanted["mx1"]


Place = tuple[Any, ...]
KEY = "(key)"


def texts(document: Any, model: Any = None, at: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every text of the options, and every key that is no option's name."""
    if isinstance(document, Mapping):
        fields = _fields(model)
        for key, value in document.items():
            if key not in fields:
                yield (*at, key, KEY), key
            yield from texts(value, fields.get(key, model), (*at, key))
    elif isinstance(document, list):
        for number, item in enumerate(document):
            yield from texts(item, model, (*at, number))
    elif isinstance(document, str) and len(document) > 1:  # y and n are words of a choice
        yield at, document


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [each for argument in get_args(annotation) for each in _models(argument)]


def _fields(model: Any) -> dict[str, Any]:
    return {
        field.alias or name: field.annotation
        for each in _models(model)
        for name, field in each.model_fields.items()
    }


def replaced(document: Any, place: Place, text: str) -> Any:
    """A copy of the document with `text` at `place`; the order of keys is kept."""
    copied = copy.deepcopy(document)
    node = copied
    for step in place[:-1] if place[-1] != KEY else place[:-2]:
        node = node[step]
    if place[-1] == KEY:
        items = [(text if key == place[-2] else key, value) for key, value in node.items()]
        node.clear()
        node.update(items)
    else:
        node[place[-1]] = text
    return copied


# ---- what comes out ----------------------------------------------------------------------


def host_for(wanted: Desired) -> MemoryHost:
    """A host that has all the packages, units and files that are asked for."""
    host = MemoryHost.with_postfix(MAIN, MASTER)
    host.facts = replace(host.facts, map_types=host.facts.map_types | {"pcre", "sdbm"})
    for each in wanted.resources:
        match each:
            case Package():
                host.packages[each.package] = "1.0"
            case Unit():
                host.units[each.unit] = UnitState("loaded", "inactive", "disabled")
            case Requirement():
                host.nodes[each.path] = Node()
    return host


#: Options whose text is Postfix's own syntax, or a command line: how many words it has is
#: its author's business.
FREE = re.compile(
    r"postfix\.(parameters|services)\."
    r"|\.(options|smtpd_options|lists|additional|protocol|compatibility_level|timeout)\b"
)


#: Options that are a whole file, or a raw line of one (which may as well be a comment).
WHOLE = re.compile(
    r"tables\..*\.text$|access_maps\.[a-z]+\.text$|key_text$|content_checks\.[a-z]+\.[0-9]+$"
)


def written(wanted: Desired, where: str) -> list[str]:
    """What a plan of this writes and does, as lines that can be compared. `where` is the
    option in question."""
    host = host_for(wanted)
    plan = plan_host(wanted, host.observe(wanted.resources))
    if plan.errors:
        raise InputError.of(plan.errors)
    assert apply_program(plan, Owner("run", "me")).script()
    host.apply(plan)
    return list(_lines(host, wanted, where))


def _lines(host: MemoryHost, wanted: Desired, where: str) -> Iterator[str]:
    main = main_cf.parse(
        host.nodes["/etc/postfix/main.cf"].content.decode("utf-8", "surrogateescape")
    )
    assert not main.problems
    for name, entry in main.parameters.items():
        if FREE.search(where):
            yield f"{name} = {entry.value}"
        else:
            yield from (f"{name}: {item}" for item in ("", *split_list(entry.value)))
    master = master_cf.parse(
        host.nodes["/etc/postfix/master.cf"].content.decode("utf-8", "surrogateescape")
    )
    assert not master.problems
    for service in master.services.values():
        columns = (getattr(service, name) for name in master_cf.FIELDS[:-1])
        yield f"{service.name} is {' '.join(columns)} in {service.chroot}"
        yield f"{service.name} runs {service.command} {' '.join(service.arguments)}"
        yield from (f"{service.name} -o {name}={value}" for name, value in service.options)
    for each in wanted.resources:
        yield f"{each.kind} {each.name}"
        if isinstance(each, Table | File):
            content = host.nodes[each.path].content if each.path in host.nodes else b""
            text = content.decode("utf-8", "surrogateescape")
            if WHOLE.search(where):
                yield f"{each.path} is {text}"
                continue
            found = logical_lines(text).logical
            yield from (f"{each.path} has {logical.text}" for logical in found)
            lines = [line for line in text.split("\n") if line and not line.startswith("#")]
            yield f"{each.path} has lines: {len(lines)}"


# ---- tests -------------------------------------------------------------------------------


MODELS: dict[str, Any] = {name: LIBRARY.load(name).options for name in LIBRARY.names()}


def test_every_option_is_set() -> None:
    """So that no option is forgotten here when one is added."""
    seen: set[tuple[str, str]] = set()
    wanted: set[tuple[str, str]] = set()

    def visit(model: Any, value: Any) -> None:
        if isinstance(value, Mapping):
            fields = _fields(model)
            for key, item in value.items():
                seen.update((str(each), key) for each in _models(model) if key in _fields(each))
                visit(fields.get(key, model), item)
        elif isinstance(value, list):
            for item in value:
                visit(model, item)

    def declare(model: Any) -> None:
        for each in _models(model):
            for name, annotation in _fields(each).items():
                wanted.add((str(each), name))
                declare(annotation)

    for document in DOCUMENTS:
        for name, options in {**document["options"], "mail": document.get("mail", {})}.items():
            visit(MailFacts if name == "mail" else MODELS[name], options)
    for model in (*MODELS.values(), MailFacts):
        declare(model)
    assert wanted <= seen, sorted(wanted - seen)


def leaves() -> Iterator[Any]:
    for number, document in enumerate(DOCUMENTS):
        for name, options in document["options"].items():
            for place, text in texts(options, MODELS[name], ("options", name)):
                yield pytest.param(number, place, text, id=".".join(map(str, place[1:])))
        for place, text in texts(document.get("mail", {}), MailFacts, ("mail",)):
            yield pytest.param(number, place, text, id=".".join(map(str, place)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folder of each document's site file, with the files it names."""
    found = []
    for document in DOCUMENTS:
        found.append(tmp_path_factory.mktemp("site"))
        for name, content in document.get("files", {}).items():
            (found[-1] / name).write_text(content)
    return found


@pytest.mark.parametrize(("number", "place", "text"), list(leaves()))
def test_hostile_text(number: int, place: Place, text: str, folders: list[Path]) -> None:
    document, folder = DOCUMENTS[number], folders[number]
    where = ".".join(map(str, place))
    usual = written(desired(document, folder), where)
    wrong = []
    for name, hostile in HOSTILE.items():
        try:
            found = written(desired(replaced(document, place, hostile), folder), where)
        except InputError as error:
            wrong += [f"{name}: {fault}" for fault in badly_said(error)]
            continue
        meant = [line.replace(text, hostile) for line in usual]
        if sorted(map(plain, found)) != sorted(map(plain, meant)):
            wrong.append(f"{name}: {difference(meant, found)}")
    assert not wrong, "\n".join(wrong)


def plain(line: str) -> str:
    """A line without what may be written in two ways: case, runs of blanks, quotes, escapes."""
    return " ".join(
        re.sub(r"[\\'\"]", "", line).replace("$$", "$").replace(" ,", ",").casefold().split()
    )


def difference(meant: list[str], found: list[str]) -> str:
    wanted, have = {*map(plain, meant)}, {*map(plain, found)}
    return f"{[e[:200] for e in have - wanted]} instead of {[e[:200] for e in wanted - have]}"


def badly_said(error: InputError) -> Iterator[str]:
    """What is wrong with a refusal: it says where, in a few printable lines."""
    for each in error.diagnostics():
        shown = render(each, lambda _: None)
        if each.mark is None and "not shown" not in each.message:
            yield f"no place: {shown[:200]}"
        if len(shown) > 1500:
            yield f"{len(shown)} characters: {shown[:200]}"
        if not all(char.isprintable() or char in "\n\t" for char in shown):
            yield f"not fit for a terminal: {shown[:200]!r}"
        if re.search(r"Error\b|codec|Traceback", each.message):
            yield f"no sentence for people: {shown[:200]}"
