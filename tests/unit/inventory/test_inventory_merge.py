"""Precedence as layers, role options merged along them, and what hosts share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from provisioner.errors import InputError
from provisioner.inventory import Inventory, load_inventory
from provisioner.inventory.jsonfile import parse_data
from provisioner.inventory.merge import merge_options
from provisioner.inventory.reading import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.marks import Map


def _layers(*texts: str) -> list[Map]:
    return [parse_data(text, f"f{number}").value for number, text in enumerate(texts, 1)]


MERGES: list[tuple[str, list[str], Any]] = [
    ("one layer", ["r: {a: 1}"], {"a": 1}),
    ("no layer", ["x: 1"], {}),
    ("by key", ["r: {a: 1, b: 1}", "r: {b: 2, c: 3}"], {"a": 1, "b": 2, "c": 3}),
    ("deep", ["r: {a: {b: {c: 1, d: 1}}}", "r: {a: {b: {d: 2}}}"], {"a": {"b": {"c": 1, "d": 2}}}),
    ("list replaces", ["r: {l: [1, 2]}", "r: {l: [3]}"], {"l": [3]}),
    ("scalar replaces mapping", ["r: {a: {b: 1}}", "r: {a: no}"], {"a": False}),
    ("mapping replaces scalar", ["r: {a: 1}", "r: {a: {b: 1}}"], {"a": {"b": 1}}),
    ("null replaces", ["r: {a: {b: 1}}", "r: {a: }"], {"a": None}),
    ("append", ["r: {l: [1]}", "r: {l: {append: [2, 3]}}"], {"l": [1, 2, 3]}),
    ("prepend", ["r: {l: [1]}", "r: {l: {prepend: [0]}}"], {"l": [0, 1]}),
    ("both", ["r: {l: [1]}", "r: {l: {append: [2], prepend: [0]}}"], {"l": [0, 1, 2]}),
    (
        "append along layers",
        ["r: {l: [1]}", "r: {l: {append: [2]}}", "x: 1", "r: {l: {append: [3]}}"],
        {"l": [1, 2, 3]},
    ),
    ("append to nothing", ["r: {l: {append: [1]}}"], {"l": [1]}),
    ("append to null", ["r: {l: }", "r: {l: {append: [1]}}"], {"l": [1]}),
    ("append among other keys", ["r: {m: {append: [1], x: 1}}"], {"m": {"append": [1], "x": 1}}),
    (
        "append as a key over a mapping",
        ["r: {m: {x: 1}}", "r: {m: {append: [1]}}"],
        {"m": {"x": 1, "append": [1]}},
    ),
    ("not a mapping below", ["r: text", "r: {a: 1}"], {"a": 1}),
    ("nothing said", ["r:"], {}),
]


@pytest.mark.parametrize(
    ("texts", "expected"), [pytest.param(*case[1:], id=case[0]) for case in MERGES]
)
def test_merge(texts: list[str], expected: Any) -> None:
    assert merge_options("r", _layers(*texts)) == expected


def test_each_value_keeps_the_place_it_won_from() -> None:
    merged = merge_options(
        "r", _layers("r: {a: 1, b: 1, l: [x]}", "r: {b: 2}", "r: {l: {append: [y]}}")
    )
    assert {key: str(mark) for key, mark in merged.marks.items()} == {
        "a": "f1:1:8",
        "b": "f2:1:8",
        "l": "f3:1:8",
    }
    assert str(merged.key_marks["b"]) == "f2:1:5"
    assert [str(mark) for mark in merged["l"].marks] == ["f1:1:21", "f3:1:18"]


def test_merging_changes_no_layer() -> None:
    layers = _layers("r: {a: {b: [1]}}", "r: {a: {b: {append: [2]}, c: 1}}")
    merge_options("r", layers)
    assert layers == _layers("r: {a: {b: [1]}}", "r: {a: {b: {append: [2]}, c: 1}}")


@pytest.mark.parametrize(
    ("texts", "place", "says"),
    [
        (["r: [1]"], "f1:1:4", "this is a list"),
        (["r: {a: 1}", "r: yes"], "f2:1:4", "this is true or false"),
        (["r: {l: 5}", "r: {l: {append: [1]}}"], "f2:1:8", "no list to extend"),
        (["r: {l: [5]}", "r: {l: {append: 1}}"], "f2:1:17", "takes a list"),
        (["r: !vault x"], "f1:1:4", "encrypted"),
    ],
)
def test_options_that_cannot_be_merged(texts: list[str], place: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        merge_options("r", _layers(*texts))
    assert str(caught.value.mark) == place
    assert caught.value.help


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    (tmp_path / "hosts").write_text("[g]\nmx[1:3]\nmx4 a=1\n[g:vars]\nv=1\n", encoding="utf-8")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all").write_text("{postfix: {x: 1}, v: 2}", encoding="utf-8")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "mx3").write_text("postfix: {y: !vault z}", encoding="utf-8")
    return load_inventory([tmp_path / "hosts"])


def test_hosts_with_the_same_layers_share_results(inventory: Inventory) -> None:
    one, two, _, four = inventory.hosts.values()
    assert one.vars is two.vars
    assert one.merged("postfix") is two.merged("postfix")
    assert four.vars == {"v": 2, "postfix": {"x": 1}, "a": 1}
    assert four.merged("postfix") is one.merged("postfix"), "its own variable is another"


def test_an_encrypted_value_concerns_only_the_host_that_reads_it(inventory: Inventory) -> None:
    assert inventory.hosts["mx3"].merged("mail") == {}
    assert inventory.hosts["mx1"].merged("postfix") == {"x": 1}
    with pytest.raises(InputError, match="encrypted"):
        Reader(inventory).options(inventory.hosts["mx3"], "postfix")


def test_origins_name_the_winner_first(inventory: Inventory) -> None:
    found = inventory.hosts["mx1"].origins("v")
    assert [(origin.value, origin.mark and origin.mark.line) for origin in found] == [
        (2, 1),
        (1, 5),
    ]
    assert inventory.hosts["mx1"].origins("nothing") == ()
