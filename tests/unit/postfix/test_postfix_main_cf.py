"""Reading and editing main.cf, by cases and by properties."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postfix_cases import load, relaxed

from provisioner.postfix import main_cf
from provisioner.postfix.logical import BOM, split_list
from provisioner.postfix.main_cf import Value
from provisioner.postfix.splice import Edit, apply_splices, decode, encode

NAMES = ("a", "bb", "c_d")


def value_of(wanted: Any) -> str | Value | None:
    return Value(wanted["fold"], fold=True) if isinstance(wanted, dict) else wanted


@pytest.mark.parametrize("case", load("main_cf_read"))
def test_read(case: dict[str, Any]) -> None:
    parsed = main_cf.parse(case["text"])
    assert {name: each.value for name, each in parsed.parameters.items()} == case["parameters"]
    expected = case.get("problems", [])
    assert len(parsed.problems) == len(expected), parsed.problems
    for problem, says in zip(parsed.problems, expected, strict=True):
        assert says in problem.message
        assert problem.mark
        assert problem.mark.file == "main.cf"


@pytest.mark.parametrize("case", load("main_cf_edit"))
def test_edit(case: dict[str, Any]) -> None:
    edit = main_cf.edit(case["text"], {name: value_of(v) for name, v in case["set"].items()})
    assert edit.text == case["result"]
    assert len(edit.splices) == case["splices"], edit.splices
    assert apply_splices(encode(case["text"]), edit.splices) == encode(case["result"])
    for note, says in zip(edit.notes, case.get("notes", []), strict=True):
        assert says in note


@pytest.mark.parametrize("case", load("main_cf_refused"))
def test_refused(case: dict[str, Any]) -> None:
    value = Value(case["value"], fold=case.get("fold", False))
    with pytest.raises(ValueError, match=case["says"]):
        main_cf.edit("x = 1\n", {case["name"]: value})


def test_raw_parameters_may_hold_any_dollar() -> None:
    main_cf.check_value("smtpd_expansion_filter", "!\"#$%&'()*+,-./")
    main_cf.check_value("default_rbl_reply", "$rbl_code ${rbl_reason?; $rbl_reason}")


def test_bytes_that_are_no_utf8_survive() -> None:
    original = b"# caf\xe9\na = \xff\nb = 1\n"
    edit = main_cf.edit(decode(original), {"b": "2"})
    assert apply_splices(original, edit.splices) == b"# caf\xe9\na = \xff\nb = 2\n"


def test_a_value_no_file_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="not text"):
        main_cf.edit("", {"a": "\ud800"})


def test_places_are_those_of_the_file() -> None:
    text = "# x\na = 1,\n# y\n  2\nb = 3\n"
    entry = main_cf.parse(text).parameters["a"]
    assert entry.line == 2
    assert text[entry.start : entry.end] == "a = 1,\n# y\n  2\n"
    assert entry.unfolded == "1, 2"
    assert main_cf.parse(text).get("b") == "3"
    assert main_cf.parse(text).get("nope") is None


# Files of every shape: folds, comments and blanks inside them, orphans, duplicates, broken
# lines, CR LF, a byte order mark, no final newline, bytes that are not UTF-8.
fragments = st.sampled_from(
    [
        "a",
        "bb",
        "c_d",
        "=",
        " = ",
        "x",
        ",",
        " ",
        "\t",
        "#",
        "{",
        "}",
        "é",
        "\u00a0",
        "\udcff",
        "\0",
    ]
)
lines = st.one_of(
    st.lists(fragments, max_size=6).map("".join),
    st.builds(
        lambda name, value: f"{name} = {value}", st.sampled_from(NAMES), st.sampled_from("xyz")
    ),
    st.builds(lambda value: f"  {value},", st.sampled_from("xyz")),
    st.sampled_from(["", "# note", "  # note", "   "]),
)
files = st.builds(
    lambda bom, lines, eol, end: bom + eol.join(lines) + end,
    st.sampled_from(["", "", BOM]),
    st.lists(lines, max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\n"]),
)
texts = st.lists(st.sampled_from(["x", "y", "z", "é", "{ p, q }"]), max_size=3).map(", ".join)
wanted = st.one_of(st.none(), texts, st.builds(Value, texts, st.booleans()))
changes = st.dictionaries(st.sampled_from(NAMES), wanted, max_size=3)


@relaxed
@given(text=files, change=changes)
def test_splices_make_the_text(text: str, change: dict[str, str | Value | None]) -> None:
    edit = main_cf.edit(text, change)
    assert apply_splices(encode(text), edit.splices) == encode(edit.text)
    assert _is_ascending(edit)
    assert edit.changed == (edit.text != text)


def _is_ascending(edit: Edit) -> bool:
    ends = [0, *(splice.end for splice in edit.splices)]
    return all(
        end <= splice.start <= splice.end for end, splice in zip(ends, edit.splices, strict=False)
    )


@relaxed
@given(text=files, change=changes)
def test_an_edit_says_what_was_asked(text: str, change: dict[str, str | Value | None]) -> None:
    parsed = main_cf.parse(main_cf.edit(text, change).text)
    for name, value in change.items():
        if value is None:
            assert name not in parsed.parameters
            continue
        value = value if isinstance(value, Value) else Value(value)
        assert [each.name for each in parsed.entries].count(name) == 1
        entry = parsed.parameters[name]
        assert main_cf.same_value(entry, value.text, fold=value.fold)
        if value.fold:
            assert split_list(entry.value) == split_list(value.text)


@relaxed
@given(text=files, change=changes)
def test_a_second_edit_does_nothing(text: str, change: dict[str, str | Value | None]) -> None:
    first = main_cf.edit(text, change)
    assert main_cf.edit(first.text, change).splices == ()
    assert not first.changed or not first.text or first.text.endswith("\n")


@relaxed
@given(text=files, change=changes)
def test_nothing_else_changes(text: str, change: dict[str, str | Value | None]) -> None:
    edit = main_cf.edit(text, change)
    before, after = _others(text, change), _others(edit.text, change)
    assert before.entries == after.entries
    # Every line that belongs to none of the changed parameters stands there byte for byte.
    assert before.rest == after.rest


class _Rest:
    def __init__(self, entries: list[tuple[str, str]], rest: list[str]) -> None:
        self.entries = entries
        self.rest = rest


def _others(text: str, change: dict[str, str | Value | None]) -> _Rest:
    """What the changes leave alone: settings, and lines that are not part of theirs."""
    names = {*change, *(BOM + name for name in change)}
    gone: set[int] = set()
    kept = []
    for each in main_cf.parse(text).entries:
        if each.name in names:
            gone.update(part.line for part in each.source.parts)
        elif not each.name.startswith(BOM + "#"):  # a comment, were it not for the mark
            kept.append((each.name, each.value))
    lines = [line for number, line in enumerate(text.split("\n"), 1) if number not in gone]
    if lines and re.fullmatch(BOM + r"\s*(#.*)?", lines[0]):  # the mark may go with an edit
        lines[0] = lines[0].removeprefix(BOM)
    return _Rest(kept, [line.removesuffix("\r") for line in lines if line.strip()])
