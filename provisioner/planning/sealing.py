"""What a saved plan must not show, sealed with a key that only the inventory's secrets give.

A saved plan is a file that people attach to merge requests. What carries a secret to a host
goes into it encrypted; the key is derived from the secrets themselves, as often as it is
needed. So the file holds nothing that opens it, and whoever can resolve the inventory's
secrets can. A secret that was changed since gives another key: the plan is stale.

The derivation (scrypt) is slow on purpose, so that a short password cannot be guessed from
the file either. AES-GCM tells whether the key was the right one.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Iterable

from provisioner.resources.base import Resource

SALT_BYTES = 16
_KEY_BYTES = 32
_NONCE_BYTES = 12
#: scrypt: about 50 ms and 16 MiB for one host.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1


def secret_of(resources: Iterable[Resource]) -> bytes | None:
    """All that is desired where a secret takes part in it; None where none does."""
    found = sorted((each.address, each.identity()) for each in resources if each.holds_secret)
    return json.dumps(found, sort_keys=True).encode() if found else None


def seal(content: bytes, secret: bytes, salt: bytes) -> str:
    """`content` in a form that only `secret` opens. `salt` are SALT_BYTES of chance."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    # The salt is used once, and so is the key that it gives: so may be the nonce.
    closed = AESGCM(_key(secret, salt)).encrypt(salt[:_NONCE_BYTES], content, None)
    return binascii.b2a_base64(salt + closed, newline=False).decode()


def unseal(text: str, secret: bytes) -> bytes | None:
    """What `seal` closed; None where `secret` is another one, or `text` is damaged."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        whole = binascii.a2b_base64(text.encode(), strict_mode=True)
        salt, closed = whole[:SALT_BYTES], whole[SALT_BYTES:]
        return AESGCM(_key(secret, salt)).decrypt(salt[:_NONCE_BYTES], closed, None)
    except (InvalidTag, ValueError):
        return None


def _key(secret: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(secret, salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, dklen=_KEY_BYTES)
