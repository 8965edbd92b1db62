"""Descriptions of options: read when they are shown, and then they are pydantic's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from provisioner.policy.options import TestOptions
from provisioner.report.roletext import nested_models
from provisioner.roles.descriptions import described
from provisioner.roles.interface import MailFacts, RoleOptions
from provisioner.roles.loading import RoleLibrary


class Plain(RoleOptions):
    """Described by us."""

    first: int = 1
    """Two lines,
    the second of which is indented."""

    second: str = Field("", alias="except", description="Said by the field.")
    """Not said."""

    third: bool = False
    fourth: str = ""

    """Behind an empty line."""


class Theirs(BaseModel):
    """The same, described by pydantic."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    first: int = 1
    """Two lines,
    the second of which is indented."""

    second: str = Field("", alias="except", description="Said by the field.")
    """Not said."""

    third: bool = False
    fourth: str = ""

    """Behind an empty line."""


class Outer(Plain):
    inner: dict[str, list[Plain]] | None = None
    """What is inside."""


def test_they_are_those_of_pydantic() -> None:
    ours = {name: field.description for name, field in described(Plain).model_fields.items()}

    assert ours == {name: field.description for name, field in Theirs.model_fields.items()}
    assert ours["fourth"] == "Behind an empty line."


def test_the_schema_has_them_inside_and_inherited() -> None:
    schema = described(Outer).model_json_schema()

    assert schema["properties"]["inner"]["description"] == "What is inside."
    assert schema["properties"]["except"]["description"] == "Said by the field."
    inner = schema["$defs"]["Plain"]["properties"]
    assert inner["first"]["description"] == "Two lines,\nthe second of which is indented."


def test_described_options_validate_as_before() -> None:
    options = described(Outer).model_validate({"inner": {"a": [{"first": 2}]}})

    assert isinstance(options, Outer)
    assert options.inner == {"a": [Plain(first=2)]}


@pytest.mark.parametrize(
    "model", [MailFacts, TestOptions, *(each.options for each in RoleLibrary(Path("none")))]
)
def test_every_option_of_ours_is_described(model: type[BaseModel]) -> None:
    def bare(one: type[BaseModel]) -> list[str]:
        found = [f"{one.__name__}.{n}" for n, f in one.model_fields.items() if not f.description]
        inner = [each for f in one.model_fields.values() for each in nested_models(f.annotation)]
        return [*found, *(name for each in inner for name in bare(each))]

    assert bare(described(model)) == []
