"""No listener waits for a proxy of which nobody has said that it is there."""

from __future__ import annotations

import pytest

from provisioner.marks import Mark
from provisioner.planning import proxied
from provisioner.policy.conversation import Client, Conversation, Expectation, PolicyTest
from provisioner.resources.base import Action, Change, Origin, SetParameter, SetService

ORIGIN = Origin("postfix", Mark("all.yml", 3, 5))
SMTP = "smtp inet n - y - - smtpd\n"
OTHER = "127.0.0.1:10025 inet n - y - - smtpd\n"
SCREEN = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n"
WAITS = " -o smtpd_upstream_proxy_protocol=haproxy\n"


def change(*effects: SetParameter | SetService) -> Change:
    return Change("parameter:x", Action.UPDATE, origin=ORIGIN, effects=effects)


CHANGES = [
    change(SetParameter("myhostname", "x")),
    change(
        SetParameter("smtpd_upstream_proxy_protocol", "haproxy"), SetService(("25", "inet"), None)
    ),
]


def told(*services: str, skip: str = "") -> list[PolicyTest]:
    return [
        PolicyTest(
            f"through the proxy to {each}",
            Conversation(each, Client(proxied=True)),
            Expectation(("250",)),
            ORIGIN,
            skip,
        )
        for each in services
    ]


@pytest.mark.parametrize(
    ("main", "master", "services"),
    [
        ("smtpd_upstream_proxy_protocol = haproxy\n", SMTP, ["smtp"]),
        ("smtpd_upstream_proxy_protocol = haproxy\n", SMTP + OTHER, ["smtp", "127.0.0.1:10025"]),
        ("", SMTP.rstrip() + WAITS, ["smtp"]),
        ("", OTHER.rstrip() + WAITS, ["127.0.0.1:10025"]),
        ("postscreen_upstream_proxy_protocol = haproxy\n", SCREEN, ["smtp"]),
    ],
)
def test_a_proxy_must_be_told_of(main: str, master: str, services: list[str]) -> None:
    before, after = ("", master.replace(WAITS, "\n")), (main, master)
    found = [*proxied.faults(CHANGES, [], before, after)]
    assert [each.message.split("/")[0] for each in found] == services
    assert {each.mark for each in found} == {ORIGIN.mark}
    assert all("client: {proxy: true}" in each.help for each in found)
    assert [*proxied.faults(CHANGES, told(*services), before, after)] == []
    some = [*proxied.faults(CHANGES, told(*services[1:]), before, after)]
    assert [each.message.split("/")[0] for each in some] == services[:1]
    assert len([*proxied.faults(CHANGES, told(*services, skip="later"), before, after)]) == len(
        found
    )
    # What waits already is not this change's doing.
    assert [*proxied.faults(CHANGES, [], after, after)] == []


@pytest.mark.parametrize(
    ("main", "master"),
    [
        ("smtpd_upstream_proxy_protocol =\n", SMTP),
        ("smtpd_upstream_proxy_protocol = haproxy\n", "pickup unix n - y 60 1 pickup\n"),
        (
            "smtpd_upstream_proxy_protocol = haproxy\n",
            SMTP.rstrip() + " -o smtpd_upstream_proxy_protocol=\n",
        ),
        ("smtpd_upstream_proxy_protocol = haproxy\n", SCREEN),
    ],
)
def test_who_does_not_wait(main: str, master: str) -> None:
    assert [*proxied.faults(CHANGES, [], ("", master), (main, master))] == []


@pytest.mark.parametrize("service", ["smtp", "25", "smtp/inet"])
def test_a_proxy_for_which_nobody_waits(service: str) -> None:
    waits = ("", SMTP.rstrip() + WAITS)
    (found,) = proxied.faults(CHANGES, told(service), waits, ("", SMTP))
    assert f"{service} does not wait" in found.message
    assert found.mark == ORIGIN.mark
    assert [*proxied.faults(CHANGES, told(service), waits, waits)] == []
