"""Bad configurations: refused by the rehearsal, or undone by the host itself.

Whatever the fault, afterwards every file is as it was and the host takes mail.
"""

from __future__ import annotations

import smtplib
from typing import TYPE_CHECKING, Any

import pytest
from support import Site, leftovers, read, state, write

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

#: Parameters that `postfix check` passes or that no reload reports, and a word of the refusal.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown restriction": (
        {"smtpd_sender_restrictions": "reject_foo_bar"},
        "unknown smtpd restriction",
    ),
    "unknown restriction at the end of data": (
        {"smtpd_end_of_data_restrictions": "reject_foo_bar"},
        "the message is answered: 451 4.3.5",
    ),
    "open relay": (
        {"smtpd_relay_restrictions": "check_client_access static:OK, reject_unauth_destination"},
        "an open relay",
    ),
    "no relay guard at all": (
        {"smtpd_relay_restrictions": "permit", "smtpd_recipient_restrictions": "permit"},
        "fatal",
    ),
    "missing table": (
        {"local_recipient_maps": "hash:/etc/postfix/nowhere"},
        "/etc/postfix/nowhere",
    ),
    "dead milter": ({"smtpd_milters": "inet:127.0.0.1:9"}, "the milter inet:127.0.0.1:9"),
    "number below its minimum": ({"smtpd_recipient_limit": "0"}, "smtpd_recipient_limit"),
}

#: More of the same, for the full matrix.
MORE_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no hops allowed": ({"hopcount_limit": "0"}, "hopcount_limit"),
    "misspelt parameter": ({"smtp_tls_security_levl": "may"}, "smtp_tls_security_levl"),
    "address of nobody here": ({"inet_interfaces": "203.0.113.7"}, "203.0.113.7"),
    "unknown user": ({"mail_owner": "nobody-here"}, "nobody-here"),
    "unknown table type": ({"virtual_alias_maps": "nosuch:/etc/postfix/x"}, "nosuch"),
    "bad host name": ({"myhostname": "bad name"}, "bad name"),
    "removed restriction": (
        {"smtpd_recipient_restrictions": "check_relay_domainss, reject_unauth_destination"},
        "check_relay_domainss",
    ),
    "restriction without its argument": (
        {"smtpd_helo_restrictions": "check_helo_access"},
        "check_helo_access",
    ),
    "undefined restriction class": (
        {"smtpd_client_restrictions": "permit_mynetworks, my_own_class"},
        "my_own_class",
    ),
    "comment inside a value": (
        {"smtpd_data_restrictions": "reject_unauth_pipelining #not_a_comment"},
        "451 4.3.5",
    ),
}


def takes_mail(host: Host) -> bool:
    """Whether a stranger's mail to a user of the host is accepted up to RCPT."""
    with smtplib.SMTP(host.address, 25, timeout=30) as smtp:
        smtp.ehlo("mail.good.example")
        smtp.mail("someone@good.example")
        return smtp.rcpt("root@" + host.fqdn)[0] == 250


def check_refusals(
    site: Site, lab: Lab, host: Host, faults: dict[str, tuple[dict[str, Any], str]]
) -> None:
    site.say_parameters(smtpd_helo_required=True)
    site.settle()
    before = state(lab, host)
    for name, (parameters, word) in faults.items():
        site.say_parameters(smtpd_helo_required=True, **parameters)
        done = site.apply(code=4)
        assert word in done.said, f"{name}: {done.err}"
        assert "nothing was changed" in done.said, f"{name}: {done.err}"
        assert state(lab, host) == before, name
        assert takes_mail(host), name
    assert leftovers(lab, host) == ""
    alive = lab.exec(
        host, "pgrep -x -c master; grep -c /var/lib/provisioner /proc/mounts || true"
    ).stdout
    assert alive.split() == ["1", "0"]


def test_the_rehearsal_refuses_bad_configurations(lab: Lab, host: Host, tmp_path: Path) -> None:
    check_refusals(Site(lab, tmp_path, host), lab, host, FAULTS)


@pytest.mark.matrix
def test_the_rehearsal_refuses_more(lab: Lab, host: Host, tmp_path: Path) -> None:
    check_refusals(Site(lab, tmp_path, host), lab, host, MORE_FAULTS)


def test_what_only_shows_live_is_undone(lab: Lab, host: Host, tmp_path: Path) -> None:
    """The rehearsal leaves out milters by client; live, the host's own clients meet a dead one."""
    site = Site(lab, tmp_path, host)
    site.say_parameters(smtpd_helo_required=True)
    site.settle()
    before = state(lab, host)
    site.say(
        {
            "postfix": {
                "parameters": {
                    "smtpd_helo_required": True,
                    "smtpd_milter_maps": "cidr:/etc/postfix/milters",
                },
                "tables": {
                    "/etc/postfix/milters": {"type": "cidr", "text": "127.0.0.1 inet:127.0.0.1:9\n"}
                },
            }
        },
        ["postfix"],
    )
    done = site.apply(code=4)
    assert "rolled_back" in done.said
    assert "everything is as it was before" in done.said
    assert state(lab, host) == before
    assert takes_mail(host)
    assert leftovers(lab, host) == ""


def test_an_old_fault_does_not_stand_in_the_way(lab: Lab, host: Host, tmp_path: Path) -> None:
    """What is broken already is not held against a change of something else."""
    main = read(lab, host, "/etc/postfix/main.cf")
    write(lab, host, "/etc/postfix/main.cf", f"{main}smtp_tls_security_levl = may\n")
    site = Site(lab, tmp_path, host)
    site.say_parameters(smtpd_helo_required=True)
    site.settle()
    assert takes_mail(host)


def test_the_rehearsal_leaves_no_trace_in_the_log_or_queue(
    lab: Lab, host: Host, tmp_path: Path
) -> None:
    site = Site(lab, tmp_path, host)
    site.say_parameters(smtpd_helo_required=True)
    site.settle()
    said = lab.exec(host, "cat /var/log/mail.log; mailq").stdout
    assert "rehearsal" not in said
    assert "Mail queue is empty" in said
