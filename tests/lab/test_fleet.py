"""Many hosts at once, some of them dead: each dead one is named, the others lose nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import Site, read

from provisioner.host import session
from provisioner.lab import cleanup
from provisioner.lab.lab import Lab
from provisioner.lab.state import HostSpec
from provisioner.transport.base import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hung shell is given up after seconds instead of a minute."""
    monkeypatch.setattr(session, "PROBE_LIMITS", Limits(seconds=60, silence=8))


@pytest.fixture
def fleet(lab_possible: None, request: pytest.FixtureRequest) -> Iterator[Lab]:
    name = f"fleet-{os.getpid()}"
    specs = [HostSpec(f"mx{number}") for number in range(1, request.param + 1)]
    try:
        with Lab.up(name, specs) as up:
            yield up
    finally:
        cleanup.down(name)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fleet", [20, pytest.param(60, marks=pytest.mark.matrix)], indirect=True)
def test_three_dead_hosts_cost_the_others_nothing(fleet: Lab, tmp_path: Path) -> None:
    hosts = fleet.hosts
    site = Site(fleet, tmp_path, *hosts)
    cut, hung, noisy, endless, slow = (host.name for host in hosts[:5])
    gone = "mx-gone"
    last = fleet.addresses.host(len(hosts) + 1)
    site.entries[gone] = {**site.entries[cut], "ansible_host": last}
    site.say_parameters(disable_vrfy_command=True)

    fleet.cut(cut)
    profile = {
        hung: "sleep 1000\n",
        noisy: "echo welcome; echo 'stay a while' >&2; printf '\\n@@ result ok\\n'\n",
        endless: "while :; do echo all work and no play; done\n",
        slow: "sleep 1\n",
    }
    for name, text in profile.items():
        fleet.exec(name, "cat >/root/.bashrc", stdin=text)
    fleet.exec(
        noisy,
        "seq 1000 >/etc/banner; echo 'Banner /etc/banner' >/etc/ssh/sshd_config.d/banner.conf; "
        "systemctl reload ssh",
    )

    dead = {
        cut: "unreachable",
        gone: "unreachable",
        hung: "unreachable",
        endless: "failed",
    }
    done = site.apply(code=4)  # a host that failed outweighs one that is not there
    for name, status in dead.items():
        (line,) = [line for line in done.err.splitlines() if f" {name}: {status}: " in line]
        assert line.partition(f"{status}: ")[2].strip()
    said = done.err
    assert "route" in said or "timed out" in said
    assert "nothing heard for 8 s" in said
    assert "of output before our shell started" in said
    well = [host.name for host in hosts if host.name not in dead]
    assert f"{len(well)} changed" in done.out
    for name in well:
        assert "disable_vrfy_command = yes\n" in read(
            fleet, fleet.host(name), "/etc/postfix/main.cf"
        )

    # Without the one that floods: exit code 5. Status names each host on a line of its own.
    done = site.plan("-l", f"all:!{endless}", code=5)
    assert "No changes" in done.out
    done = site.run("status", "-l", f"all:!{endless}", code=5)
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert set(lines) == {gone, *(host.name for host in hosts)} - {endless}
    for name in well:
        assert lines[name].split()[1] == "ok"
    for name in (cut, gone, hung):
        assert lines[name].split()[1] == "unreachable:"

    fleet.restore(cut)
    assert "differs: parameter:disable_vrfy_command" in site.run("status", "-l", cut, code=2).out
    site.apply("-l", cut)
    site.plan("-l", ",".join([cut, *well]), code=0)
