"""Keys of a lab: one that opens its hosts, and each host's own."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from provisioner.lab.machine import Keys


def make_pair(kind: str = "ed25519", comment: str = "") -> tuple[str, str]:
    """A new key in OpenSSH's form: the private file's text, the public line."""
    key = (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "ecdsa"
        else ed25519.Ed25519PrivateKey.generate()
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    ).decode()
    public = (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )
    return private, f"{public} {comment}".rstrip()


def make_host_keys(authorized: str, comment: str) -> Keys:
    """New keys for one host that lets in the holders of the `authorized` keys."""
    private: dict[str, str] = {}
    public: dict[str, str] = {}
    for kind in ("ed25519", "ecdsa"):
        private[kind], public[kind] = make_pair(kind, comment)
    return Keys(private, public, authorized)
