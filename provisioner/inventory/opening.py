"""How secrets are opened, and what stands for them where they are to stay closed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from provisioner.errors import InputError
from provisioner.inventory.references import open_reference
from provisioner.inventory.sealed import SealedMap
from provisioner.inventory.values import SecretReference, VaultValue
from provisioner.inventory.vault import Vault

if TYPE_CHECKING:
    from provisioner.inventory.model import Host


class Secrets:
    """How secrets are opened: by vault password, environment, file, program."""

    def __init__(self, vault: Vault | None = None) -> None:
        self._vault = vault or Vault()
        self._opened: dict[tuple[str, ...], str | InputError] = {}

    def open(self, value: VaultValue | SecretReference) -> str:
        """The text. Raises InputError at the value's place. Nothing is tried twice."""
        key = _key(value)
        if key not in self._opened:
            try:
                self._opened[key] = self._open(value)
            except InputError as error:
                self._opened[key] = error
        found = self._opened[key]
        if isinstance(found, InputError):
            raise InputError(found.message, mark=value.mark, help=found.help)
        return found

    def _open(self, value: VaultValue | SecretReference) -> str:
        if isinstance(value, VaultValue):
            return self._vault.open(value.ciphertext, value.mark)
        return open_reference(value)

    def missing(self, _host: Host, _name: str) -> str | None:
        """What stands for a variable that may be in a file that stays closed; None: nothing."""
        return None


class Placeholders(Secrets):
    """Opens nothing: each secret is a text that is equal where what is written is equal.

    For comparing what is desired without a password, and without running anything.
    """

    def open(self, value: VaultValue | SecretReference) -> str:
        if isinstance(value, VaultValue):
            return _placeholder(*_key(value))
        return _placeholder(value.kind, *value.arguments)

    def missing(self, host: Host, name: str) -> str | None:
        sealed = [layer.text for layer in host.layers if isinstance(layer, SealedMap)]
        return _placeholder("sealed", name, *sealed) if sealed else None


def _placeholder(*parts: str) -> str:
    return "secret-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _key(value: VaultValue | SecretReference) -> tuple[str, ...]:
    """Equal for what opens to the same. A reference's path counts from the file it is in."""
    if isinstance(value, VaultValue):
        return ("vault", "".join(value.ciphertext.split()))
    return (value.kind, value.mark.file, *value.arguments)
