"""Packages come first, in a phase of their own, and start nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support import Site, conversation, leftovers, master, postconf, state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

    FreshHost = Callable[..., Host]

POLICY_FILE = "/usr/sbin/policy-rc.d"


def has(lab: Lab, host: Host, path: str) -> bool:
    return lab.exec(host, ["test", "-e", path], check=False).returncode == 0


def test_a_missing_package_and_what_needs_it(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    table = {"/etc/postfix/zone": {"type": "cdb", "entries": {"a.example": "OK"}}}
    site.say({"postfix": {"packages": ["postfix", "postfix-cdb"], "tables": table}}, ["postfix"])
    said = site.plan(code=2).out
    assert "install package:postfix-cdb" in said
    assert "Incomplete: packages first" in said
    assert not has(lab, host, "/etc/postfix/zone")
    site.apply()
    assert lab.exec(host, "postmap -q a.example cdb:/etc/postfix/zone").stdout.strip() == "OK"
    assert not has(lab, host, POLICY_FILE)
    site.plan(code=0)


def test_from_no_postfix_at_all(lab: Lab, host: Host, tmp_path: Path) -> None:
    lab.exec(
        host,
        "systemctl stop postfix; DEBIAN_FRONTEND=noninteractive apt-get -q -y purge 'postfix*' && "
        "rm -rf /etc/postfix && ! command -v postconf",
        seconds=120,
    )
    site = Site(lab, tmp_path, host)
    said = site.plan(code=2).out
    assert "Postfix not installed" in said
    assert "install package:postfix" in said
    assert "known after the packages are installed" in said
    assert "parameter:smtpd_banner" in said
    site.apply()
    assert master(lab, host)
    assert postconf(lab, host)["smtpd_banner"] == "$myhostname ESMTP"
    with conversation(lab, host) as session:
        assert session.ehlo("client.example")[0] == 250
    assert not has(lab, host, POLICY_FILE)
    assert leftovers(lab, host) == ""
    site.plan(code=0)


def test_a_package_that_does_not_exist(lab: Lab, fresh_host: FreshHost, tmp_path: Path) -> None:
    host = fresh_host()
    site = Site(lab, tmp_path, host)
    site.say(
        {
            "postfix": {
                "packages": ["postfix", "postfix-telepathy"],
                "parameters": {"disable_vrfy_command": True},
            }
        },
        ["postfix"],
    )
    before = state(lab, host)
    done = site.apply(code=4)
    assert "postfix-telepathy" in done.err
    assert state(lab, host) == before
    assert not has(lab, host, POLICY_FILE)


def test_a_policy_of_the_administrator_stays(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path
) -> None:
    host = fresh_host()
    lab.exec(host, f"printf '#!/bin/sh\\nexit 101\\n' >{POLICY_FILE}; chmod 755 {POLICY_FILE}")
    site = Site(lab, tmp_path, host)
    site.say({"postfix": {"packages": ["postfix", "postfix-cdb"]}}, ["postfix"])
    site.settle()
    assert lab.exec(host, f"cat {POLICY_FILE}").stdout == "#!/bin/sh\nexit 101\n"
