"""ansible-vault's format, 1.1 and 1.2 with AES256: opening what it has encrypted.

A header line `$ANSIBLE_VAULT;1.1;AES256` (1.2 adds a label), then hexadecimal lines of
salt, HMAC-SHA256 and ciphertext. The keys come from the password by PBKDF2 (SHA256,
10 000 rounds); the cipher is AES-256 in counter mode, padded by PKCS #7.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from provisioner.diagnostics import printable
from provisioner.errors import InputError
from provisioner.marks import Mark
from provisioner.secrets import Secret, remember

_HEADER = re.compile(r"\$ANSIBLE_VAULT;(\d+\.\d+);([A-Za-z0-9]+)(?:;([^\r\n]*))?")
_ROUNDS = 10_000
_KEY_BYTES = 32
_BLOCK_BYTES = 16

_GIVE_ONE = (
    "give the password of ansible-vault: --vault-password-file FILE, --vault-id LABEL@FILE,"
    " --ask-vault-pass, or ANSIBLE_VAULT_PASSWORD_FILE"
)


@dataclass(frozen=True)
class Envelope:
    """An encrypted text, taken apart."""

    label: str
    salt: bytes
    digest: bytes
    ciphertext: bytes


@dataclass(frozen=True)
class VaultPassword:
    """Where one password comes from: `read` is called once, when it is first needed."""

    label: str
    source: str
    read: Callable[[], Secret]


@dataclass
class Vault:
    """Opens encrypted texts with the passwords given. Each text is opened once."""

    passwords: Sequence[VaultPassword] = ()
    _read: dict[int, Secret] = field(default_factory=dict, repr=False)
    _opened: dict[str, str] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.passwords)

    def open(self, text: str, mark: Mark | None) -> str:
        """The text inside `text`. Raises InputError at `mark`: damaged, no password, none fits.

        What is inside is not remembered as a secret; that is its reader's business.
        """
        if text not in self._opened:
            envelope = parse(text, mark)
            if not self.passwords:
                raise InputError("this is encrypted by ansible-vault", mark=mark, help=_GIVE_ONE)
            self._opened[text] = self._open(envelope, mark)
        return self._opened[text]

    def _open(self, envelope: Envelope, mark: Mark | None) -> str:
        label = f' (its label is "{printable(envelope.label)}")' if envelope.label else ""
        for number in self._by_likelihood(envelope.label):
            content = unseal(envelope, self._password(number))
            if content is not None:
                return _text(content, mark)
        tried = ", ".join(printable(each.source) for each in self.passwords)
        raise InputError(
            f"no vault password given opens this{label}",
            mark=mark,
            help=f"tried {tried}; is the password right, and the text whole?",
        )

    def _by_likelihood(self, label: str) -> list[int]:
        """The passwords of that label first, then the others: as ansible does."""
        return sorted(range(len(self.passwords)), key=lambda n: self.passwords[n].label != label)

    def _password(self, number: int) -> Secret:
        if number not in self._read:
            secret = self.passwords[number].read()
            remember(secret.reveal())
            self._read[number] = secret
        return self._read[number]


def parse(text: str, mark: Mark | None) -> Envelope:
    """Raises InputError (at `mark`) for what is no envelope of ansible-vault."""
    lines = text.strip().split("\n")
    header = _HEADER.fullmatch(lines[0].strip())
    if header is None:
        raise InputError(
            "an encrypted value starts with $ANSIBLE_VAULT;1.1;AES256",
            mark=mark,
            help="make one with: ansible-vault encrypt_string",
        )
    version, cipher, label = header[1], header[2], header[3] or ""
    if version not in ("1.1", "1.2") or cipher != "AES256":
        raise InputError(
            f"the vault format {version};{cipher} is not known here",
            mark=mark,
            help="1.1 and 1.2 with AES256 are; encrypt it anew with ansible-vault rekey",
        )
    try:
        inner = binascii.unhexlify("".join(line.strip() for line in lines[1:]))
        salt, digest, ciphertext = (binascii.unhexlify(part) for part in inner.split(b"\n", 2))
    except ValueError:  # of odd length, no hexadecimal digits, too few parts
        raise InputError(
            "the encrypted text is damaged",
            mark=mark,
            help="is every line of it there, equally indented?",
        ) from None
    return Envelope(label.strip(), salt, digest, ciphertext)


def unseal(envelope: Envelope, password: Secret) -> bytes | None:
    """The content, or None where the password is another one."""
    import hashlib
    import hmac

    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    length = 2 * _KEY_BYTES + _BLOCK_BYTES
    derived = hashlib.pbkdf2_hmac(
        "sha256", password.reveal().encode(), envelope.salt, _ROUNDS, length
    )
    key, hmac_key = derived[:_KEY_BYTES], derived[_KEY_BYTES : 2 * _KEY_BYTES]
    found = hmac.digest(hmac_key, envelope.ciphertext, "sha256")
    if not hmac.compare_digest(found, envelope.digest):
        return None
    decryptor = Cipher(algorithms.AES(key), modes.CTR(derived[2 * _KEY_BYTES :])).decryptor()
    padded = decryptor.update(envelope.ciphertext) + decryptor.finalize()
    padding = padded[-1] if padded else 0
    return padded[:-padding] if 0 < padding <= _BLOCK_BYTES else None


def _text(content: bytes, mark: Mark | None) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(
            "the encrypted content is no UTF-8 text", mark=mark, help="encrypt a text file"
        ) from None
