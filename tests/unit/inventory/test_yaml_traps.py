"""YAML's traps, told where they bite: in options that want something else."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.inventory.yamlfile import parse_yaml
from provisioner.roles import RoleOptions
from provisioner.roles.options import validate


class Options(RoleOptions):
    text: str = ""
    number: int = 0
    either: str | int | bool = ""
    names: dict[str, str] = {}  # noqa: RUF012 - pydantic copies defaults
    texts: list[str] = []  # noqa: RUF012


@pytest.mark.parametrize(
    ("text", "column", "says", "advises"),
    [
        ("text: no", 7, "must be text, not true or false", "YAML reads yes, no, on and off"),
        ("text: 0640", 7, "must be text, not a number", "YAML reads 0640 as the number 416"),
        ("text: 22:30", 7, "must be text, not a number", "YAML reads 22:30 as the number 1350"),
        ("text: 2026-01-31", 7, "must be text, not a date", "YAML reads it as a date"),
        ("text: 3.10", 7, "must be text, not a number", "YAML reads 3.10 as the number 3.1"),
        ("text: 1_000", 7, "must be text, not a number", "1_000 as the number 1000"),
        ("text: ~", 7, "must be text, not nothing", "''"),
        ("number: 010", 9, "YAML reads 010 as the number 8", 'write 8 if that is meant, or "010"'),
        ("number: -010", 9, "YAML reads -010 as the number -8", "write -8"),
        ("either: 12:30:45", 9, "YAML reads 12:30:45 as the number 45045", "in quotes"),
        ("texts: [a, 0755]", 12, "must be text, not a number", "number 493"),
        ("names: {a: on}", 12, "must be text, not true or false", "in quotes"),
        ("names: {no: x}", 9, "a name must be text, not true or false", "in quotes"),
        ("names: {25: x}", 9, "a name must be text, not a number", "in quotes"),
        ("off: x", 1, "a name must be text, not true or false", "in quotes"),
    ],
)
def test_trap(text: str, column: int, says: str, advises: str) -> None:
    options, found = validate(Options, parse_yaml(text, "f.yml").value, "r")
    assert options is None
    (one,) = found
    assert str(one.mark) == f"f.yml:1:{column}"
    assert says in one.message
    assert advises in one.help


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('text: "0640"', "0640"),
        ("text: 0o640", "0o640"),
        ("number: 0x1F", 31),
        ("number: 0", 0),
        ("number: -5", -5),
        ("number: 08", 8),
    ],
)
def test_no_trap(text: str, value: Any) -> None:
    options, found = validate(Options, parse_yaml(text, "f.yml").value, "r")
    assert found == []
    assert options is not None
    assert value in (options.text, options.number)
