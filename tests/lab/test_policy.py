"""Policy tests, questions and rehearsed plans: a host's own Postfix judges, nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from support import POLICY, Site, leftovers, postconf, state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

#: The tests that people are shown first, in the lab's own domain.
TESTS: list[dict[str, Any]] = yaml.safe_load(
    """
- name: the listed spammer is refused
  client: 80.218.40.251                    # or {address:, name:, reverse_name:, login:, tls:}
  from: someone@good.example
  to: root@lab.example
  expect: {reply: 554, text: "Client host rejected"}
- {name: our own domain is not forged from outside, from: ceo@lab.example, expect: 5xx}
- {name: a signed-in user may send on 587, service: submission,
   client: {login: user@lab.example}, expect: accept}
- {name: money subject, headers: {Subject: refuse me}, expect: 550}
- {name: everybody else is welcome, headers: {Subject: hello}, expect: accept}
"""
)

OWN_DOMAINS = {"own_domains_from_outside": {"mode": "enforce"}}


def policy(**more: Any) -> dict[str, Any]:
    access = {**POLICY["access_maps"], **OWN_DOMAINS, **more}
    return {**POLICY, "access_maps": access, "policy_tests": TESTS}


def everything(lab: Lab, host: Host) -> tuple[dict[str, str], str, str]:
    """What must not change by asking: files, processes of the mail system, its queue."""
    files = state(lab, host, "/etc/postfix", "/etc/dovecot")
    running = lab.exec(host, "pgrep -c -x master || :").stdout
    return files, running, lab.exec(host, "postqueue -p | tail -n 1").stdout


def test_a_policy_is_proven_applied_and_verified(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    site.say(policy())
    before = everything(lab, host)
    planned = site.plan("--rehearse", "-v", code=2)
    assert " failed" not in planned.out
    for test in TESTS:
        assert f"passed   {test['name']}  [{host.name}]" in planned.out
    for promised in (
        "strangers cannot relay",
        "no mail without HELO",
        "AUTH is not offered on port 25",
        "submissions completes TLS and offers AUTH",
        "client 80.218.40.251 is refused",
    ):
        assert f"passed   {promised}  [{host.name}]" in planned.out
    assert everything(lab, host) == before
    assert leftovers(lab, host) == ""

    site.settle()
    before = everything(lab, host)
    verified = site.run("verify", code=0)
    assert " failed" not in verified.out
    assert everything(lab, host) == before
    assert site.plan("--rehearse", code=0).out.startswith("No changes: ")


def test_a_failing_test_leads_to_the_line_that_decided(
    lab: Lab, host: Host, tmp_path: Path
) -> None:
    site = Site(lab, tmp_path, host)
    site.say(policy())
    site.settle()
    before = everything(lab, host)
    # Somebody exempts the spammer.
    site.say(policy(exempt=[{"client": "80.218.40.251", "why": "they said sorry"}]))
    planned = site.plan("--rehearse", code=4)
    assert '"the listed spammer is refused" fails: the reply is ' in planned.out
    assert '  expected: 554, "Client host rejected"\n' in planned.out
    decided = [line for line in planned.out.splitlines() if "  decided:  " in line]
    lines = (tmp_path / "hosts.yml").read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if "client: 80.218.40.251" in line)
    assert decided
    for line in decided:
        assert "check_client_access" in line
        assert "/etc/postfix/maps/exempt_client_networks: 80.218.40.251 OK" in line
        assert f"hosts.yml:{number}:" in line
    refused = site.apply(code=4)
    assert "the listed spammer is refused" in refused.said
    assert everything(lab, host) == before
    site.say(policy())
    site.run("verify", code=0)


def test_verify_sees_what_somebody_did_by_hand(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    site.say(policy())
    site.settle()
    lab.exec(
        host,
        "cd /etc/postfix/maps && sed -i '/^80.218/d' access_client &&"
        " postmap $(postconf -h default_database_type):access_client",
    )
    document = site.run("verify", "--json", code=2).document["hosts"][host.name]
    failed = {each["name"] for each in document["tests"] if each["result"] == "failed"}
    assert failed == {"the listed spammer is refused", "client 80.218.40.251 is refused"}
    document = site.run("ask", "--json", "all", "--client", "80.218.40.251", code=0).document
    assert document["hosts"][host.name]["verdict"] == "accepted"
    planned = site.run("ask", "--json", "all", "--client", "80.218.40.251", "--planned", code=0)
    told = planned.document["hosts"][host.name]
    assert told["verdict"] == "refused"
    assert told["reply"]["code"] == "554"
    assert told["decided"]["key"] == "80.218.40.251"
    assert told["decided"]["origin"]["option"] == "client.entries.80.218.40.251"


def test_hosts_that_answer_differently(
    lab: Lab, fresh_host: Callable[..., Host], tmp_path: Path
) -> None:
    releases = sorted({each.release for each in lab.hosts})
    one, two = fresh_host(releases[0]), fresh_host(releases[-1])
    site = Site(lab, tmp_path, one, two)
    site.say(policy())
    site.settle()
    question = ("ask", "all", "--client", "80.218.40.251", "--to", "root@lab.example")
    alike = site.run(*question, code=0)
    assert f"2 hosts: {one.name}, {two.name}:\n  refused: 554 5.7.1 " in alike.out
    assert "differ" not in alike.out
    site.entries[two.name]["access_maps"] = {"client": {"entries": {"80.218.40.251": "OK"}}}
    skipped = [{"name": "the listed spammer is refused", "skip": "let in here"}]
    site.entries[two.name]["policy_tests"] = skipped
    site.say(policy())
    site.settle()
    apart = site.run(*question, code=0)
    assert f"{one.name}:\n  refused: 554 " in apart.out
    assert f"{two.name}:\n  accepted: " in apart.out
    assert apart.out.endswith("Verdicts differ: refused on 1 host, accepted on 1 host.\n")
    listed = site.run("verify", "-v", code=0)
    assert f"skipped  the listed spammer is refused: let in here  [{two.name}]" in listed.out


def test_questions_of_every_kind(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    site.say(policy())
    site.settle()
    assert postconf(lab, host)["mydestination"].endswith("lab.example")

    def ask(*arguments: str) -> Any:
        return site.run("ask", "--json", "all", *arguments, code=0).document["hosts"][host.name]

    client = lab.client_address("good")
    # The host looks the names up: the lab's DNS has them.
    welcome = ask("--client", client, "--from", "a@good.example", "--to", "root@lab.example")
    assert welcome["verdict"] == "accepted"
    helo = ask("--client", client, "--helo", "laptop")
    assert helo["decided"]["restriction"] == "reject_non_fqdn_helo_hostname"
    assert helo["decided"]["origin"]["role"] == "smtpd_restrictions"
    subject = ask("--subject", "refuse me")
    assert (subject["verdict"], subject["reply"]["stage"]) == ("refused", "message")
    assert subject["decided"]["restriction"] == "header_checks"
    stranger = ask("--service", "submission")
    assert stranger["verdict"] == "refused"
    user = ("--login", "user@lab.example", "--to", "x@elsewhere.example")
    assert ask("--service", "submission", *user)["verdict"] == "accepted"
    relay = ask("--to", "x@elsewhere.example")
    assert relay["decided"]["restriction"] == "reject_unauth_destination"
    done = site.run("ask", "all", "--service", "nowhere", code=4)
    assert "no answer: " in done.out
