"""YAML and JSON with marks."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from provisioner.diagnostics import Severity
from provisioner.errors import InputError
from provisioner.inventory.jsonfile import parse_data, parse_json
from provisioner.inventory.values import UnsafeText, VaultValue
from provisioner.inventory.yamlfile import MAX_DEPTH, MAX_NODES, parse_yaml
from provisioner.marks import Mark, find_mark

TEXT = """\
# comment
postfix:
  mynetworks: [127.0.0.0/8, 10.0.0.0/8]
  list:
    - first
    - key: value
      "quoted": |
        text
"""


@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        (["postfix"], True, "f:2:1"),
        (["postfix"], False, "f:3:3"),
        (["postfix", "mynetworks"], True, "f:3:3"),
        (["postfix", "mynetworks"], False, "f:3:15"),
        (["postfix", "mynetworks", 1], False, "f:3:29"),
        (["postfix", "list", 0], False, "f:5:7"),
        (["postfix", "list", 1, "key"], False, "f:6:12"),
        (["postfix", "list", 1, "quoted"], True, "f:7:7"),
    ],
)
def test_every_key_and_item_has_its_place(path: list[Any], key: bool, place: str) -> None:
    assert str(find_mark(parse_yaml(TEXT, "f").value, path, key=key)) == place


def test_json_has_places_too() -> None:
    value = parse_data('{"a": {"b": [1,\n  {"c": "x"}]}}', "f").value
    assert value == {"a": {"b": [1, {"c": "x"}]}}
    assert str(find_mark(value, ["a", "b", 1, "c"])) == "f:2:9"
    assert str(find_mark(value, ["a", "b"], key=True)) == "f:1:8"


@pytest.mark.parametrize("text", ["{a: 1}", "[1, 2,]", '{"a": 1} x', "[" * 200, "{'a': 1}", ""])
def test_what_is_no_json(text: str) -> None:
    assert parse_json(text, "f") is None


@pytest.mark.parametrize(
    ("yaml_text", "json_text"),
    [("a: 1e3", '{"a": 1e3}'), ('a: "\\ud83d"', '{"a": "\\ud83d\\ude00"}')],
)
def test_json_is_read_as_json(yaml_text: str, json_text: str) -> None:
    read = parse_data(json_text, "f").value
    assert read["a"] in (1000.0, "\U0001f600")
    assert type(read["a"]) in (float, str)
    assert yaml_text  # what it would be in YAML is a matter of the contract test


@pytest.mark.parametrize(
    "text",
    [
        "a: {x: [1, 2.5, yes, no, ~, 010, 0x10, 1:30, 1e3, 1.0e+3, .inf, 2020-01-01]}",
        "a: &x {b: 1}\nc: {<<: *x, d: 2}\ne: {<<: [*x, {b: 3, f: 4}], f: 5}",
        "- a\n- - b\n  - c\n-\n- {}\n- []\n- ''\n",
        "a: |\n  x\n\n  y\nb: >-\n  x\n  y\nc: 'it''s'\nd: \"\\x41\\u00e4\"",
        "? a\n: b\n? 1\n: c",
        "!!map {a: !!str 1, b: !!float 1, c: !!int '7', d: !!null '', e: !!seq []}",
        "--- plain\n...",
        "",
        "# only a comment",
    ],
)
def test_same_values_as_the_safe_loader(text: str) -> None:
    assert parse_yaml(text, "f").value == yaml.safe_load(text)


def test_merged_keys_keep_the_place_where_they_are_written() -> None:
    value = parse_yaml("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n", "f").value
    assert value["c"].marks["b"] == Mark("f", 1, 11)
    assert value["c"].key_marks["d"] == Mark("f", 4, 3)


def test_a_key_over_a_merged_one_is_no_duplicate() -> None:
    document = parse_yaml("a: &x {b: 1}\nc: {<<: *x, b: 2}", "f", duplicates=Severity.ERROR)
    assert document.value["c"] == {"b": 2}


def test_duplicate_keys_are_warned_about_and_the_last_counts() -> None:
    document = parse_yaml("a: 1\nb: 2\na: 3\n", "f")
    assert document.value == {"a": 3, "b": 2}
    (warning,) = document.warnings
    assert (str(warning.mark), warning.severity) == ("f:3:1", Severity.WARNING)
    assert "line 1" in warning.message


def test_duplicate_keys_are_errors_where_asked() -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml("a: 1\na: 3\nb: {c: 1, c: 2}\n", "f", duplicates=Severity.ERROR)
    assert [str(each.mark) for each in caught.value.diagnostics()] == ["f:2:1", "f:3:11"]


def test_vault_and_unsafe_values() -> None:
    value = parse_yaml("v: !vault |\n  $ANSIBLE\nu: !unsafe {a: '{{ x }}', b: [1, y]}", "f").value
    assert value["v"] == VaultValue("$ANSIBLE\n", Mark("f", 1, 4))
    assert "$ANSIBLE" not in repr(value["v"])
    assert isinstance(value["u"]["a"], UnsafeText)
    assert isinstance(value["u"]["b"][1], UnsafeText)
    assert value["u"]["b"][0] == 1


def _laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * (MAX_DEPTH + 1), "levels deep"),
        ("[" * 200_000, "levels deep"),
        ("- " * 50_000, "levels deep"),
        ("{a: " * 50_000, "levels deep"),
        (_laughs(9), f"more than {MAX_NODES}"),
        ("a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60, "levels deep"),
        ('[{"a": ' * 60 + "1" + "}]" * 60, "levels deep"),
    ],
    ids=["deep", "very deep", "deep list", "deep mapping", "aliases", "deep alias", "deep JSON"],
)
def test_bounds(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_data(text, "f")


def test_aliases_within_the_bounds_are_shared_not_copied() -> None:
    value = parse_yaml(_laughs(5), "f").value
    assert value["a4"][0] is value["a3"]


def test_nesting_up_to_the_bound() -> None:
    assert parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f").value


def test_two_merges_in_one_mapping_are_told_of() -> None:
    found = parse_yaml("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc:\n  <<: *a\n  <<: *b\n", "f")
    assert found.value["c"] == {"x": 2, "y": 2}, "as Ansible has it"
    (warning,) = found.warnings
    assert "given twice" in warning.message
    assert str(warning.mark) == "f:5:3"
    assert "<<: [*other, *one]" in warning.help
