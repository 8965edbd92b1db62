"""No option of a shipped role is described in Python's words."""

from __future__ import annotations

import pytest

from provisioner.report.roletext import describe
from provisioner.roles.loading import RoleLibrary

LIBRARY = RoleLibrary()


@pytest.mark.parametrize("name", LIBRARY.names())
def test_types_are_told_in_the_words_of_a_yaml_author(name: str) -> None:
    text = describe(LIBRARY.load(name))
    assert f"{name}: " in text
    for foreign in ("<class", "typing.", "Annotated", "NoneType", "pydantic"):
        assert foreign not in text
