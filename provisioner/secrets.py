"""A string that does not show itself."""

from __future__ import annotations

#: What stands in every output where a secret would.
MASK = "***"


class Secret:
    """A secret string: printed, formatted, logged or pickled it is `***`.

    `reveal()` is the only way to the text; call it where the text leaves for the
    place that needs it, and nowhere else.
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
