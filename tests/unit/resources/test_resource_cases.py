"""Data cases of every kind of resource: desired and observed in, changes and steps out.

A file under tests/cases/resources/ holds a list of cases:

    name      what it shows
    host      the host as found (see `_host`); stock where nothing is said
    desired   what is wanted (see `_contribution`)
    refused   or: words of the error that refuses the desire before any host is asked
    errors    or: words of the errors of planning
    changes   `action address`, or {`action address`: {before:, after:, notes:, …}}
    steps     what the host will be told, in order, one line each
    activation, reasons, packages, lists, hidden
    after     files as they stand then: main, master, or a path

Whatever the case, planning again after the plan was carried out finds nothing to do.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from simulate import FACTS, MAIN, MASTER, Compiled, MemoryHost, Node, desire, sha256

from provisioner.marks import Mark
from provisioner.planning import planfile
from provisioner.planning.plan import (
    Compile,
    Control,
    Drop,
    Firewall,
    HostPlan,
    Keep,
    MakeDirectory,
    Remove,
    Restore,
    SetAttributes,
    Step,
    Write,
)
from provisioner.planning.planner import plan_host
from provisioner.postfix import tables
from provisioner.postfix.activation import Activation
from provisioner.postfix.master_cf import Service
from provisioner.report import plantext
from provisioner.resources.base import Action, Attributes, Change, Origin, Resource
from provisioner.resources.file import File, FileState
from provisioner.resources.firewall import FirewallPort
from provisioner.resources.observed import PathKind, UnitState
from provisioner.resources.package import Package
from provisioner.resources.parameter import Parameter
from provisioner.resources.restriction import (
    Contribution,
    Layout,
    Mode,
    RestrictionEntry,
    RestrictionLayout,
    Stage,
    compose,
    verbatim,
)
from provisioner.resources.service import HOST_CHROOT, MasterService
from provisioner.resources.table import Table
from provisioner.resources.unit import Unit

CASES = Path(__file__).parents[2] / "cases" / "resources"

STOCK_MAIN = """\
# stock
compatibility_level = 3.6
myhostname = mx1.example
mynetworks = 127.0.0.0/8
"""
STOCK_MASTER = """\
smtp      inet  n       -       y       -       -       smtpd
pickup    unix  n       -       y       60      1       pickup
"""


def _load() -> list[Any]:
    found = []
    for file in sorted(CASES.glob("*/*.yaml")):
        for case in yaml.safe_load(file.read_text("utf-8")):
            name = f"{file.parent.name}/{file.stem}: {case['name']}"
            found.append(pytest.param(case, id=name))
    return found


# ---- reading a case --------------------------------------------------------------------


def _origin(said: dict[str, Any], number: int) -> Origin:
    return Origin(said.pop("role", "test"), "", Mark("site.yml", number + 1, 1))


def _attributes(said: dict[str, Any]) -> Attributes:
    mode = said.pop("mode", None)
    return Attributes(
        said.pop("owner", None), said.pop("group", None), None if mode is None else int(mode, 8)
    )


def _contribution(entry: dict[str, Any], number: int) -> Contribution:
    ((kind, given),) = entry.items()
    said = dict(given) if isinstance(given, dict) else {"name": given}
    origin = _origin(said, number)
    match kind:
        case "parameter":
            return Parameter(origin, said["name"], said.get("value"), said.get("fold", False))
        case "service":
            return _service(origin, said)
        case "table":
            attributes = _attributes(said)
            entries = tuple(tables.Entry(*each) for each in said.pop("entries", {}).items())
            return Table(origin, said.pop("path"), entries=entries, attributes=attributes, **said)
        case "file":
            attributes = _attributes(said)
            content = said.pop("content", "").encode("utf-8")
            state = FileState(said.pop("state", "file"))
            effect = Activation[said.pop("activation", "none").upper()]
            path = said.pop("path")
            return File(origin, path, state, content, attributes, activation=effect, **said)
        case "package":
            return Package(origin, said["name"], said.get("table_type", ""))
        case "unit":
            return Unit(origin, said["name"], said.get("running"), said.get("enabled"))
        case "firewall":
            return FirewallPort(origin, said["port"], said.get("where", ""), said.get("file", ""))
        case "layout":
            return RestrictionLayout(origin, Layout(said["name"]))
        case "verbatim":
            return verbatim(said["name"], said["text"], origin)
        case "restriction":
            lists = tuple(f"smtpd_{name}_restrictions" for name in said["lists"])
            mode = Mode("trial" if said.get("trial") else said.get("mode", "enforce"))
            return RestrictionEntry(origin, Stage[said["stage"]], lists, said["text"], mode)
    raise AssertionError(f"no such kind in a case: {kind}")


def _service(origin: Origin, said: dict[str, Any]) -> MasterService:
    name, _, type_ = said.pop("name").rpartition("/")
    if said.pop("absent", False):
        return MasterService(origin, name, type_, None)
    options = tuple((key, str(value)) for key, value in said.pop("options", {}).items())
    arguments = tuple(said.pop("arguments", ()))
    chroot = said.pop("chroot", HOST_CHROOT)
    service = Service(name, type_, options=options, arguments=arguments, chroot=chroot, **said)
    return MasterService(origin, name, type_, service)


def _host(said: dict[str, Any]) -> MemoryHost:
    said = dict(said)
    facts = replace(
        FACTS,
        postfix_version=str(said.pop("postfix", FACTS.postfix_version)),
        default_database_type=said.pop("default_type", FACTS.default_database_type),
        map_types=frozenset(said.pop("types", FACTS.map_types)),
        postfix_unit=said.pop("unit", FACTS.postfix_unit),
        postfix_running=said.pop("running", True),
        package_manager=said.pop("package_manager", FACTS.package_manager),
    )
    host = MemoryHost.with_postfix(
        said.pop("main", STOCK_MAIN), said.pop("master", STOCK_MASTER), facts=facts
    )
    if said.pop("no_postfix", False):
        host.nodes.clear()
        host.packages.clear()
        host.facts = replace(
            facts, postfix_version="", map_types=frozenset(), postfix_running=False
        )
        host.units.clear()
    for path, node in said.pop("files", {}).items():
        host.nodes[path] = _node(node)
    for path, compiled in said.pop("compiled", {}).items():
        source = host.nodes.get(path)
        entries = (tables.Entry(*each) for each in compiled.get("entries", {}).items())
        host.compiled[path, compiled["type"]] = Compiled(
            source.digest if source and compiled.get("ours") else "",
            sha256(tables.dump(entries).encode("utf-8")),
        )
    host.packages |= said.pop("packages", {})
    host.units |= {name: UnitState(*words) for name, words in said.pop("units", {}).items()}
    if not said.pop("first_contact", False):
        host.remember(said.pop("remembers", None))
    host.pending = said.pop("pending", "")
    host.filter = said.pop("filter", "none")
    host.ports = set(said.pop("ports", ()))
    assert not said, f"not understood in a case's host: {said}"
    return host


def _node(said: str | dict[str, Any]) -> Node:
    if isinstance(said, str):
        return Node(said.encode("utf-8"))
    attributes = {key: said[key] for key in ("owner", "group") if key in said}
    mode = int(said.get("mode", "0644"), 8)
    kind = PathKind(said.get("kind", "file"))
    return Node(said.get("content", "").encode("utf-8"), kind, mode=mode, **attributes)


# ---- telling what came of it -----------------------------------------------------------


def _step(step: Step) -> str:
    match step:
        case Write(path, _, content, _, attributes, type_, keep):
            words = ["write" if content is not None else "edit", path, _told(attributes)]
            words += [f"compile={type_}" if type_ else "", "keep" if keep else ""]
        case Restore(path, _, type_):
            words = ["restore", path, f"compile={type_}" if type_ else ""]
        case Compile(path, type_):
            words = ["compile", path, type_]
        case Drop(path, type_):
            words = ["drop", path, type_]
        case Keep(path):
            words = ["keep", path]
        case Remove(path, keep, type_):
            words = ["remove", path, type_, "keep" if keep else ""]
        case MakeDirectory(path, attributes):
            words = ["directory", path, _told(attributes)]
        case SetAttributes(path, attributes):
            words = ["attributes", path, _told(attributes)]
        case Control(unit, verb):
            words = [verb, unit]
        case Firewall(verb, rule, part):
            words = [verb, rule, part]
    return " ".join(word for word in words if word)


def _told(wanted: Attributes) -> str:
    mode = None if wanted.mode is None else f"{wanted.mode:04o}"
    words = (wanted.owner, wanted.group, mode)
    return ":".join(word or "-" for word in words) if any(words) else ""


def _relevant(plan: HostPlan) -> list[Change]:
    return [
        change
        for change in plan.changes
        if not (change.action is Action.ADOPT and change.address == "manifest")
    ]


def _compare_change(found: Change, expected: Any) -> None:
    title = f"{found.action} {found.address}"
    if isinstance(expected, str):
        assert title == expected
        return
    ((name, details),) = expected.items()
    assert title == name
    for key, value in details.items():
        if key == "activation":
            assert str(found.activation) == value
        elif key == "notes":
            assert list(found.notes) == value
        elif key == "reason":
            assert value in found.reason
        elif key == "diff":
            assert json.loads(json.dumps(_diff(found))) == value
        else:
            assert getattr(found, key) == value, key


def _diff(change: Change) -> Any:
    diff: Any = change.diff
    if diff is None:
        return None
    if hasattr(diff, "lines"):
        return list(diff.lines)
    pairs = ("added", "removed", "changed")
    return {name: getattr(diff, name) for name in pairs if getattr(diff, name)}


def _shown(plan: HostPlan) -> str:
    text = "\n".join(line.text for line in plantext.plans({"mx1": plan}, full_diff=True))
    return text + json.dumps(planfile.document(plan))


# ---- the tests -------------------------------------------------------------------------


@pytest.mark.parametrize("case", _load())
def test_resource_case(case: dict[str, Any]) -> None:
    known = "name host desired refused errors changes steps activation reasons packages lists"
    assert set(case) <= {*known.split(), "hidden", "after", "unknown_yet"}, "a typing mistake"
    if "refused" in case:
        with pytest.raises(ValueError) as refusal:  # noqa: PT011 - compared below
            _desired(case)
        for words in case["refused"]:
            assert words in str(refusal.value)
        return
    resources = _desired(case)
    host = _host(case.get("host", {}))
    plan = plan_host(desire(*resources), host.observe(resources))
    _compare_plan(plan, case)
    if plan.errors:
        assert not plan.steps
        return
    host.apply(plan)
    for path, text in case.get("after", {}).items():
        path = {"main": MAIN, "master": MASTER}.get(path, path)
        assert (host.nodes[path].content.decode() if path in host.nodes else None) == text
    if plan.packages:
        return
    again = plan_host(desire(*resources), host.observe(resources))
    assert again.errors == ()
    assert again.changes == (), "applied twice is not the same as applied once"
    assert again.steps == ()
    assert again.manifest is None


def _desired(case: dict[str, Any]) -> list[Resource]:
    return compose(_contribution(each, number) for number, each in enumerate(case["desired"]))


def _compare_plan(plan: HostPlan, case: dict[str, Any]) -> None:
    expected_errors = case.get("errors", [])
    assert len(plan.errors) == len(expected_errors), plan.errors
    for error, words in zip(plan.errors, expected_errors, strict=True):
        assert words in error.message
        assert error.mark is not None
        assert error.mark.file == "site.yml"
    assert list(plan.packages) == case.get("packages", [])
    assert list(plan.known_after_install) == case.get("unknown_yet", [])
    if not expected_errors:
        changes = _relevant(plan)
        titles = [f"{change.action} {change.address}" for change in changes]
        assert len(titles) == len(case["changes"]), titles
        for change, expected in zip(changes, case["changes"], strict=True):
            _compare_change(change, expected)
    if "steps" in case:
        assert [_step(step) for step in plan.steps] == case["steps"]
    if "activation" in case:
        assert str(plan.activation) == case["activation"]
    for words in case.get("reasons", []):
        assert any(words in reason for reason in plan.reasons), plan.reasons
    if "lists" in case:
        found = {each.name: [text for text, _ in each.entries] for each in plan.lists}
        assert found == case["lists"]
    for secret in case.get("hidden", []):
        assert secret not in _shown(plan)


def test_there_are_cases_for_every_kind() -> None:
    kinds = {folder.name for folder in CASES.iterdir()}
    assert kinds == {
        "parameter",
        "restriction",
        "service",
        "table",
        "file",
        "package",
        "unit",
        "firewall",
    }
    assert all(list(folder.glob("*.yaml")) for folder in CASES.iterdir())
