"""Hosts without namespaces: the rehearsal has a rewritten copy, says so, and leaves nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from support import SMALL, Site, finish, leftovers, state
from test_policy import TESTS, everything, policy

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

WEAKER = (
    "rehearsed in a rewritten copy, since this host has no unshare: weaker; chroot, and paths "
    "inside of tables, are not proven"
)

#: So many that the rehearsal still runs when what started it is killed.
SLOW = [
    {"name": f"slow {number}", "client": f"203.0.113.{number}", "to": "x@y.example", "expect": 554}
    for number in range(1, 200)
]


@pytest.fixture
def host(host: Host, lab: Lab) -> Host:
    lab.exec(host, "mv /usr/bin/unshare /usr/bin/unshare.away")
    return host


def traces(lab: Lab, host: Host) -> str:
    """What the copy could have left: files, processes, words in the live log."""
    return (
        leftovers(lab, host)
        + lab.exec(
            host,
            "find /var/spool -maxdepth 1 -name 'provisioner-*';"
            "grep -al 'provisioner-cop[y]' /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null;"
            "[ \"$(pgrep -c -x master)\" = 1 ] || echo 'not one master'; "
            "! grep -a rehearsal /var/log/mail.log; mailq | grep -v 'Mail queue is empty'",
            check=False,
        ).stdout
    )


def test_a_policy_is_proven_in_a_copy(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    site.say(policy())
    before = everything(lab, host)
    planned = site.plan("--rehearse", "-v", code=2)
    for test in TESTS:
        assert f"passed   {test['name']}  [{host.name}]" in planned.out
    assert f"{host.name}: {WEAKER}" in planned.out
    assert everything(lab, host) == before

    applied = site.apply()
    assert WEAKER in applied.err
    site.plan(code=0)
    before = everything(lab, host)
    assert WEAKER in site.run("verify", code=0).out
    assert WEAKER in site.run("verify", "--json", code=0).document["hosts"][host.name]["notes"]
    site.run("verify", "--junit", "found.xml", code=0)
    assert WEAKER in (tmp_path / "found.xml").read_text()
    question = ("--client", "80.218.40.251", "--from", "a@good.example", "--to", "root@lab.example")
    document = site.run("ask", "--json", host.name, *question, code=0).document
    assert document["hosts"][host.name]["notes"] == [WEAKER]
    asked = site.run("ask", host.name, *question, code=0)
    assert "refused: 554" in asked.out
    assert "hosts.yml:" in asked.out, "the line that decided"
    assert WEAKER in asked.out
    assert everything(lab, host) == before
    assert traces(lab, host) == ""


def test_what_is_wrong_is_refused_from_a_copy(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    site.say(policy())
    site.settle()
    before = state(lab, host)
    site.say(policy(exempt=[{"client": "80.218.40.251", "why": "they said sorry"}]))
    refused = site.apply(code=4)
    assert '"the listed spammer is refused" fails' in refused.said
    assert "nothing was changed" in refused.said
    site.say_parameters(smtpd_end_of_data_restrictions="reject_foo_bar")
    refused = site.apply(code=4)
    assert 'unknown smtpd restriction: "reject_foo_bar"' in refused.said
    assert state(lab, host) == before
    assert traces(lab, host) == ""


def test_a_copy_ends_with_the_shell_that_made_it(lab: Lab, host: Host, tmp_path: Path) -> None:
    """The remote shell is killed as soon as the copy's Postfix runs."""
    site = Site(lab, tmp_path, host)
    site.say({**SMALL, "policy_tests": SLOW}, ["postfix"])
    before = state(lab, host)
    running = site.start("apply", "-y")
    lab.exec(
        host,
        "until [ -s /var/spool/provisioner-copy.*/var/lib/postfix/rehearsal.log ];"
        "do sleep 0.02; done 2>/dev/null; kill -9 $(cat /var/lib/provisioner/open/shell)",
    )
    finish(running)
    for _ in range(100):
        left = traces(lab, host)
        if not left:
            break
        time.sleep(0.1)
    assert left == ""
    assert state(lab, host) == before
