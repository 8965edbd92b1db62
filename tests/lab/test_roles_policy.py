"""Roles that decide: restrictions, access maps, submission, judged from outside."""

from __future__ import annotations

import smtplib
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from roles_support import STRANGER, answer, logged_in, pruned
from support import Site, conversation, postconf, state

from provisioner.lab.recipe import PASSWORDS

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

MAIL = {"domains": ["lab.example"], "networks": ["127.0.0.0/8", "[::1]/128"]}
SUBMISSION = {"dovecot_auth": {}, "submission": {}}


def policy(lab: Lab, layout: str) -> dict[str, Any]:
    return {
        "mail": MAIL,
        "postfix": {"parameters": {"smtpd_error_sleep_time": 0}},
        "smtpd_restrictions": {
            "layout": layout,
            "checks": {
                "reject_unknown_reverse_client_hostname": "enforce",
                "reject_unknown_sender_domain": "trial",
            },
            "etrn": "reject",
        },
        "access_maps": {
            "client": {"type": "cidr", "entries": {f"{lab.client_address('second')}/32": "REJECT"}},
            "helo": {"type": "regexp", "entries": {"/^bad\\./": "550 5.7.1 bad name"}},
            "sender": {"entries": {"spam@good.example": "REJECT"}},
            "recipient": {"type": "inline", "entries": {"deploy@lab.example": "REJECT no mail"}},
            "own_domains_from_outside": {"mode": "enforce", "except": ["news@lab.example"]},
            "exempt": [
                {"client": lab.client_address("third"), "why": "a partner with odd servers"},
                {"sender": "friend@lab.example", "why": "forwards"},
                {"recipient": "admin@lab.example", "why": "the help desk"},
                {"client": lab.client_address("nameless"), "why": "was", "until": "2020-01-01"},
            ],
        },
    }


def test_policy(lab: Lab, host: Host, tmp_path: Path) -> None:
    before, settings = state(lab, host), postconf(lab, host)
    site = Site(lab, tmp_path, host)
    for layout in ("recipient", "per_list"):
        site.say(policy(lab, layout), ["postfix", "smtpd_restrictions", "access_maps"])
        planned = site.plan(code=2)
        assert "the exemption of client" in planned.out
        assert "ended on 2020-01-01" in planned.out
        site.settle()

        def code(layout: str = layout, **how: Any) -> int:
            return answer(lab, host, **how)[0]

        assert code() == 250
        assert code(to="ghost@lab.example") == 550
        assert code(to="x@elsewhere.example") == 554
        assert code(client="nameless") == 450  # no PTR; its exemption is over
        assert code(client="second") == 554
        assert code(helo="bad.good.example") == 550
        assert code(helo="laptop") == 504
        assert code(sender="spam@good.example") == 554
        assert code(sender="x@nowhere.example") == 250  # on trial
        assert code(to="deploy@lab.example") == 554
        assert code(sender="boss@lab.example") == 550
        assert code(sender="news@lab.example") == 250
        assert code(sender="boss@sub.lab.example") == 250
        # Exempt: in any layout, from any check, but never past the relay guard.
        assert code(client="third", helo="laptop", sender="spam@good.example") == 250
        assert code(client="third", to="x@elsewhere.example") == 554
        assert code(client="third", to="ghost@lab.example") == 550
        assert code(client="nameless", helo="laptop", sender="friend@lab.example") == 250
        assert code(client="nameless", helo="laptop", to="admin@lab.example") == 250
        assert code(sender="friend@lab.example", to="x@elsewhere.example") == 554
        assert code(to="admin@elsewhere.example") == 554
    pruned(lab, host, site, before, settings)


def test_submission(lab: Lab, host: Host, tmp_path: Path) -> None:
    # 465 is there already, under the name it had before 3.6.
    lab.exec(host, "printf 'smtps inet n - y - - smtpd\\n' >> /etc/postfix/master.cf")
    before, settings = state(lab, host), postconf(lab, host)
    site = Site(lab, tmp_path, host)
    rules = policy(lab, "per_list")
    site.say(
        {**rules, **SUBMISSION},
        ["postfix", "smtpd_restrictions", "access_maps", "dovecot_auth", "submission"],
    )
    site.settle()
    assert (
        lab.exec(host, "postconf -M | grep -c '^\\(smtps\\|submissions\\|465\\) '").stdout == "1\n"
    )
    for port in (587, 465):
        with logged_in(lab, host, port) as session:
            assert session.mail("alice@lab.example")[0] == 250
            assert session.rcpt("x@good.example")[0] == 250
    # Without a password nothing; without TLS no password; on 25 no AUTH at all.
    with conversation(lab, host, "good", 587) as session:
        session.ehlo(STRANGER)
        assert not session.has_extn("auth")
        assert session.docmd("MAIL FROM:<alice@lab.example>")[0] == 530
        session.starttls(context=ssl._create_unverified_context())  # noqa: S323
        session.ehlo(STRANGER)
        session.mail("alice@lab.example")
        assert session.rcpt("x@good.example")[0] == 554
    with conversation(lab, host) as session:
        session.ehlo(STRANGER)
        assert not session.has_extn("auth")
        assert session.docmd("AUTH PLAIN")[0] == 503
    pruned(lab, host, site, before, settings)
    assert "inactive" in lab.exec(host, "systemctl is-active dovecot", check=False).stdout


def test_submission_needs_its_socket(lab: Lab, host: Host, tmp_path: Path) -> None:
    before = state(lab, host)
    site = Site(lab, tmp_path, host)
    site.say({"submission": {"tls": {"key": "/etc/ssl/no.key"}}}, ["submission"])
    refused = site.plan(code=4)
    assert "requirement:/var/spool/postfix/private/auth: not on this host" in refused.said
    assert "requirement:/etc/ssl/no.key: not on this host" in refused.said
    assert "hosts.yml" in refused.err
    assert state(lab, host) == before


@pytest.mark.matrix
def test_submission_by_cyrus(lab: Lab, host: Host, tmp_path: Path) -> None:
    """saslauthd with the system's accounts, then with its own; chrooted smtpd on most releases."""
    before, settings = state(lab, host), postconf(lab, host)
    site = Site(lab, tmp_path, host)
    roles = ["postfix", "smtpd_restrictions", "cyrus_auth", "submission"]
    for mechanism in ("pam", "sasldb"):
        options = {
            "mail": MAIL,
            "cyrus_auth": {"mechanism": mechanism},
            "submission": {"sasl": {"type": "cyrus", "path": "smtpd"}},
        }
        site.say(options, roles)
        site.settle()
        assert lab.exec(host, "systemctl is-enabled saslauthd").stdout == "enabled\n"
        if mechanism == "sasldb":
            with pytest.raises(smtplib.SMTPAuthenticationError):
                logged_in(lab, host, 587)
            make = f"echo {PASSWORDS['alice']} | saslpasswd2 -p -c -u $(hostname) alice"
            lab.exec(host, f"{make}; systemctl restart saslauthd")
        for port in (587, 465):
            with logged_in(lab, host, port) as session:
                assert session.mail("alice@lab.example")[0] == 250
                assert session.rcpt("x@good.example")[0] == 250
    pruned(lab, host, site, before, settings)
    ends = lab.exec(host, "systemctl is-active saslauthd; systemctl is-enabled saslauthd; true")
    assert ends.stdout.split() == ["inactive", "disabled"]
