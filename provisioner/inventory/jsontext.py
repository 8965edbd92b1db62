"""JSON as people read it: sorted and indented, of large inventories too."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any

_INDENT = "    "
_encode = json.JSONEncoder(ensure_ascii=False).encode


def pretty(value: Any) -> str:
    """What json.dumps gives with `indent=4, sort_keys=True, ensure_ascii=False`.

    Keys are text. json.dumps does this with one generator a container, in twice the time,
    and writes what many hosts share once for each of them.
    """
    return _written(value, "\n", {})


def _written(value: Any, begin: str, known: dict[tuple[int, str], str]) -> str:
    """`begin` is what a line at the depth of `value` begins with; `known`, by identity and
    depth, what was written before."""
    kind = type(value)
    if kind is str:
        text: str = encode_basestring(value)
        return text
    if kind is int:
        return repr(value)
    if kind not in (dict, list) or not value:
        return _encode(value)
    place = (id(value), begin)
    written = known.get(place)
    if written is not None:
        return written
    inside = begin + _INDENT
    if kind is dict:
        items = [
            f"{inside}{encode_basestring(key)}: "
            f"{encode_basestring(item) if type(item) is str else _written(item, inside, known)}"
            for key, item in sorted(value.items())
        ]
        written = f"{{{','.join(items)}{begin}}}"
    else:
        written = f"[{','.join([inside + _written(item, inside, known) for item in value])}{begin}]"
    known[place] = written
    return written
