"""Reading and editing master.cf, by cases and by properties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postfix_cases import load, relaxed

from provisioner.postfix import master_cf
from provisioner.postfix.master_cf import Service, same_key, same_service
from provisioner.postfix.splice import apply_splices, encode


def service(fields: dict[str, Any]) -> Service:
    known = dict(fields)
    known["options"] = tuple((name, value) for name, value in known.get("options", []))
    known["flags"] = tuple(known.get("flags", []))
    known["arguments"] = tuple(known.get("arguments", []))
    return Service(**known)


@pytest.mark.parametrize("case", load("master_cf_read"))
def test_read(case: dict[str, Any]) -> None:
    parsed = master_cf.parse(case["text"])
    assert list(parsed.entries) == [service(fields) for fields in case["services"]]
    expected = case.get("problems", [])
    assert len(parsed.problems) == len(expected), parsed.problems
    for problem, says in zip(parsed.problems, expected, strict=True):
        assert says in problem.message


@pytest.mark.parametrize("case", load("master_cf_edit"))
def test_edit(case: dict[str, Any]) -> None:
    wanted = [service(fields) for fields in case.get("set", [])]
    changes: dict[master_cf.Key, Service | None] = {each.key: each for each in wanted}
    changes.update(dict.fromkeys(map(tuple, case.get("remove", []))))
    edit = master_cf.edit(case["text"], changes)
    assert edit.text == case["result"]
    assert len(edit.splices) == case["splices"]
    assert apply_splices(encode(case["text"]), edit.splices) == encode(case["result"])
    for note, says in zip(edit.notes, case.get("notes", []), strict=True):
        assert says in note


GOOD = Service("submission", "inet", "n", command="smtpd")


@pytest.mark.parametrize("case", load("master_cf_refused"))
def test_refused(case: dict[str, Any]) -> None:
    fields = {
        name: tuple(tuple(each) if isinstance(each, list) else each for each in value)
        if isinstance(value, list)
        else value
        for name, value in case["set"].items()
    }
    master_cf.check(GOOD)
    bad = replace(GOOD, **fields)
    with pytest.raises(ValueError, match=case["says"]):
        master_cf.edit("", {bad.key: bad})


def test_a_service_is_found_under_any_spelling() -> None:
    parsed = master_cf.parse("smtps inet n - n - - smtpd\nsmtps unix - - n - - smtp\n")
    found = parsed.get("465", "inet")
    assert found is not None
    assert found.name == "smtps"
    assert parsed.get("465", "unix") is None
    assert parsed.get("127.0.0.1:465", "inet") is None
    assert same_key("25", "inet") == same_key("smtp", "inet")
    assert same_key("25", "unix") != same_key("smtp", "unix")


def test_only_blanks_need_braces() -> None:
    assert not master_cf.needs_braces(GOOD)
    assert not master_cf.needs_braces(replace(GOOD, options=(("a", "b,c"),)))
    assert master_cf.needs_braces(replace(GOOD, options=(("a", "b c"),)))


def test_a_default_and_its_spelt_out_value_differ() -> None:
    assert not same_service(GOOD, replace(GOOD, chroot="n"))
    assert same_service(GOOD, replace(GOOD, name="587", line=7))


text = st.sampled_from(["yes", "", "a,b", "a, b", "{ x y }", "$u", "é", "a=b", "a{b c}d"])
services = st.builds(
    Service,
    name=st.sampled_from(["smtp", "25", "submission", "587", "maildrop", "[::1]:10025"]),
    type=st.sampled_from(["inet", "unix"]),
    private=st.sampled_from("n-"),
    unpriv=st.sampled_from("yn-"),
    chroot=st.sampled_from("yn-"),
    wakeup=st.sampled_from(["-", "60?"]),
    maxproc=st.sampled_from(["-", "1"]),
    command=st.sampled_from(["smtpd", "pipe"]),
    options=st.lists(st.tuples(st.sampled_from("pqr"), text), max_size=3).map(tuple),
    flags=st.lists(st.sampled_from(["-v", "-D"]), max_size=2).map(tuple),
    arguments=st.lists(st.sampled_from(["flags=R", "a b", "{c}", "x{y z}"]), max_size=3).map(tuple),
)
others = st.sampled_from(
    [
        "",
        "# note",
        "#smtp inet n - n - - x",
        "other unix - - n - - y\n  # in it\n  -o a=b",
        "broken",
        " orphan",
    ]
)
files = st.builds(
    lambda blocks, eol, end: "\n".join(blocks).replace("\n", eol) + end,
    st.lists(st.one_of(services.map(master_cf.render), others), max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\n"]),
)


@relaxed
@given(wanted=services)
def test_what_is_written_is_read_again(wanted: Service) -> None:
    assert list(master_cf.parse(master_cf.render(wanted) + "\n").entries) == [wanted]


@relaxed
@given(content=files, wanted=services)
def test_an_edit_says_what_was_asked_and_nothing_else(content: str, wanted: Service) -> None:
    edit = master_cf.edit(content, {wanted.key: wanted})
    assert apply_splices(encode(content), edit.splices) == encode(edit.text)
    found = master_cf.parse(edit.text).get(*wanted.key)
    assert found is not None
    assert same_service(found, wanted)
    assert _others(content, wanted) == _others(edit.text, wanted)
    assert master_cf.edit(edit.text, {wanted.key: wanted}).splices == ()


@relaxed
@given(content=files, wanted=services)
def test_a_removed_service_is_gone(content: str, wanted: Service) -> None:
    edit = master_cf.edit(content, {wanted.key: None})
    assert master_cf.parse(edit.text).get(*wanted.key) is None
    assert _others(content, wanted) == _others(edit.text, wanted)


def _others(content: str, wanted: Service) -> list[str]:
    """Every line that is no part of the wanted service, blank ones aside."""
    mine = {
        part.line
        for each in master_cf.parse(content).entries
        if same_key(*each.key) == same_key(*wanted.key) and each.source
        for part in each.source.parts
    }
    lines = enumerate(content.split("\n"), 1)
    return [line.strip("\r") for number, line in lines if number not in mine and line.strip()]
