"""Host patterns; that they mean what Ansible means is a matter of the contract test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.errors import ExitCode, InputError
from provisioner.inventory import Inventory, load_inventory

CASES: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "cases" / "inventory" / "patterns.yml").read_text(encoding="utf-8")
)


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    (tmp_path / "hosts").write_text(CASES["inventory"], encoding="utf-8")
    return load_inventory([tmp_path / "hosts"])


@pytest.mark.parametrize("pattern", CASES["matching"])
def test_each_host_once_and_the_same_when_named_one_by_one(
    inventory: Inventory, pattern: str
) -> None:
    names = [host.name for host in inventory.select(pattern)]
    assert len(set(names)) == len(names) > 0
    assert [host.name for host in inventory.select(",".join([*names, ""]))] == names


@pytest.mark.parametrize("pattern", CASES["nothing"])
def test_matching_nothing_is_an_error_with_help(inventory: Inventory, pattern: str) -> None:
    with pytest.raises(InputError) as caught:
        inventory.select(pattern)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.help


@pytest.mark.parametrize(
    ("pattern", "help_says"),
    [
        ("realy", 'did you mean "relay"'),
        ("mx,mx1.exmaple.com", 'did you mean "mx1.example.com"'),
        ("zzzzzz", "groups here: all, empty, mx, north"),
        ("mx[9]", "mx has 4"),
        ("mx:north,relay", "write commas only"),
    ],
)
def test_help_names_what_was_meant(inventory: Inventory, pattern: str, help_says: str) -> None:
    with pytest.raises(InputError) as caught:
        inventory.select(pattern)
    assert help_says in caught.value.help


def test_match_takes_nothing_for_an_answer(inventory: Inventory) -> None:
    assert inventory.match("nothing:&mx") == []
    assert [host.name for host in inventory.match("north")] == ["mx1.example.com", "relay-a"]


def test_a_file_of_terms(inventory: Inventory, tmp_path: Path) -> None:
    terms = tmp_path / "retry"
    terms.write_text("relay-b\n\n  mx1.example.com\n!relay-a\n", encoding="utf-8")
    names = [host.name for host in inventory.select(f"north,@{terms}")]
    assert names == ["mx1.example.com", "relay-b"]


def test_a_file_of_terms_that_is_not_there(inventory: Inventory, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        inventory.select(f"@{tmp_path}/none")
