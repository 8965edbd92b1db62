"""Submission through firewalls: ufw, firewalld and nftables, asked from outside."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from roles_support import logged_in
from support import Site, read, state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

ROLES = ["postfix", "smtpd_restrictions", "dovecot_auth", "submission"]
RULES = """\
flush ruleset
table inet ours {
	chain input {
		type filter hook input priority 0; policy drop;
		ct state established,related accept
		iif lo accept
		tcp dport { 22, 25 } accept
	}
}
"""
CHAIN = {"table": "ours", "chain": "input"}


def wanted(**firewall: Any) -> dict[str, Any]:
    networks = {"networks": ["127.0.0.0/8", "[::1]/128"]}
    return {"mail": networks, "submission": {"firewall": firewall}}


def is_open(host: Host, port: int) -> bool:
    """Whether a client gets a connection; a firewall drops in silence, or refuses."""
    try:
        socket.create_connection((host.address, port), timeout=1).close()
    except OSError:
        return False
    return True


def install(lab: Lab, host: Host, package: str) -> None:
    fetch = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install"
    lab.exec(host, f"{fetch} {package}", seconds=240)


def opened(lab: Lab, host: Host, site: Site, filter_: str) -> None:
    """Both ports are closed, are opened, and let people in; another plan is empty."""
    said = site.plan(code=2).out
    assert said.count(f"open in {filter_}") == 2
    assert not is_open(host, 587)
    site.settle()
    assert is_open(host, 25)
    for port in (587, 465):
        logged_in(lab, host, port).close()


def closed(site: Site, host: Host) -> None:
    """Our services go, and our rules with them; what others opened stays open."""
    site.say({}, ["postfix"])
    assert "o firewall:587/tcp" in site.plan(code=0).out
    assert "delete firewall:587/tcp" in site.plan("--prune", code=2).out
    site.apply("--prune")
    site.plan("--prune", code=0)
    assert is_open(host, 25)


@pytest.mark.matrix
@pytest.mark.parametrize("where", ["bookworm", "trixie"])
def test_ufw(lab: Lab, fresh_host: Callable[..., Host], where: str, tmp_path: Path) -> None:
    host = fresh_host(where)
    install(lab, host, "ufw")
    lab.exec(host, "ufw allow 22/tcp; ufw allow Postfix; ufw --force enable")
    rules = lab.exec(host, "ufw status; cat /etc/ufw/user*.rules").stdout
    site = Site(lab, tmp_path, host)
    site.say(wanted(), ROLES)
    opened(lab, host, site, "ufw")
    assert "587/tcp" in lab.exec(host, "ufw reload; ufw status").stdout
    closed(site, host)
    assert lab.exec(host, "ufw status; cat /etc/ufw/user*.rules").stdout == rules

    # A profile that the administrator allowed is his: not ours to open, nor to close.
    lab.exec(host, "ufw allow 'Postfix Submission'")
    site.say(wanted(), ROLES)
    assert "firewall:587/tcp" not in site.addresses(host)
    site.settle()
    closed_now = lab.exec(host, "ufw status").stdout
    assert "587/tcp" not in closed_now
    assert "465/tcp" in closed_now


@pytest.mark.matrix
@pytest.mark.parametrize("where", ["bullseye", "forky"])  # 0.9 and 2: installing takes a minute
def test_firewalld(lab: Lab, fresh_host: Callable[..., Host], where: str, tmp_path: Path) -> None:
    host = fresh_host(where)
    install(lab, host, "firewalld")
    lab.exec(
        host,
        "firewall-cmd --permanent --add-service=ssh --add-service=smtp && firewall-cmd --reload",
    )
    listing = "firewall-cmd --list-all; firewall-cmd --permanent --list-all"
    rules = lab.exec(host, listing).stdout
    site = Site(lab, tmp_path, host)
    site.say(wanted(), ROLES)
    opened(lab, host, site, "firewalld")
    # Gone until the next reload, which is drift; gone for good after it, which is, too.
    lab.exec(host, "firewall-cmd --remove-port=587/tcp")
    assert site.addresses(host) == {"firewall:587/tcp": "create"}
    lab.exec(host, "firewall-cmd --reload")
    site.plan(code=0)
    lab.exec(host, "firewall-cmd --permanent --remove-port=587/tcp")
    assert "open until the next reboot" in site.plan(code=2).out
    site.settle()
    closed(site, host)
    assert lab.exec(host, listing).stdout == rules

    # A zone by name, and a service that the administrator opened in it.
    lab.exec(host, "firewall-cmd --zone=dmz --add-service=smtps")
    lab.exec(host, "firewall-cmd --permanent --zone=dmz --add-service=smtps")
    site.say(wanted(zone="dmz"), ROLES)
    ports = {a for a in site.addresses(host) if a.startswith("firewall:")}
    assert ports == {"firewall:587/tcp in dmz"}
    site.settle()
    assert "587/tcp" in lab.exec(host, "firewall-cmd --zone=dmz --list-ports").stdout
    assert lab.exec(host, "firewall-cmd --list-ports").stdout.strip() == ""


@pytest.mark.matrix
def test_nftables(lab: Lab, host: Host, tmp_path: Path) -> None:
    lab.exec(host, ["sh", "-c", 'printf %s "$1" >/etc/nftables.conf', "sh", RULES])
    lab.exec(host, "chmod 0640 /etc/nftables.conf; nft -f /etc/nftables.conf")
    before = state(lab, host, "/etc/nftables.conf")
    site = Site(lab, tmp_path, host)
    # Not named, not touched.
    site.say(wanted(), ROLES)
    site.settle()
    assert not is_open(host, 587)
    site.say(wanted(nftables={**CHAIN, "chain": "inptu"}), ROLES)
    assert "no chain inet/ours/inptu" in site.plan(code=4).said

    # What cannot be kept is not opened either: the change is undone as a whole.
    site.say(wanted(nftables=CHAIN), ROLES)
    lab.exec(host, "mount --bind /etc/nftables.conf /etc/nftables.conf")
    assert "cannot open port 587/tcp" in site.apply(code=4).said
    assert not is_open(host, 587)
    lab.exec(host, "umount /etc/nftables.conf")
    assert state(lab, host, "/etc/nftables.conf") == before
    opened(lab, host, site, "nftables")
    assert read(lab, host, "/etc/nftables.conf").startswith(RULES)
    lab.exec(host, "nft -f /etc/nftables.conf")  # as at boot
    assert is_open(host, 587)
    site.plan(code=0)
    closed(site, host)
    assert not is_open(host, 465)
    assert state(lab, host, "/etc/nftables.conf") == before
    assert "provisioner" not in lab.exec(host, "nft list ruleset").stdout
