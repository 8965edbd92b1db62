"""JSON as people read it: sorted and indented, of large inventories too."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any

_INDENT = "    "
_encode = json.JSONEncoder(ensure_ascii=False).encode


def pretty(value: Any, begin: str = "\n") -> str:
    """What json.dumps gives with `indent=4, sort_keys=True, ensure_ascii=False`.

    Keys are text. json.dumps does this with one generator a container, in twice the time.
    `begin` is what a line at the depth of `value` begins with.
    """
    kind = type(value)
    if kind is str:
        text: str = encode_basestring(value)
        return text
    if kind is int:
        return repr(value)
    inside = begin + _INDENT
    if kind is dict and value:
        items = [
            f"{inside}{encode_basestring(key)}: "
            f"{encode_basestring(item) if type(item) is str else pretty(item, inside)}"
            for key, item in sorted(value.items())
        ]
        return f"{{{','.join(items)}{begin}}}"
    if kind is list and value:
        return f"[{','.join([inside + pretty(item, inside) for item in value])}{begin}]"
    return _encode(value)
