"""Runs that are cut short at any moment: no half-written file, and the next one completes."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from releases import chosen_releases
from support import Bench, Site, finish, leftovers, let_go, master, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Pool

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

    FreshHost = Callable[..., Host]


def version(word: str) -> dict[str, Any]:
    """Two versions of one policy touch every file with the same names and other values."""
    many = {f"{word}{number}.example": "REJECT" for number in range(2000)}
    return {
        "postfix": {
            "parameters": {
                "smtpd_banner": f"$myhostname {word}",
                "mynetworks": ["127.0.0.0/8", f"192.0.2.{len(word)}/32"],
                "header_checks": "regexp:/etc/postfix/header_checks",
            },
            "tables": {
                "/etc/postfix/zone": {"entries": {f"{word}.example": "OK"}},
                "/etc/postfix/header_checks": {"type": "regexp", "text": f"/^{word}:/ WARN\n"},
                "/etc/postfix/big": {"entries": many},
            },
            "services": {
                "127.0.0.1:10025/inet": {
                    "private": "n",
                    "command": "smtpd",
                    "options": {"syslog_name": f"postfix/{word}"},
                }
            },
        }
    }


def digests(lab: Lab, host: Host) -> dict[str, str]:
    return {
        path: about.split()[-1]
        for path, about in state(lab, host).items()
        if about.startswith("f ") and not path.endswith((".db", ".lmdb", ".cdb"))
    }


def whole(lab: Lab, host: Host, *allowed: dict[str, str]) -> None:
    """Every file is as in one of the states, none is anything else."""
    now = digests(lab, host)
    for path in {path for each in allowed for path in each}:
        assert now.get(path) in {each.get(path) for each in allowed}, path
    assert {p for p in now if ".provisioner-" not in p} <= {p for each in allowed for p in each}
    lab.exec(host, "postconf -n >/dev/null && postfix check")


class Versions:
    """A host set to one version of the policy, with the digests that both have."""

    def __init__(self, lab: Lab, site: Site, *hosts: Host) -> None:
        self.lab, self.site, self.hosts = lab, site, hosts
        self.known: dict[str, dict[str, dict[str, str]]] = {host.name: {} for host in hosts}
        for word in ("first", "other"):
            self.want(word)
            started = time.monotonic()
            site.apply()
            self.seconds = time.monotonic() - started
            for host in hosts:
                now = digests(lab, host)
                assert self.known[host.name].setdefault(word, now) == now

    def want(self, word: str) -> None:
        self.wanted = word
        self.site.say(version(word), ["postfix"])

    def turn(self) -> None:
        self.want("other" if self.wanted == "first" else "first")

    def check_whole(self) -> None:
        for host in self.hosts:
            let_go(self.lab, host)
            whole(self.lab, host, *self.known[host.name].values())

    def check_completed(self) -> None:
        """The next run completes what the last one left."""
        self.site.settle()
        for host in self.hosts:
            assert digests(self.lab, host) == self.known[host.name][self.wanted]
            assert leftovers(self.lab, host) == ""
            assert master(self.lab, host)


def cut_short(lab: Lab, site: Site, hosts: tuple[Host, ...], rounds: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    versions = Versions(lab, site, *hosts)
    ends: set[int] = set()
    for number in range(rounds):
        versions.turn()
        running = site.start("apply", "-y", "--confirm-within", "10")
        time.sleep(chance.uniform(0.3, versions.seconds + 1))
        how = (signal.SIGINT, signal.SIGKILL)[number % 2]
        os.kill(running.pid, how)
        ends.add(finish(running).code)
        versions.check_whole()
        if number % 3 == 2:
            versions.check_completed()
    versions.check_completed()
    # -SIGINT: before the interpreter was up.
    assert ends <= {0, 130, -signal.SIGINT, -signal.SIGKILL}
    assert ends != {0}, "no run was cut short"


def test_controller_stopped_at_random_moments(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path
) -> None:
    hosts = (fresh_host(), fresh_host())
    cut_short(lab, Site(lab, tmp_path, *hosts), hosts, rounds=4, seed=1)


@pytest.mark.matrix
def test_controller_stopped_at_many_random_moments(
    lab: Lab, release: str, fresh_host: FreshHost, tmp_path: Path
) -> None:
    """Each round waits for the guard of the one before; `inv faults` has as many as one likes."""
    hosts = (fresh_host(release), fresh_host(release))
    cut_short(lab, Site(lab, tmp_path, *hosts), hosts, rounds=8, seed=len(release))


def test_ctrl_c_says_what_is_left(lab: Lab, fresh_host: FreshHost, tmp_path: Path) -> None:
    """While a host hangs: the run ends at once, with its own exit code and no traceback."""
    host = fresh_host()
    site = Site(lab, tmp_path, host)
    site.say(version("first"), ["postfix"])
    for tool, verb in (("postconf", "plan"), ("sync", "apply")):
        slow = f"/usr/local/sbin/{tool}"
        lab.exec(host, f"printf '#!/bin/sh\\nsleep 1000\\n' >{slow}; chmod +x {slow}")
        running = site.start(verb, *(["-y", "--confirm-within", "10"] if verb == "apply" else []))
        lab.exec(host, f"until pgrep -f '^/bin/sh {slow}'; do sleep 0.05; done")
        os.kill(running.pid, signal.SIGINT)
        done = finish(running, 130)
        assert "nterrupted" in done.said or "not finished" in done.said
        lab.exec(host, f"rm {slow}; pkill -9 -f '^sleep 1000'; true")
    let_go(lab, host)
    site.settle()


# ---- the host's own shell dies ------------------------------------------------------------------


@pytest.fixture(scope="module")
def the_bench(lab: Lab, host_pool: Pool, pytestconfig: pytest.Config) -> Iterator[Bench]:
    host = host_pool.take(chosen_releases(pytestconfig)[-1])
    yield Bench(lab, host)
    host_pool.give_back(host)


@pytest.fixture
def bench(the_bench: Bench) -> Bench:
    the_bench.sh("rm -f /usr/local/sbin/*")
    the_bench.renew()
    return the_bench


def deadly(bench: Bench, tool: str, call: int, word: str = "") -> None:
    """The shell that calls `tool` (with `word` among its arguments) for the `call`th time
    dies by it."""
    bench.sh(
        f"real=$(command -v {tool}); rm -f /root/calls; cat >/usr/local/sbin/{tool} <<END\n"
        "#!/bin/sh\n"
        f'case "\\$*" in *{word}*) echo x >>/root/calls ;; *) exec $real "\\$@" ;; esac\n'
        f'[ "\\$(wc -l </root/calls)" -ne {call} ] || '
        "{ fuser -s -k -9 /var/lib/provisioner/lock; exit 1; }\n"
        f'exec $real "\\$@"\n'
        f"END\nchmod +x /usr/local/sbin/{tool}"
    )


def remote_shell_dies(
    lab: Lab, bench: Bench, site: Site, tool: str, call: int, word: str = ""
) -> None:
    versions = Versions(lab, site, bench.host)
    versions.turn()
    deadly(bench, tool, call, word)
    done = site.apply(code=None)
    assert "did not say how it ended" in done.err or "connection lost" in done.err, done.said
    assert done.code in (4, 5)
    bench.sh(f"rm /usr/local/sbin/{tool}")
    versions.check_whole()
    versions.check_completed()


#: The second one is the first command of ours after Postfix was told to reload.
@pytest.mark.parametrize(("tool", "call", "word"), [("mv", 6, ""), ("sleep", 1, "0.1")])
def test_remote_shell_killed(
    lab: Lab, bench: Bench, tmp_path: Path, tool: str, call: int, word: str
) -> None:
    remote_shell_dies(lab, bench, Site(lab, tmp_path, bench.host), tool, call, word)


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("tool", "call"),
    [
        (tool, call)
        for tool, most in (("mv", 10), ("touch", 5), ("sync", 4))
        for call in range(1, most + 1)
    ],
)
def test_remote_shell_killed_at_every_step(
    lab: Lab, bench: Bench, tmp_path: Path, tool: str, call: int
) -> None:
    versions = Versions(lab, Site(lab, tmp_path, bench.host), bench.host)
    versions.turn()
    deadly(bench, tool, call)
    versions.site.apply(code=None)  # a run of fewer calls ends well
    bench.sh(f"rm /usr/local/sbin/{tool}")
    versions.check_whole()
    versions.check_completed()


# ---- the network -------------------------------------------------------------------------------

IMPATIENT = """
import sys
from provisioner.host import session
from provisioner.transport.base import Limits
session.PROBE_LIMITS = session.APPLY_LIMITS = Limits(seconds=60, silence=4)
from provisioner.cli.main import main
main()
"""


def test_network_lost_in_the_middle(lab: Lab, bench: Bench, tmp_path: Path) -> None:
    """The host finishes by itself what it had received whole."""
    site = Site(lab, tmp_path, bench.host)
    versions = Versions(lab, site, bench.host)
    versions.turn()
    bench.sh(
        "printf '#!/bin/sh\\ntouch /root/staged\\nwhile [ -e /root/staged ]; do sleep 0.05; done\\n"
        'exec /usr/bin/sync "$@"\\n\' >/usr/local/sbin/sync; chmod +x /usr/local/sbin/sync'
    )
    running = site.start("apply", "-y", program=["-c", IMPATIENT])
    bench.sh("until [ -e /root/staged ]; do sleep 0.05; done")
    lab.cut(bench.host)
    try:
        bench.sh("rm /usr/local/sbin/sync /root/staged")
        done = finish(running, 5)
        assert f"{bench.host.name}: unreachable" in done.err
    finally:
        lab.restore(bench.host)
    versions.check_whole()
    versions.check_completed()
