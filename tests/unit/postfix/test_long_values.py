"""Values as long as a host may send: looked at once, not once a character."""

from __future__ import annotations

import pytest

from provisioner.postfix import dnsbl, macros, main_cf, master_cf, restrictions, sensitive, tables

LONG = 60_000
TEXTS = {
    text[:12]: text * (LONG // len(text))
    for text in (
        "x", "-", "a.", "a://", "a.b://", "static:", "static:{", "inline:{", "inline:{{}", "{", "}",
        "$", "${", "$(", "a=", "a:", "@", ", ", " ", "hash:", "hash:/", "indexed:/", "a\n", "a\n ",
        "# \n", "\n", "\\", '"', "reject_rbl_client ", "check_client_access ", "{ a }",
    )
}  # fmt: skip
READERS = {
    "masked": lambda text: sensitive.mask("relayhost", text),
    "masked table": lambda text: sensitive.mask("smtp_sasl_password_maps", text),
    "masked key": lambda text: sensitive.mask("x", text, [dnsbl.key_pattern("zen.example")]),
    "main.cf": lambda text: main_cf.parse(text),
    "value": lambda text: main_cf.parse(f"a = {text}\n"),
    "master.cf": lambda text: master_cf.parse(text),
    "service": lambda text: master_cf.parse(f"smtp inet n - y - - smtpd {text}\n"),
    "restrictions": lambda text: restrictions.split(text),
    "table": lambda text: tables.parse(text),
    "map types": lambda text: tables.substitute(text, "hash"),
    "tables named": lambda text: tables.references(text),
    "references": lambda text: macros.references(text),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_long_text_is_read(reader: str) -> None:
    """With a time that grows as its square, the first of these takes minutes."""
    for text in TEXTS.values():
        READERS[reader](text)


def test_secrets_are_hidden_as_before() -> None:
    assert sensitive.mask("x", "abcdef1234.zen.dq.spamhaus.net=127.0.0.2") == (
        "***.zen.dq.spamhaus.net=127.0.0.2"
    )
    assert sensitive.mask("x", "see ldap://me:pass1@host/, x+ldap://me:pass2@host/") == (
        "see ldap://me:***@host/, x+ldap://me:***@host/"
    )
