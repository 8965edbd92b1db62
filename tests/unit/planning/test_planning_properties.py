"""Planning, on hosts and desires that hypothesis makes up."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from simulate import MAIN, MemoryHost, desire
from strategies import hosts, master_texts, resources, restriction_entries, services

from provisioner.errors import InputError
from provisioner.planning import planfile
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import plan_host
from provisioner.postfix import main_cf, restrictions
from provisioner.resources.base import Origin, Resource
from provisioner.resources.parameter import Parameter
from provisioner.resources.restriction import (
    RECIPIENT,
    RELAY,
    Layout,
    Mode,
    RestrictionEntry,
    RestrictionLayout,
    RestrictionList,
    Stage,
    compose,
)


def _settings(host: MemoryHost) -> dict[str, main_cf.Parameter]:
    """What Postfix reads; a setting behind a byte order mark is none, and goes with it."""
    text = host.nodes[MAIN].content.decode("utf-8", "surrogateescape")
    found = main_cf.parse(text).parameters
    return {name: entry for name, entry in found.items() if not name.startswith("\ufeff")}


def _plan(host: MemoryHost, wanted: list[Resource], *, prune: bool = False) -> HostPlan:
    return plan_host(desire(*wanted), host.observe(wanted), prune=prune)


@given(hosts(), resources)
def test_the_same_input_gives_the_same_plan(host: MemoryHost, wanted: list[Resource]) -> None:
    observed = host.observe(wanted)
    before = copy.deepcopy(observed)
    assert plan_host(desire(*wanted), observed) == plan_host(desire(*wanted), observed)
    assert observed == before


@given(hosts(), resources)
def test_what_was_applied_is_what_was_planned(host: MemoryHost, wanted: list[Resource]) -> None:
    plan = _plan(host, wanted)
    if plan.errors:
        assert plan.steps == ()
        return
    host.apply(plan)
    again = _plan(host, wanted)
    # A restart that comes with the change also starts what was stopped before.
    left = [change for change in again.changes if change.address != "postfix"]
    assert (again.errors, left, again.steps) == ((), [], ())
    host.apply(again)
    assert _plan(host, wanted).empty


@given(hosts(), resources)
def test_values_are_those_desired(host: MemoryHost, wanted: list[Resource]) -> None:
    plan = _plan(host, wanted)
    assume(not plan.errors)
    host.apply(plan)
    text = host.nodes[MAIN].content.decode("utf-8", "surrogateescape")
    found = main_cf.parse(text).parameters
    for each in wanted:
        if isinstance(each, Parameter):
            assert (each.parameter in found) is (each.value is not None)
            if each.value is not None:
                assert main_cf.same_value(found[each.parameter], each.value, fold=each.fold)


@given(hosts(), resources)
def test_pruning_puts_back_what_was_there(host: MemoryHost, wanted: list[Resource]) -> None:
    plan = _plan(host, wanted)
    assume(not plan.errors)
    before = copy.deepcopy(host)
    host.apply(plan)
    removal = _plan(host, [], prune=True)
    assert removal.errors == ()
    host.apply(removal)
    assert _plan(host, [], prune=True).empty
    for path, node in before.nodes.items():
        if path.startswith("/etc/postfix/") and path.endswith(".cf"):
            continue
        assert path in host.nodes
        assert host.nodes[path].content == node.content
    old, new = _settings(before), _settings(host)
    assert set(new) == set(old)
    for name, entry in old.items():
        now = (new[name].value, new[name].unfolded)
        assert entry.value in now or ("\r" in entry.value and entry.unfolded in now)


@given(master_texts(), st.lists(services(), max_size=5))
def test_one_service_under_two_spellings_is_one_resource(text: str, wanted: list[Resource]) -> None:
    """Two edits of one entry would tear the file."""
    host = MemoryHost.with_postfix("", text)
    chosen = list({each.address: each for each in wanted}.values())
    plan = _plan(host, chosen)
    assume(not plan.errors)  # the last listener is not taken away
    host.apply(plan)
    assert _plan(host, chosen).steps == ()


# ---- composed lists --------------------------------------------------------------------


def _origin() -> Origin:
    return Origin("test")


@given(st.lists(restriction_entries(), max_size=12), st.sampled_from(list(Layout)))
def test_every_contribution_stands_once_in_stage_order(
    entries: list[RestrictionEntry], layout: Layout
) -> None:
    composed = compose([RestrictionLayout(_origin(), layout), *entries])
    active = [each for each in entries if each.mode is not Mode.DISABLED]
    stage_of: dict[str, Stage] = {}
    for each in sorted(active, key=lambda entry: entry.stage):
        stage_of.setdefault(each.rendered, each.stage)
    found = {each.name: [text for text, _ in each.entries] for each in composed
             if isinstance(each, RestrictionList)}  # fmt: skip
    for texts in found.values():
        assert len(set(texts)) == len(texts)
        stages = [stage_of[text] for text in texts]
        assert stages == sorted(stages)
    everywhere = [text for texts in found.values() for text in texts]
    for each in active:
        if each.stage in (Stage.OWN_CLIENTS, Stage.EXEMPTIONS, Stage.FINAL):
            continue  # only where there is something to let anybody past
        assert each.rendered in everywhere
        if layout is Layout.PER_LIST:
            assert all(each.rendered in found[name] for name in each.lists)


@given(st.lists(restriction_entries(), max_size=12), st.sampled_from(list(Layout)))
def test_nothing_that_may_say_ok_stands_before_the_relay_guard(
    entries: list[RestrictionEntry], layout: Layout
) -> None:
    guard = RestrictionEntry(
        _origin(), Stage.RELAY_GUARD, (RELAY, RECIPIENT), "reject_unauth_destination"
    )
    composed = compose([RestrictionLayout(_origin(), layout), *entries, guard])
    for each in composed:
        if not isinstance(each, RestrictionList) or each.name not in (RELAY, RECIPIENT):
            continue
        texts = [text for text, _ in each.entries]
        before = texts[: texts.index("reject_unauth_destination")]
        assert set(before) <= {"permit_mynetworks", "permit_sasl_authenticated"}


@given(st.lists(restriction_entries(), max_size=8))
def test_a_list_in_the_file_is_read_as_it_was_composed(entries: list[RestrictionEntry]) -> None:
    host = MemoryHost.with_postfix("")
    composed = compose(entries)
    host.apply(_plan(host, composed))
    parsed = main_cf.parse(host.nodes[MAIN].content.decode())
    for each in composed:
        assert isinstance(each, RestrictionList)
        value = parsed.get(each.name)
        assert value is not None
        assert [str(r) for r in restrictions.split(value)] == [
            text.replace("indexed:", "hash:") for text, _ in each.entries
        ]


# ---- saved plans -----------------------------------------------------------------------


def _without_effects(plan: HostPlan) -> HostPlan:
    return replace(plan, changes=tuple(replace(change, effects=()) for change in plan.changes))


def _saved(plan: HostPlan) -> planfile.SavedPlan:
    return planfile.SavedPlan(
        {"mx1": planfile.SavedHost(plan, "ssh-ed25519 SHA256:x")}, {"id": "here"}, prune=True
    )


@given(hosts(), resources)
def test_a_saved_plan_is_the_plan(host: MemoryHost, wanted: list[Resource]) -> None:
    plan = _plan(host, wanted)
    loaded = planfile.load(planfile.dump(_saved(plan), {}, os.urandom), "p")
    assert loaded == _saved(_without_effects(plan))


@given(hosts(), resources)
def test_any_plan_can_be_shown_as_json(host: MemoryHost, wanted: list[Resource]) -> None:
    plan = _plan(host, wanted)
    text = json.dumps(planfile.document(plan))
    assert json.loads(text)["unchanged"] == plan.unchanged


_PLAN = _plan(
    MemoryHost.with_postfix("a = 1\n"),
    [Parameter(_origin(), "a", "2"), Parameter(_origin(), "b", "3")],
)
_TEXT = planfile.dump(_saved(_PLAN), {}, os.urandom)


@given(st.integers(0, len(_TEXT) - 1), st.sampled_from('0179abefz{}[]",: \n\\'))
def test_an_edited_plan_is_refused(place: int, char: str) -> None:
    edited = _TEXT[:place] + char + _TEXT[place + 1 :]
    if _same_json(edited, _TEXT):  # nothing but white space between values
        assert planfile.load(edited, "p.json") == _saved(_without_effects(_PLAN))
        return
    with pytest.raises(InputError) as refusal:
        planfile.load(edited, "p.json")
    assert refusal.value.mark is not None
    assert refusal.value.mark.file == "p.json"
    assert refusal.value.help


def _same_json(one: str, other: str) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


@given(st.integers(0, len(_TEXT) - 2))
def test_a_plan_cut_short_is_refused(length: int) -> None:
    with pytest.raises(InputError):
        planfile.load(_TEXT[:length], "p.json")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


@given(_json)
def test_other_json_is_refused(value: object) -> None:
    with pytest.raises(InputError):
        planfile.load(json.dumps(value), "p.json")
