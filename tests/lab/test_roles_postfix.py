"""The role postfix: relays, credentials, aliases, certificates, strict."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from roles_support import answer, pruned
from support import Site, postconf, read, state

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

PASSWORD = "correct-horse-battery"
NETWORKS = {"networks": ["127.0.0.0/8", "[::1]/128"], "domains": ["lab.example"]}


def test_postfix(lab: Lab, host: Host, tmp_path: Path) -> None:
    # A certificate of somebody else's, where main.cf will name it.
    lab.exec(
        host,
        "mkdir /etc/tls && cp /etc/ssl/certs/ssl-cert-snakeoil.pem /etc/tls/c.pem &&"
        "cp /etc/ssl/private/ssl-cert-snakeoil.key /etc/tls/k.pem",
    )
    lab.dns.set("relayed.example", MX=["10 mail.good.example"])
    before, settings = state(lab, host), postconf(lab, host)
    aliases = state(lab, host, "/etc/aliases")
    (tmp_path / "recipients").write_text("# who exists\ninfo@relayed.example\n")
    (tmp_path / "checks").write_text("/^X-Refuse:/ REJECT\n")
    site = Site(lab, tmp_path, host)
    options: dict[str, Any] = {
        "parameters": {
            "smtpd_error_sleep_time": 0,
            "header_checks": "pcre:/etc/postfix/header_checks",
        },
        "map_types": ["pcre"],
        "tables": {"/etc/postfix/header_checks": {"type": "pcre", "file": "checks"}},
        "relay": {
            "domains": ["relayed.example"],
            "transport": {"relayed.example": "smtp:[192.0.2.1]"},
            "recipients_file": "recipients",
        },
        "relayhost": {
            "host": "smtp.good.example",
            "port": 587,
            "user": "me",
            "password": PASSWORD,
        },
        "aliases": {"sales": ["alice@lab.example", "root"]},
        "tls": {"certificate": "/etc/tls/c.pem", "key": "/etc/tls/k.pem"},
    }
    site.say({"mail": NETWORKS, "postfix": options}, ["postfix", "smtpd_restrictions"])
    planned = site.plan(code=2)
    applied = site.apply()
    site.plan(code=0)
    assert PASSWORD not in planned.said + applied.said

    assert answer(lab, host, to="info@relayed.example")[0] == 250
    assert answer(lab, host, to="ghost@relayed.example")[0] == 550
    assert answer(lab, host, to="sales@lab.example")[0] == 250
    assert answer(lab, host, to="sale@lab.example")[0] == 550
    assert lab.exec(host, "postalias -q sales $(postconf -h alias_maps)").stdout == (
        "alice@lab.example, root\n"
    )
    files = "/etc/postfix/maps/relay_credentials"
    assert set(lab.exec(host, f"stat -c '%a %U' {files}*").stdout.split("\n")) == {"600 root", ""}
    assert read(lab, host, files).endswith(f"[smtp.good.example]:587 me:{PASSWORD}\n")
    refused = site.plan("-o", "saved.json", code=0)
    assert PASSWORD not in refused.said

    # The certificate is renewed: nothing of ours changed, and yet a reload is due.
    lab.exec(host, "echo '# renewed' >> /etc/tls/c.pem")
    assert site.addresses(host) == {"postfix": "activate"}
    site.settle()

    # Strict: what nobody declares goes, and comes back when we go.
    site.say(
        {
            "mail": NETWORKS,
            "postfix": {**options, "strict": True, "strict_keep": ["inet_protocols"]},
        },
        ["postfix", "smtpd_restrictions"],
    )
    site.settle()
    left = postconf(lab, host)
    assert "readme_directory" not in left
    assert "inet_protocols" in left
    lab.exec(host, "echo 'biff = yes' >> /etc/postfix/main.cf")
    assert site.addresses(host) == {"parameter:biff": "delete"}
    site.settle()

    pruned(lab, host, site, before, settings)
    assert state(lab, host, "/etc/aliases") == aliases
    assert lab.exec(host, "postalias -q postmaster $(postconf -hx alias_maps)").stdout == "root\n"


def test_a_secret_is_kept_out_of_saved_plans(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    relayhost = {"host": "smtp.good.example", "user": "me", "password": PASSWORD}
    site.say({"postfix": {"relayhost": relayhost}}, ["postfix"])
    saved = site.plan("-o", "saved.json", code=2)
    plan = (tmp_path / "saved.json").read_text()
    for secret in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode()):
        assert secret not in plan + saved.said + site.plan("--json", code=2).said
    other = {"postfix": {"relayhost": {**relayhost, "password": "another one"}}}
    site.say(other, ["postfix"])
    site.apply("saved.json", code=7)
    site.say({"postfix": {"relayhost": relayhost}}, ["postfix"])
    site.apply("saved.json")
    site.plan(code=0)
