"""A listener behind a proxy that speaks the PROXY protocol, where somebody says it is there."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from support import Site, conversation, state

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

WAITS = {"smtpd_upstream_proxy_protocol": "haproxy"}


def told_of(host: Host) -> dict[str, Any]:
    """The policy test that says so."""
    name, to = "mail comes through the proxy", f"root@{host.fqdn}"
    return {"name": name, "client": {"proxy": True}, "to": to, "expect": "accept"}


def through_a_proxy(host: Host, client: str) -> list[str]:
    """Replies to one who comes through a proxy, from the greeting on."""
    with socket.create_connection((host.address, 25), timeout=30) as smtp, smtp.makefile() as said:
        words = [f"PROXY TCP4 {client} {host.address} 2525 25", "HELO mail.good.example"]
        words += ["MAIL FROM:<a@good.example>", f"RCPT TO:<root@{host.fqdn}>", "QUIT"]
        replies = []
        for word in words:
            smtp.sendall(f"{word}\r\n".encode())
            replies.append(said.readline().strip())
        return replies


def say(site: Site, parameters: dict[str, Any], *tests: dict[str, Any]) -> None:
    site.say({"postfix": {"parameters": parameters}, "policy_tests": list(tests)}, ["postfix"])


def test_a_proxy_that_somebody_told_of(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    before = state(lab, host)
    say(site, WAITS)
    refused = site.apply(code=4)
    assert "no policy test says that there is one" in refused.err
    assert "hosts.yml:" in refused.err
    assert state(lab, host) == before

    # The health check has to speak as the proxy would: to others it does not answer.
    say(site, WAITS, told_of(host))
    site.settle()
    replies = through_a_proxy(host, lab.client_address("good"))
    assert [each[:3] for each in replies] == ["220", "250", "250", "250", "221"]

    # A change later on is held to it that the listener is well behind its proxy.
    say(site, {**WAITS, "smtpd_banner": "$myhostname behind a proxy"}, told_of(host))
    site.settle()
    assert "behind a proxy" in through_a_proxy(host, lab.client_address("good"))[0]

    say(site, {"smtpd_upstream_proxy_protocol": ""}, told_of(host))
    assert "does not wait for what a proxy says first" in site.apply(code=4).err
    say(site, {"smtpd_upstream_proxy_protocol": ""})
    site.settle()
    with conversation(lab, host) as smtp:
        assert smtp.ehlo("mail.good.example")[0] == 250
