"""Loads the data cases of `tests/cases/postfix`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

#: For properties: the machine may be busy, and time is not what they are about.
relaxed = settings(deadline=None)

CASES = Path(__file__).parents[2] / "cases" / "postfix"


def load(name: str, section: str | None = None) -> list[Any]:
    """The cases of one file (or one section of it) as pytest parameters."""
    found = yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))
    cases = found[section] if section else found
    assert cases, f"no cases in {name}.yaml"
    return [pytest.param(case, id=_label(case, number)) for number, case in enumerate(cases)]


def _label(case: Any, number: int) -> str:
    named = isinstance(case, dict) and " " in str(case.get("name", ""))
    return str(case["name"]) if named else str(number)
