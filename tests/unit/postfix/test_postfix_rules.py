"""Restriction words, tables, activation, versions and secrets, by cases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postfix_cases import load, relaxed

from provisioner.postfix import activation, macros, restrictions, sensitive, tables
from provisioner.postfix.activation import Activation
from provisioner.postfix.master_cf import Service
from provisioner.postfix.restrictions import KEYWORDS, LISTS, OLD_NAMES, Restriction, Stage
from provisioner.postfix.tables import Entry
from provisioner.postfix.version import Version


@pytest.mark.parametrize("case", load("restrictions", "split"))
def test_split(case: dict[str, Any]) -> None:
    expected = [
        Restriction(name, rest[0] if rest else None, warn=len(rest) > 1)
        for name, *rest in case["items"]
    ]
    assert restrictions.split(case["value"]) == expected


@pytest.mark.parametrize("pair", load("restrictions", "same"))
def test_same_list(pair: list[str]) -> None:
    assert restrictions.same_list(*pair)
    assert restrictions.same_list(*reversed(pair))


@pytest.mark.parametrize("pair", load("restrictions", "different"))
def test_different_list(pair: list[str]) -> None:
    assert not restrictions.same_list(*pair)


@pytest.mark.parametrize("pair", load("restrictions", "modern"))
def test_modern(pair: list[str]) -> None:
    old, new = pair
    assert restrictions.modern(old) == new
    assert restrictions.modern(new) == new
    assert restrictions.same_list(old, new)


def test_the_table_of_words_is_sound() -> None:
    for keyword in KEYWORDS.values():
        assert keyword.natural is None or keyword.natural in LISTS
        assert keyword.removed is None or keyword.since < keyword.removed
    for old, new in OLD_NAMES.items():
        assert KEYWORDS[old].argument == KEYWORDS[new].argument
        assert KEYWORDS[old].natural == KEYWORDS[new].natural
    assert KEYWORDS["check_sender_mx_access"].no_ok
    assert not KEYWORDS["check_sender_access"].no_ok
    assert KEYWORDS["reject_maps_rbl"].known_to(Version(3, 8))
    assert not KEYWORDS["reject_maps_rbl"].known_to(Version(3, 9))
    assert not KEYWORDS["check_sasl_access"].known_to(Version(2, 10))
    assert Stage.OWN_CLIENTS.position < Stage.RELAY_GUARD.position < Stage.FINAL.position


def test_a_word_is_known_under_its_old_name() -> None:
    (item,) = restrictions.split("Reject_Unknown_Client")
    assert item.keyword is KEYWORDS["reject_unknown_client_hostname"]
    assert restrictions.split("my_class")[0].keyword is None


words = st.sampled_from(
    [*KEYWORDS, "hash:/x", "{ inet:h:1, timeout=1s }", "my_class", "zen.x=127.0.0.[2..11]"]
)


@relaxed
@given(st.lists(words, max_size=8))
def test_joining_what_was_split_means_the_same(found: list[str]) -> None:
    value = " ".join(found)
    items = restrictions.split(value)
    assert restrictions.same_list(value, restrictions.join(items))
    assert restrictions.split(restrictions.join(items)) == items


@pytest.mark.parametrize("case", load("tables", "resolve"))
def test_indexed_becomes_what_the_host_has(case: dict[str, Any]) -> None:
    assert tables.resolve_indexed(set(case["supported"]), case["default"]) == case["type"]


def test_a_host_without_tables_is_named() -> None:
    with pytest.raises(ValueError, match="postconf -m says: regexp, static"):
        tables.resolve_indexed({"static", "regexp"}, "hash")


@pytest.mark.parametrize("pair", load("tables", "substitute"))
def test_substitute(pair: list[str]) -> None:
    assert tables.substitute(pair[0], "lmdb") == pair[1]


@pytest.mark.parametrize("case", load("tables", "references"))
def test_references(case: dict[str, Any]) -> None:
    assert tables.references(case["value"]) == [tuple(pair) for pair in case["found"]]


@pytest.mark.parametrize("case", load("tables", "parse"))
def test_parse_table(case: dict[str, Any]) -> None:
    table = tables.parse(case["text"])
    assert table.values == case["entries"]
    for problem, says in zip(table.problems, case.get("problems", []), strict=True):
        assert says in problem.message


@pytest.mark.parametrize("case", load("tables", "refused"))
def test_an_entry_that_would_not_survive(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=case["says"]):
        tables.render([Entry(case["key"], case["value"])])


def test_a_key_given_twice_is_refused_but_a_pattern_may_repeat() -> None:
    twice = [Entry("A.example", "OK"), Entry("a.example", "REJECT")]
    with pytest.raises(ValueError, match="given twice"):
        tables.render(twice)
    patterns = [Entry("/x y/", "OK"), Entry("/x y/", "REJECT")]
    assert tables.render(patterns, "regexp").splitlines()[1:] == ["/x y/ OK", "/x y/ REJECT"]


keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@relaxed
@given(st.dictionaries(keys, keys, max_size=5))
def test_what_render_accepts_comes_out_as_it_went_in(pairs: dict[str, str]) -> None:
    entries = [Entry(key, value) for key, value in pairs.items()]
    try:
        source = tables.render(entries)
    except ValueError:
        return
    table = tables.parse(source)
    assert table.problems == ()
    assert [(each.key, each.value) for each in table.entries] == [
        (tables.fold_key(key), value) for key, value in pairs.items()
    ]
    assert source.endswith("\n")


def test_a_dump_is_sorted_by_bytes() -> None:
    entries = [Entry("é", "1"), Entry("Z", "2"), Entry("a", "3")]
    assert tables.dump(entries) == "a\t3\nz\t2\né\t1\n"


def test_which_types_can_be_dumped() -> None:
    assert tables.can_dump("hash", Version(3, 5))
    assert not tables.can_dump("cdb", Version(3, 9, 4))
    assert tables.can_dump("cdb", Version(3, 10))
    assert not tables.can_dump("regexp", Version(3, 11))


def test_deprecation_is_no_complaint() -> None:
    said = (
        "postmap: warning: /x: hash/btree support is deprecated.  Please switch to cdb or lmdb.\n"
        "postmap: warning: See /usr/share/doc/postfix/NON_BERKELEYDB_README.gz for more info.\n"
        'postmap: warning: /x.db: duplicate entry: "a"\n'
    )
    assert tables.complaints(said) == ['postmap: warning: /x.db: duplicate entry: "a"']


@pytest.mark.parametrize("case", load("activation", "parameters"))
def test_activation_of_a_parameter(case: dict[str, Any]) -> None:
    version = Version.parse(case.get("version", "3.7.11"))
    needed, reason = activation.for_parameter(case["name"], case["before"], case["after"], version)
    assert str(needed) == case["needs"]
    assert case["name"] in reason


@pytest.mark.parametrize("case", load("activation", "settings"))
def test_activation_of_settings(case: dict[str, Any]) -> None:
    found = activation.for_settings(case["before"], case["after"], Version(3, 7))
    assert {name: str(needed) for name, needed, _ in found} == case["needs"]


@pytest.mark.parametrize("case", load("activation", "tables"))
def test_activation_of_a_table(case: dict[str, Any]) -> None:
    needed, _ = activation.for_table(case["type"], was_missing=case.get("was_missing", False))
    assert str(needed) == case["needs"]


def test_activation_of_a_service() -> None:
    one = Service("smtps", "inet", "n", command="smtpd")
    assert activation.for_service_change(None, one)[0] is Activation.RELOAD
    assert activation.for_service_change(one, None)[0] is Activation.RELOAD
    same = Service("465", "inet", "n", command="smtpd")
    assert activation.for_service_change(one, same)[0] is Activation.NONE
    other = Service("smtps", "inet", "n", chroot="n", command="smtpd")
    assert activation.for_service_change(one, other)[0] is Activation.RELOAD


def test_the_largest_action_serves_all() -> None:
    assert activation.combine([]) is Activation.NONE
    assert activation.combine([Activation.RELOAD, Activation.NONE]) is Activation.RELOAD
    assert activation.combine(Activation) is Activation.RESTART


def test_versions() -> None:
    assert Version.parse("3.7.11") > Version.parse("3.7.9") > Version.parse("3.5.25\n")
    assert Version.parse("3.12-20260821") == Version(3, 12)
    assert str(Version.parse("3.11.7-RC1")) == "3.11.7"
    with pytest.raises(ValueError, match="no Postfix version"):
        Version.parse("Sendmail")


@pytest.mark.parametrize("case", load("sensitive"))
def test_secrets_are_masked(case: list[str]) -> None:
    name, value, shown = case
    assert sensitive.mask(name, value) == shown
    assert sensitive.is_sensitive(name, value) == (value != shown)
    assert sensitive.mask(name, shown) == shown


def test_references_are_found_at_any_depth() -> None:
    value = "$a ${b} $(c) ${d?{$e}:{${f}}} ${{$g} == {x} ? {$h} : {}} $$i ${broken"
    assert macros.references(value) == list("abcdefgh")


def test_endless_references_end() -> None:
    with pytest.raises(ValueError, match="circular"):
        macros.expand("$a", {"a": "$b", "b": "$a"}.get)
    deep = "${a?{" * 3000 + "}}" * 3000
    with pytest.raises(ValueError, match="too deep"):
        macros.check(deep)
