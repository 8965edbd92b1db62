"""JSON of inventories: as json.dumps writes it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from provisioner.inventory.jsontext import pretty

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(_VALUES)
def test_the_same_text_as_json_dumps(value: Any) -> None:
    assert pretty(value) == json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False)
