"""Roles with services on hosts without systemd: System V's scripts, and OpenRC."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from roles_support import answer, logged_in
from support import Site, state

from provisioner.lab.lab import Lab
from provisioner.lab.state import HostSpec

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.lab.state import Host

POLICY = {
    "mail": {"domains": ["lab.example"], "networks": ["127.0.0.0/8", "[::1]/128"]},
    "greylisting": {"delay": 1},
    "submission": {},
}
ROLES = ["postfix", "smtpd_restrictions", "greylisting", "dovecot_auth", "submission"]

#: What runs, and what is started at boot.
SERVICES = (
    "for name in postfix dovecot postgrey; do service $name status >/dev/null && echo $name;"
    "if command -v rc-update >/dev/null; then rc-update show default | grep -ow $name;"
    "else ls /etc/rc2.d | grep -x S..$name | cut -c 4-; fi; done; true"
)


def services(lab: Lab, host: Host) -> list[str]:
    return lab.exec(host, SERVICES).stdout.split()


@pytest.mark.matrix
@pytest.mark.parametrize("init", ["sysvinit", "openrc"])
def test_roles_without_systemd(lab_possible: None, init: str, tmp_path: Path) -> None:
    with Lab.up(f"test-{os.getpid()}-{init}", [HostSpec(variant=init)]) as lab:
        host = lab.hosts[0]
        before = state(lab, host, "/etc")
        assert services(lab, host) == ["postfix", "postfix"]
        site = Site(lab, tmp_path, host)
        site.say(POLICY, ROLES)
        site.settle()
        assert services(lab, host) == sorted(2 * ["dovecot", "postgrey", "postfix"], key=ORDER)
        assert "Greylisted" in answer(lab, host)[1]
        for port in (587, 465):
            with logged_in(lab, host, port) as session:
                assert session.mail("alice@lab.example")[0] == 250
                assert session.rcpt("x@good.example")[0] == 250
        lab.exec(host, "service dovecot stop; service postfix stop")
        assert site.addresses(host) == {"unit:dovecot": "start", "unit:postfix": "start"}
        site.settle()
        site.say({}, ["postfix"])
        site.apply("--prune")
        site.plan("--prune", code=0)
        after = state(lab, host, "/etc")
        assert {p for p in {*before, *after} if before.get(p) != after.get(p)} == set()
        assert services(lab, host) == ["postfix", "postfix"]


ORDER = ["postfix", "dovecot", "postgrey"].index
