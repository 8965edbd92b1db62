"""Changes that nobody finishes: the host itself undoes them, and nothing of them is left."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from support import Site, finish, leftovers, let_go, master, postconf, read, state

from provisioner.lab.lab import Lab
from provisioner.lab.state import HostSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioner.lab.state import Host

    FreshHost = Callable[..., Host]

POLICY = {
    "postfix": {
        "parameters": {"smtpd_banner": "$myhostname changed"},
        "tables": {"/etc/postfix/zone": {"entries": {"a.example": "OK"}}},
    }
}


def changed(lab: Lab, host: Host) -> bool:
    return "changed" in postconf(lab, host).get("smtpd_banner", "")


#: The first command of ours after Postfix was told.
RELOADED = ("sleep", "0.1")


def hold(lab: Lab, host: Host, tool: str, word: str = "") -> None:
    """The next call of `tool` (with `word` among its arguments) says so and waits."""
    lab.exec(
        host,
        f"real=$(command -v {tool}); cat >/usr/local/sbin/{tool} <<END\n"
        f'#!/bin/sh\ncase "\\$*" in *{word}*) ;; *) exec $real "\\$@" ;; esac\n'
        f"rm -f /usr/local/sbin/{tool}; touch /root/held\n"
        "while [ -e /root/held ]; do sleep 0.05; done\n"
        f'exec $real "\\$@"\nEND\nchmod +x /usr/local/sbin/{tool}',
    )


def wait_held(lab: Lab, host: Host) -> None:
    lab.exec(host, "until [ -e /root/held ]; do /bin/sleep 0.05; done")


def kill_holder(lab: Lab, host: Host) -> None:
    """kill -9 of the shell that runs the transaction: whoever has the lock open, the waiting
    guard excepted."""
    lab.exec(
        host,
        "for each in /proc/[0-9]*; do"
        " ls -l $each/fd 2>/dev/null | grep -q ' /var/lib/provisioner/lock$' || continue;"
        " tr '\\0' ' ' <$each/cmdline | grep -q 'guard watch' || kill -9 ${each#/proc/};"
        "done; rm -f /root/held",
    )


@pytest.mark.parametrize(("tool", "word"), [("mv", "/etc/postfix/main.cf"), RELOADED])
def test_a_killed_shell_is_undone_at_once(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path, tool: str, word: str
) -> None:
    host = fresh_host()
    site = Site(lab, tmp_path, host)
    site.say(POLICY, ["postfix"])
    before, alive = state(lab, host), master(lab, host)
    hold(lab, host, tool, word)
    running = site.start("apply", "-y")
    wait_held(lab, host)
    kill_holder(lab, host)
    let_go(lab, host)
    done = finish(running)
    assert done.code in (4, 5), done.said
    assert state(lab, host) == before
    assert leftovers(lab, host) == ""
    if tool == "mv":
        assert master(lab, host) == alive, "restarted although it was never told"
    site.settle()


def test_a_killed_controller_is_undone_when_the_host_has_waited(
    lab: Lab, release: str, fresh_host: FreshHost, tmp_path: Path
) -> None:
    host = fresh_host(release)
    site = Site(lab, tmp_path, host)
    site.say(POLICY, ["postfix"])
    before = state(lab, host)
    hold(lab, host, *RELOADED)
    running = site.start("apply", "-y", "--confirm-within", "10")
    wait_held(lab, host)
    os.kill(running.pid, signal.SIGKILL)
    lab.exec(host, "rm /root/held")
    lab.exec(host, "until grep -q ACTIVE /var/lib/provisioner/open/journal; do sleep 0.05; done")
    assert changed(lab, host)
    refused = site.apply(code=7)
    assert "waits for its confirmation until" in refused.err
    finish(running, -signal.SIGKILL)
    let_go(lab, host)
    assert state(lab, host) == before
    assert leftovers(lab, host) == ""
    site.settle()


def test_a_host_that_reboots_before_the_confirmation_comes_up_as_it_was(
    lab: Lab, release: str, fresh_host: FreshHost, tmp_path: Path
) -> None:
    host = fresh_host(release)
    site = Site(lab, tmp_path, host)
    site.say(POLICY, ["postfix"])
    before = state(lab, host)
    hold(lab, host, *RELOADED)
    running = site.start("apply", "-y")
    wait_held(lab, host)
    assert "changed" in read(lab, host, "/etc/postfix/main.cf")
    os.kill(running.pid, signal.SIGKILL)
    lab.kill(host)
    finish(running, -signal.SIGKILL)
    lab.start(host)
    assert state(lab, host) == before
    assert leftovers(lab, host) == ""
    site.settle()


def test_a_change_that_cuts_off_the_controller_is_undone(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path
) -> None:
    """The new login is what confirms: where it is refused, the host goes back."""
    host = fresh_host()
    site = Site(lab, tmp_path, host)
    site.say(POLICY, ["postfix"])
    before = state(lab, host)
    hold(lab, host, *RELOADED)
    running = site.start("apply", "-y", "--confirm-within", "10")
    wait_held(lab, host)
    lab.exec(host, "mv /root/.ssh/authorized_keys /root/.ssh/away; rm /root/held")
    done = finish(running, 5)
    lab.exec(host, "mv /root/.ssh/away /root/.ssh/authorized_keys")
    assert "is not confirmed" in done.err
    let_go(lab, host)
    assert state(lab, host) == before
    assert leftovers(lab, host) == ""


@pytest.mark.matrix
@pytest.mark.parametrize("init", ["sysvinit", "openrc"])
def test_the_guard_without_systemd(lab_possible: None, init: str, tmp_path: Path) -> None:
    """The shell dies, before and after the renames; nobody confirms; the power fails."""
    with Lab.up(f"test-{os.getpid()}-guard-{init}", [HostSpec(variant=init)]) as lab:
        host = lab.hosts[0]
        site = Site(lab, tmp_path, host)
        site.say(POLICY, ["postfix"])
        before = state(lab, host)

        def undone(tool: str, word: str, how: Callable[[], None], *arguments: str) -> None:
            hold(lab, host, tool, word)
            running = site.start("apply", "-y", *arguments)
            wait_held(lab, host)
            if how != cut_off:
                os.kill(running.pid, signal.SIGKILL)
            how()
            finish(running)
            let_go(lab, host)
            assert state(lab, host) == before
            assert leftovers(lab, host) == ""
            assert master(lab, host)

        def killed() -> None:
            kill_holder(lab, host)

        def cut_off() -> None:
            lab.exec(host, "mv /root/.ssh/authorized_keys /root/.ssh/away; rm /root/held")
            lab.exec(
                host,
                "while [ -L /var/lib/provisioner/open ]; do sleep 0.1; done;"
                "mv /root/.ssh/away /root/.ssh/authorized_keys",
            )

        def power_lost() -> None:
            lab.kill(host)
            lab.start(host)

        undone("postmap", "", killed)
        undone(*RELOADED, killed)
        undone(*RELOADED, cut_off, "--confirm-within", "10")
        undone(*RELOADED, power_lost)
        site.settle()
        assert changed(lab, host)
