"""Files of variables that ansible-vault has encrypted as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from provisioner.inventory.values import UnsafeText
from provisioner.inventory.yamlfile import overlay
from provisioner.marks import Map, Mark, Seq
from provisioner.secrets import SecretText


class UnsafeSecretText(UnsafeText, SecretText):
    """Secret text that is never a template."""

    __slots__ = ()


class SealedMap(Map):
    """The variables of an encrypted file: none, until a host that has it needs one.

    True even while it holds nothing, so that it counts as a layer. `text` is the file as
    it is, encrypted.
    """

    __slots__ = ("_read", "text")

    def __init__(self, text: str, mark: Mark, read: Callable[[], Map | None]) -> None:
        super().__init__(mark=mark)
        self.text = text
        self._read: Callable[[], Map | None] | None = read

    def __bool__(self) -> bool:
        return True

    def unseal(self) -> None:
        """Read the file now, if that was not done. Raises InputError: it cannot be opened."""
        if self._read is not None:
            found = self._read()
            self._read = None
            if found is not None:
                overlay(self, as_secrets(found))


def as_secrets(value: Any) -> Any:
    """`value` with every text in it a secret one."""
    if isinstance(value, Map):
        items = {key: as_secrets(item) for key, item in value.items()}
        return Map(items, mark=value.mark, marks=value.marks, key_marks=value.key_marks)
    if isinstance(value, Seq):
        return Seq(map(as_secrets, value), mark=value.mark, marks=value.marks)
    if isinstance(value, UnsafeText):
        return UnsafeSecretText(value)
    return SecretText(value) if isinstance(value, str) else value
