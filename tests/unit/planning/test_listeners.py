"""Who must answer after a change: read from main.cf and master.cf texts."""

from __future__ import annotations

import pytest

from provisioner.planning.listeners import Listener, asked, declared

SMTP = "smtp inet n - y - - smtpd\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("smtp inet n - y - - smtpd", ("smtp/inet", "25", "plain")),
        ("smtp inet n - y - 1 postscreen", ("smtp/inet", "25", "open")),
        (
            "587 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt",
            ("587/inet", "587", "starttls"),
        ),
        ("smtps inet n - n - - smtpd -o smtpd_tls_wrappermode=yes", ("smtps/inet", "465", "tls")),
        ("127.0.0.1:10025 inet n - n - - smtpd", ("127.0.0.1:10025/inet", "10025", "plain")),
        ("[::1]:smtp inet n - n - - smtpd", ("[::1]:smtp/inet", "25", "plain")),
        ("628 inet n - y - - qmqpd", ("628/inet", "628", "open")),
        (
            "smtp inet n - y - - smtpd -o smtpd_upstream_proxy_protocol=haproxy",
            ("smtp/inet", "25", "proxied"),
        ),
        (
            "smtps inet n - n - - smtpd -o smtpd_tls_wrappermode=yes"
            " -o smtpd_upstream_proxy_protocol=haproxy",
            ("smtps/inet", "465", "open"),
        ),
    ],
)
def test_listener_of_a_service(line: str, expected: tuple[str, str, str]) -> None:
    assert declared((None, None), (None, line + "\n")) == (Listener(*expected, new=True),)


def test_other_spelling_of_a_port_is_no_new_listener() -> None:
    before = "smtps inet n - n - - smtpd\n"
    (found,) = declared((None, before), (None, "465 inet n - n - - smtpd\n"))
    assert not found.new


def test_services_without_a_port_are_no_listeners() -> None:
    assert declared((None, SMTP), (None, "pickup unix n - y 60 1 pickup\n")) == ()


def test_who_begins_to_wait_for_a_proxy_is_new_to_its_clients() -> None:
    waits = ("smtpd_upstream_proxy_protocol = haproxy\n", SMTP)
    assert declared((None, SMTP), waits) == (Listener("smtp/inet", "25", "proxied", new=True),)
    assert declared(waits, waits) == (Listener("smtp/inet", "25", "proxied", new=False),)
    assert declared(waits, (None, SMTP)) == (Listener("smtp/inet", "25", "plain", new=True),)


def test_policy_servers_that_are_new() -> None:
    before = ("smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10023\n", SMTP)
    after = (
        "smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10023,\n"
        " check_policy_service unix:private/spf, permit\n",
        SMTP + "  -o smtpd_data_restrictions=check_policy_service,inet:127.0.0.1:12345\n",
    )
    assert asked(before, after) == ("unix:private/spf", "inet:127.0.0.1:12345")


def test_policy_server_that_may_be_away_is_not_asked_for() -> None:
    text = (
        "smtpd_recipient_restrictions =\n"
        " check_policy_service { inet:127.0.0.1:10023, default_action=DUNNO }\n"
    )
    assert asked((None, None), (text, None)) == ()


def test_milters_are_asked_for_unless_mail_goes_on_without_them() -> None:
    text = (
        "smtpd_milters = inet:localhost:8891, { unix:opendkim.sock, default_action=accept }\n"
        "non_smtpd_milters = $smtpd_milters\n"
    )
    assert asked((None, SMTP), (text, SMTP)) == ("inet:localhost:8891",)
    assert asked((text, SMTP), (text + "myhostname = x\n", SMTP)) == ()
    harmless = text + "milter_default_action = accept\n"
    assert asked((None, SMTP), (harmless, SMTP)) == ()
    own = SMTP + "  -o smtpd_milters=inet:11332@127.0.0.1\n"
    assert asked((None, SMTP), (None, own)) == ("inet:127.0.0.1:11332",)
