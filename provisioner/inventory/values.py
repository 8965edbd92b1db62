"""Scalars that need more than a plain Python value, and what kinds of values are called."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioner.marks import Mark

#: Larger numbers are refused: Python would not print them.
MAX_NUMBER_BITS = 8192


@dataclass(frozen=True, slots=True, repr=False)
class VaultValue:
    """An ansible-vault encrypted value, kept closed. Reading it is its reader's business."""

    ciphertext: str
    mark: Mark | None = None

    def __repr__(self) -> str:
        return f"VaultValue({self.mark})"


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A secret that is kept elsewhere: `!env NAME`, `!file PATH`, `!command [PROGRAM, ...]`.

    `kind` is the tag without its "!"; `arguments` holds the name, the path or the words.
    """

    kind: str
    arguments: tuple[str, ...]
    mark: Mark


class UnsafeText(str):
    """Text marked `!unsafe`: never a template, whatever it looks like."""

    __slots__ = ()


def kind_of(value: object) -> str:
    """What the author of a file calls a value of this kind: "text", "a list", …"""
    if value is None:
        return "nothing"
    names = {
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        datetime.date: "a date",
        SecretReference: "a secret",
        VaultValue: "a secret",
    }
    return next((name for kind, name in names.items() if isinstance(value, kind)), "a mapping")


class OddNumber(int):
    """A whole number that was not written in plain decimal digits: `010`, `22:30`, `0x1f`.

    YAML 1.1 reads them as 8, 1350 and 31; `text` is what its author sees.
    """

    text: str

    def __new__(cls, value: int, text: str) -> OddNumber:
        number = super().__new__(cls, value)
        number.text = text
        return number

    def __reduce__(self) -> tuple[type[OddNumber], tuple[int, str]]:
        return (OddNumber, (int(self), self.text))
