"""Strings that do not show themselves.

`Secret` hides its text from everything but `reveal()`. `SecretText` is an opened secret on
its way through options and templates: a `str` to whoever computes with it, `***` to whoever
prints it with `repr`. Both are *remembered*: `masked` takes them out of any text that is
about to be shown, and `collecting` tells which ones a piece of work has met.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

#: What stands in every output where a secret would.
MASK = "***"

#: Shorter secrets are not searched for in running text: they would hide half of it.
SHORTEST_SEARCHED = 6
#: Lines of a longer secret (a private key) that are secrets by themselves, in characters.
_LONG_LINE = 16


class Secret:
    """A secret string: printed, formatted, logged or pickled it is `***`.

    `reveal()` is the only way to the text; call it where the text leaves for the
    place that needs it, and nowhere else. A role's option may be of this type.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("provisioner.Secret", self._text))

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return (Secret, (MASK,))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """As a type of options: text is taken and remembered, `***` is what is written."""
        from pydantic_core import core_schema

        def closed(value: Any) -> Any:
            if isinstance(value, str):
                remember(value)
                return cls(str.__str__(value))
            return value

        return core_schema.no_info_before_validator_function(
            closed,
            core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: MASK),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"type": "string", "writeOnly": True}


class SecretText(str):
    """An opened secret that code can compute with."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


_known: dict[str, None] = {}
_collectors: ContextVar[tuple[dict[str, None], ...]] = ContextVar("collectors", default=())


def remember(text: str) -> None:
    """From now on `text` is a secret to `masked`, and to whoever is `collecting`."""
    plain = str.__str__(text)
    if not plain.strip():
        return
    _known[plain] = None
    for collector in _collectors.get():
        collector[plain] = None


@contextmanager
def collecting() -> Iterator[dict[str, None]]:
    """The secrets remembered inside the block, as the keys of a mapping."""
    found: dict[str, None] = {}
    token = _collectors.set((*_collectors.get(), found))
    try:
        yield found
    finally:
        _collectors.reset(token)


def masked(text: str) -> str:
    """`text` with every secret in it that is known so far hidden."""
    for secret in sorted(_known, key=len, reverse=True):
        for form in _forms(secret):
            if form in text:
                text = text.replace(form, MASK)
    return text


def _forms(secret: str) -> Iterable[str]:
    """How a secret may stand in a text: as it is, line by line, as JSON spells it."""
    if len(secret) < SHORTEST_SEARCHED:
        return ()
    lines = [line for line in secret.split("\n") if len(line) >= _LONG_LINE]
    return dict.fromkeys((secret, json.dumps(secret)[1:-1], *lines))


def pattern_of(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """What finds any of `secrets` in a value: anywhere, or as a whole word if it is short.

    None where there are none.
    """
    parts: dict[str, None] = {}
    for secret in sorted(secrets, key=len, reverse=True):
        for form in _forms(secret) or (secret,):
            quoted = re.escape(form)
            parts[quoted if len(form) >= SHORTEST_SEARCHED else rf"(?<!\w){quoted}(?!\w)"] = None
    return re.compile("|".join(parts)) if parts else None
