"""What planning and applying cost: connections, execs, bytes; and what a plan shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import POLICY, Site, conversation, finish, leftovers, master, read, write

from provisioner.fleet import pool
from provisioner.transport.base import Counters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioner.fleet.outcome import Outcome
    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

    FreshHost = Callable[..., Host]


class Bill:
    """Adds up what the runs of the program cost, at the transport."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._outcomes: list[Outcome] = []
        real = pool.run

        def counting(*arguments: object, **options: object) -> list[Outcome]:
            ended = real(*arguments, **options)  # type: ignore[arg-type]
            self._outcomes += ended
            return ended

        patch.setattr(pool, "run", counting)

    def take(self) -> Counters:
        """The cost since the last call."""
        total = Counters()
        for outcome in self._outcomes:
            total.add(outcome.counters)
        self._outcomes.clear()
        return total


@pytest.fixture
def bill(monkeypatch: pytest.MonkeyPatch) -> Bill:
    return Bill(monkeypatch)


def cost(counters: Counters) -> tuple[int, int]:
    return counters.connections, counters.execs


def test_connections_and_execs(lab: Lab, host: Host, tmp_path: Path, bill: Bill) -> None:
    site = Site(lab, tmp_path, host)
    site.plan(code=2)
    assert cost(bill.take()) == (1, 1)
    site.apply()
    assert cost(bill.take()) == (2, 3)
    site.plan(code=0)
    idle = bill.take()
    assert cost(idle) == (1, 1)
    assert idle.bytes_sent + idle.bytes_received <= 20_000
    site.apply()
    assert cost(bill.take()) == (1, 1)
    site.run("status", code=0)
    assert cost(bill.take()) == (1, 1)

    site.say({**POLICY, "access_maps": {"client": {"entries": {"192.0.2.7": "REJECT"}}}})
    site.plan("-o", "saved.json", code=2)
    assert cost(bill.take()) == (1, 1)
    site.apply("saved.json")
    assert cost(bill.take()) == (2, 2)


def test_the_hosts_own_log_agrees(lab: Lab, fresh_host: FreshHost, tmp_path: Path) -> None:
    host = fresh_host()
    write(lab, host, "/etc/ssh/sshd_config.d/00-verbose.conf", "LogLevel VERBOSE\n")
    lab.exec(host, "systemctl reload ssh")
    site = Site(lab, tmp_path, host)

    def counted() -> tuple[int, int]:
        log = lab.exec(host, "journalctl -q --no-pager -u ssh").stdout
        return log.count("Accepted publickey"), log.count("Starting session")

    before = counted()
    site.apply()
    after = counted()
    assert (after[0] - before[0], after[1] - before[1]) == (2, 3)


def test_the_plan_says_where_each_value_comes_from(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path
) -> None:
    host = fresh_host()
    site = Site(lab, tmp_path, host)
    said = site.plan(code=2).out
    banner = (tmp_path / "hosts.yml").read_text().splitlines()
    line = next(n for n, text in enumerate(banner, 1) if "smtpd_banner:" in text)
    assert f"parameter:smtpd_banner  [hosts.yml:{line}:" in said
    assert "+ reject_unauth_destination " in said
    assert "[default of role smtpd_restrictions]" in said
    assert "create service:submission/inet" in said
    assert "activation: reload" in said


def test_hosts_with_the_same_plan_are_shown_once(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path
) -> None:
    hosts = fresh_host(), fresh_host()
    site = Site(lab, tmp_path, *hosts)
    # Nothing in the plan may name a host for two plans to be one.
    site.say_parameters(disable_vrfy_command=True)
    said = site.plan(code=2).out
    assert said.count("create parameter:disable_vrfy_command") == 1
    assert f"{', '.join(sorted(each.name for each in hosts))} (2 hosts):" in said
    assert "Plan: 2 hosts to change" in said


def test_check_changes_nothing(lab: Lab, fresh_host: FreshHost, tmp_path: Path) -> None:
    host = fresh_host()
    site = Site(lab, tmp_path, host)
    site.say_parameters(disable_vrfy_command=True)
    before = read(lab, host, "/etc/postfix/main.cf")
    assert "parameter:disable_vrfy_command" in site.apply("--check", code=2).out
    assert read(lab, host, "/etc/postfix/main.cf") == before
    assert leftovers(lab, host) == ""


def test_without_yes_and_without_a_terminal_nothing_happens(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path
) -> None:
    host = fresh_host()
    site = Site(lab, tmp_path, host)
    site.say_parameters(disable_vrfy_command=True)
    before = read(lab, host, "/etc/postfix/main.cf")
    done = finish(site.start("apply"), 3)
    assert "say -y" in done.err
    assert read(lab, host, "/etc/postfix/main.cf") == before


def test_a_postfix_that_does_not_run_is_started_not_reloaded(
    lab: Lab, host: Host, tmp_path: Path
) -> None:
    site = Site(lab, tmp_path, host)
    lab.exec(host, "systemctl stop postfix && systemctl disable -q postfix")
    said = site.plan(code=2).out
    assert "enable unit:postfix" in said
    assert "start unit:postfix" in said
    site.settle()
    assert master(lab, host)
    lab.reboot(host)
    with conversation(lab, host) as session:
        assert session.noop()[0] == 250
    site.plan(code=0)
