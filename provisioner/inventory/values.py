"""Scalars that need more than a plain Python value."""

from __future__ import annotations

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


class UnsafeText(str):
    """Text marked `!unsafe`: never a template, whatever it looks like."""

    __slots__ = ()
