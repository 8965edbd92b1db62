"""From a stock host to a policy: what the host holds afterwards, and what it answers."""

from __future__ import annotations

import smtplib
import ssl
import time
from typing import TYPE_CHECKING

from roles_support import logged
from support import (
    POLICY,
    Site,
    conversation,
    leftovers,
    master,
    postconf,
    rcpt,
    read,
    state,
    typed,
)

from provisioner.lab.recipe import PASSWORDS
from provisioner.postfix import main_cf, master_cf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

    FreshHost = Callable[..., Host]


def policy_with(client: str) -> dict[str, object]:
    """The policy, with one of the lab's client addresses in its access map."""
    return {**POLICY, "access_maps": {"client": {"entries": {client: "REJECT"}}}}


def untouched(before: str, after: str, names: set[str]) -> tuple[list[str], list[str]]:
    """The lines of main.cf that belong to no parameter of `names`, before and after."""

    def rest(text: str) -> list[str]:
        kept = list(text)
        for entry in main_cf.parse(text).entries:
            if entry.name in names:
                kept[entry.start : entry.end] = [""] * (entry.end - entry.start)
        return "".join(kept).splitlines(keepends=True)

    return rest(before), rest(after)


def test_stock_host_to_policy_and_no_more(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    site.say(policy_with(lab.client_address("third")))
    before = {name: read(lab, host, f"/etc/postfix/{name}") for name in ("main.cf", "master.cf")}
    held = state(lab, host, "/etc/postfix")
    alive = master(lab, host)

    planned = site.plan(code=2)
    assert state(lab, host, "/etc/postfix") == held, "planning changed the host"
    assert "activation: reload" in planned.out
    assert f"+ {lab.client_address('third')}  REJECT" in planned.out

    site.apply()
    assert "No changes" in site.plan(code=0).out

    # Postfix itself says what the inventory says.
    settings = postconf(lab, host)
    assert settings["disable_vrfy_command"] == "yes"
    assert settings["smtpd_banner"] == "$myhostname ESMTP"
    assert settings["mynetworks"] == "127.0.0.0/8, [::1]/128"
    assert settings["smtpd_helo_required"] == "yes"
    assert "reject_unauth_destination" in settings["smtpd_recipient_restrictions"]
    services = master_cf.parse(lab.exec(host, "postconf -M").stdout).services
    assert {("submission", "inet"), ("submissions", "inet")} <= {
        (each.name, each.type) for each in services.values()
    }
    assert "warning" not in lab.exec(host, "postconf -n 2>&1; postconf -M 2>&1").stdout

    # Everything else is as it was.
    after = {name: read(lab, host, f"/etc/postfix/{name}") for name in before}
    changed = {
        name
        for name, value in main_cf.parse(after["main.cf"]).parameters.items()
        if (old := main_cf.parse(before["main.cf"]).parameters.get(name)) is None
        or old.value != value.value
    }
    assert changed
    old, new = untouched(before["main.cf"], after["main.cf"], changed)
    assert new == old
    assert after["master.cf"].startswith(before["master.cf"].rstrip("\n"))
    now = state(lab, host, "/etc/postfix")
    for name, text in after.items():
        path = f"/etc/postfix/{name}"
        assert text.endswith("\n")
        assert now[path].split()[:3] == held[path].split()[:3], "owner or mode changed"
    touched = {path for path in held if now.get(path) != held[path]}
    assert touched == {"/etc/postfix/main.cf", "/etc/postfix/master.cf"}
    age = int(lab.exec(host, "echo $(($(date +%s) - $(stat -c %Y /etc/postfix/main.cf)))").stdout)
    assert age >= 5, "Postfix programs wait while main.cf is younger than two seconds"
    assert master(lab, host) == alive, "a reload was enough"
    assert leftovers(lab, host) == ""

    # And from outside.
    code, text = rcpt(lab, host, "third")
    assert code == 554
    assert "Client host rejected: Access denied" in text
    assert rcpt(lab, host, "second")[0] == 250
    assert rcpt(lab, host, "second", "stranger@elsewhere.example")[0] == 554


def test_submission_as_mail_programs_meet_it(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    site.apply()
    accept_any = ssl.create_default_context()
    accept_any.check_hostname = False
    accept_any.verify_mode = ssl.CERT_NONE

    with conversation(lab, host, port=25) as plain:
        plain.ehlo("laptop.example")
        assert not plain.has_extn("auth")
        assert not plain.has_extn("vrfy")

    with conversation(lab, host, port=587) as submission:
        submission.ehlo("laptop")
        assert submission.has_extn("starttls")
        assert not submission.has_extn("auth")
        assert submission.mail("me@lab.example")[0] == 530
        submission.starttls(context=accept_any)
        submission.ehlo("laptop")
        assert submission.has_extn("auth")
        assert submission.mail("me@lab.example")[0] == 250
        assert submission.rcpt("stranger@elsewhere.example")[0] == 554, "a password is needed"
        submission.rset()
        submission.login("alice", PASSWORDS["alice"])
        assert submission.mail("alice@lab.example")[0] == 250
        assert submission.rcpt("stranger@elsewhere.example")[0] == 250

    source = (lab.client_address("good"), 0)
    with smtplib.SMTP_SSL(
        host.address, 465, timeout=20, context=accept_any, source_address=source
    ) as wrapped:
        wrapped.ehlo("laptop")
        assert wrapped.has_extn("auth")
        assert not wrapped.has_extn("starttls")


def test_listeners_are_asked_at_their_own_address(lab: Lab, host: Host, tmp_path: Path) -> None:
    """Two share a port; one that nobody finds at the loopback is found by its port."""
    where = {"here": "127.0.0.2:2525", "outside": f"{host.address}:2525"}
    services = {
        f"{address}/inet": {
            "private": "n",
            "command": "smtpd",
            "options": {"syslog_name": f"postfix/{name}"},
        }
        for name, address in where.items()
    }
    site = Site(lab, tmp_path, host)
    site.say({"postfix": {"services": services}})
    site.apply()
    for name in where:
        assert logged(lab, host, f"postfix/{name}/smtpd"), name

    # Not on the loopback any more: it is found by its port, before the change and after it.
    only = {"inet_interfaces": str(host.address)}
    site.say({"postfix": {"parameters": only, "services": services}})
    site.apply()
    connections = "grep -c 'postfix/smtpd.*: connect from' /var/log/mail.log"
    before = int(lab.exec(host, connections).stdout)
    parameters = {**only, "smtpd_banner": "$myhostname once more"}
    site.say({"postfix": {"parameters": parameters, "services": services}})
    site.apply()
    time.sleep(0.5)  # what was logged last is on its way
    assert int(lab.exec(host, connections).stdout) == before + 2


def test_only_what_changed_is_restarted(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    site.say(policy_with("192.0.2.1"))
    site.apply()
    alive = master(lab, host)
    reloads = "journalctl -q --no-pager | grep -c 'postfix/master.*reload' || true"
    reloaded = lab.exec(host, reloads).stdout

    # A compiled table alone: live at once, nothing is told to anybody.
    assert rcpt(lab, host, "third")[0] == 250
    site.say(policy_with(lab.client_address("third")))
    planned = site.plan(code=2)
    assert f"+ {lab.client_address('third')}  REJECT" in planned.out
    assert "- 192.0.2.1  REJECT" in planned.out
    assert "activation: none" in planned.out
    site.settle()
    assert rcpt(lab, host, "third")[0] == 554
    assert (master(lab, host), lab.exec(host, reloads).stdout) == (alive, reloaded)

    # A parameter, a table that is read once: reload.
    tables = POLICY["postfix"]["tables"]["/etc/postfix/header_checks"]
    harder = {**tables, "text": tables["text"] + "/^Subject: me too/ REJECT\n"}
    policy = policy_with(lab.client_address("third"))
    policy["postfix"] = {
        **POLICY["postfix"],
        "tables": {"/etc/postfix/header_checks": harder},
    }
    site.say(policy)
    assert "activation: reload" in site.plan(code=2).out
    site.settle()
    assert master(lab, host) == alive
    assert lab.exec(host, reloads).stdout != reloaded

    # What the master keeps from its start: stop and start.
    policy["postfix"]["parameters"] = {  # type: ignore[index]
        **POLICY["postfix"]["parameters"],
        "inet_interfaces": f"127.0.0.1, {host.address}",
    }
    site.say(policy)
    planned = site.plan(code=2)
    assert "activation: restart" in planned.out
    assert "listening sockets" in planned.out
    site.settle()
    assert master(lab, host) != alive
    alive = master(lab, host)

    # And nothing: nothing.
    site.apply()
    assert master(lab, host) == alive


def test_a_login_that_died_while_somebody_thought_is_replaced(
    lab: Lab, host: Host, tmp_path: Path
) -> None:
    site = Site(lab, tmp_path, host)
    site.say_parameters(smtpd_banner="$myhostname thought over")

    def logout() -> None:
        """Every session of sshd ends, as by ClientAliveInterval or a firewall."""
        lab.exec(host, "pkill -f 'sshd[^ ]*: root'; ! pgrep -f 'sshd[^ ]*: root' || sleep 1")

    code, said = typed(site, "Apply to this host?", "y", "apply", first=logout)
    assert code == 0, said
    assert "thought over" in read(lab, host, "/etc/postfix/main.cf")
