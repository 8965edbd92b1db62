"""main.cf as we read and edit it is main.cf as the real postconf reads it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import BATCH, real
from provisioner.diagnostics import Severity
from provisioner.postfix import macros, main_cf, parameternames
from provisioner.postfix.logical import split_list
from provisioner.postfix.splice import apply_splices, encode
from provisioner.postfix.version import Version

if TYPE_CHECKING:
    from real_postfix import Postfix

#: Parameters every release knows and takes any text for, as far as postconf is concerned.
NAMES = (
    "mydestination",
    "mynetworks",
    "myorigin",
    "relayhost",
    "relay_domains",
    "smtpd_banner",
    "smtpd_client_restrictions",
    "smtpd_recipient_restrictions",
)

words = st.sampled_from(
    ["a", "hash:/x", "b.example", "[::1]", "{ c, d }", "{e", "f}", "#g", "=", "é", "\u00a0", "h\\"]
)
gaps = st.sampled_from([" ", ", ", ",", "  ", "\t", "\v", "\f "])
values = st.lists(st.tuples(words, gaps), max_size=4).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)
names = st.sampled_from(NAMES)
settings_lines = st.builds(
    lambda name, before, after, value: f"{name}{before}={after}{value}",
    names,
    st.sampled_from(["", " ", "\t "]),
    st.sampled_from(["", " ", "  "]),
    values,
)
continuations = st.builds(
    lambda gap, value: gap + value, st.sampled_from([" ", "\t", "    "]), values
)
comments = st.sampled_from(["#", "# x = y", "  # relayhost = z", "\t#", "", "   ", "\t", "\v"])
odd = st.sampled_from([" orphan or continued = 1", "unknown_name = 1"])
lines = st.lists(
    st.one_of(settings_lines, settings_lines, continuations, comments, odd), max_size=14
)
files = st.builds(
    lambda lines, eol, bom, end: bom + eol.join(lines) + (eol if end and lines else ""),
    lines,
    st.sampled_from(["\n", "\n", "\r\n"]),
    st.sampled_from(["", "", "", "\ufeff"]),
    st.booleans(),
)
batches = st.lists(files, min_size=BATCH, max_size=BATCH)

plain_values = st.lists(
    st.sampled_from(["x", "y.example", "hash:/z", "{ q, r }", "$myhostname", "é"]), max_size=3
).map(", ".join)
changes = st.dictionaries(
    names,
    st.one_of(
        st.none(),
        plain_values,
        st.builds(main_cf.Value, plain_values, st.booleans()),
    ),
    max_size=4,
)


def ask(postfix: Postfix, texts: list[str]) -> list[dict[str, str] | None]:
    """What `postconf -n` says of each main.cf; None where it refuses the file.

    Since 3.11 it can say it exactly (`-j`); before, it prints runs of blanks as one.
    """
    exact = is_exact(postfix)
    cases = [{"main.cf": encode(text), "master.cf": b""} for text in texts]
    answers = postfix.run(cases, f'postconf -c "$D" -n {"-j" if exact else ""}')
    read = _json if exact else _plain
    return [read(each.out) if each.status == 0 else None for each in answers]


def is_exact(postfix: Postfix) -> bool:
    return postfix.version >= Version(3, 11)


def _json(out: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in out.decode("utf-8", "surrogateescape").splitlines():
        found.update(json.loads(line))
    found.pop("config_directory", None)
    return found


def _plain(out: bytes) -> dict[str, str]:
    found = {}
    for line in out.decode("utf-8", "surrogateescape").split("\n"):
        name, equals, value = line.partition(" =")
        if equals:
            found[name] = value.removeprefix(" ")
    # postconf shows its own directory as it was told on the command line
    found.pop("config_directory", None)
    return found


def ours(text: str, *, exact: bool) -> dict[str, str]:
    """The known parameters as we read them, and as postconf would show them."""
    parsed = main_cf.parse(text).parameters
    return {
        name: entry.value if exact else re.sub("[ \t\r\n]+", " ", entry.value)
        for name, entry in parsed.items()
        if name in NAMES
    }


def is_fatal(text: str) -> bool:
    return any(each.severity is Severity.ERROR for each in main_cf.parse(text).problems)


@real
@given(texts=batches)
def test_names_and_values_are_those_of_postconf(postfix: Postfix, texts: list[str]) -> None:
    for text, said in zip(texts, ask(postfix, texts), strict=True):
        assert is_fatal(text) == (said is None), repr(text)
        if said is not None:
            assert ours(text, exact=is_exact(postfix)) == said, repr(text)


@real
@given(texts=batches, wanted=st.lists(changes, min_size=BATCH, max_size=BATCH))
def test_an_edit_says_what_was_asked_and_nothing_else(
    postfix: Postfix, texts: list[str], wanted: list[dict[str, str | main_cf.Value | None]]
) -> None:
    pairs = [(t, w) for t, w in zip(texts, wanted, strict=True) if not is_fatal(t)]
    assert pairs, "every generated file was broken"
    edits = [main_cf.edit(text, change) for text, change in pairs]
    before = ask(postfix, [text for text, _ in pairs])
    after = ask(postfix, [edit.text for edit in edits])
    for (text, change), edit, old, new in zip(pairs, edits, before, after, strict=True):
        assert old is not None, repr(text)
        assert new is not None, repr(edit.text)
        assert apply_splices(encode(text), edit.splices) == encode(edit.text)
        for name, value in change.items():
            _assert_says(new.get(name), value)
        untouched = set(NAMES) - set(change)
        assert {n: old.get(n) for n in untouched} == {n: new.get(n) for n in untouched}


def _assert_says(said: str | None, wanted: str | main_cf.Value | None) -> None:
    if wanted is None:
        assert said is None
        return
    assert said is not None
    value = wanted if isinstance(wanted, main_cf.Value) else main_cf.Value(wanted)
    if value.fold:
        assert split_list(said) == split_list(value.text)
    else:
        assert said.split() == value.text.split()


def test_the_shipped_file_survives_an_edit(postfix: Postfix) -> None:
    stock = postfix.one({}, "cat /etc/postfix/main.cf").out.decode()
    edit = main_cf.edit(stock, {"smtpd_banner": "new", "inet_protocols": "ipv4", "biff": None})
    before, after = ask(postfix, [stock, edit.text])
    assert before is not None
    assert after is not None
    gone = {"smtpd_banner", "inet_protocols", "biff"}
    assert after["smtpd_banner"] == "new"
    assert after["inet_protocols"] == "ipv4"
    assert "biff" not in after
    assert {k: v for k, v in before.items() if k not in gone} == {
        k: v for k, v in after.items() if k not in gone
    }


EXPANSIONS = (
    "${u?{yes}:{no}}",
    "${{a} == {a} ? {eq} : {ne}}",
    "$(u) $$z ${u?foo} ${none:bar} ${u:nope} ${none?{a}}",
    "A${{$u} != {x}}B${{1}<{2}}B${{10} > {9}}${{10}>={9a}}",
    "${u ? { sp } : { ns }}",
    "${u?{{in}}}${empty?{x}}${empty:y}",
    "${u?a?b:c} ${none:{ a b }}c",
    "${ u }",
    "$rec ${rec?{$u y}} $u.x$u$u",
    "${u?${u}${u}}${u?{a}:b}",
    "${{ a } == {a}?{1}:{2}}${{a}=={b} : {q}}",
    "${u?}",
    "${u?{a}b}",
    "${u:{x}:{y}}",
    "$-",
    "a$",
    "${u",
    "$(u}",
    "${u u}",
    "${u-x}",
    "${{a}==a}",
    "${u?{a}:{b}:{c}}",
    "$()",
    "${}",
)

_KNOWN = {"u": "x", "empty": "", "rec": "$u/$empty/${rec2}", "rec2": "<$u>"}


def test_references_expand_as_in_postfix(postfix: Postfix) -> None:
    head = "".join(f"{name} = {value}\n" for name, value in _KNOWN.items())
    cases = [
        {"main.cf": f"{head}relayhost = {text}\n".encode(), "master.cf": b""} for text in EXPANSIONS
    ]
    answers = postfix.run(cases, 'postconf -c "$D" -xh relayhost')
    for text, answer in zip(EXPANSIONS, answers, strict=True):
        if answer.status:
            with pytest.raises(ValueError, match=r"."):
                macros.expand(text, _KNOWN.get)
            with pytest.raises(ValueError, match="relayhost"):
                main_cf.check_value("relayhost", text)
        else:
            said = answer.out.decode().split()
            assert macros.expand(text, _KNOWN.get).split() == said, text


def test_no_parameter_of_any_release_is_taken_for_a_slip(postfix: Postfix) -> None:
    names = re.findall(r"^(\w+) =", postfix.one({}, "postconf -d").out.decode(), re.MULTILINE)
    assert len(names) > 900
    assert [name for name in names if parameternames.meant(name, [])] == []
