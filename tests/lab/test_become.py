"""Hosts that are not entered as root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import Site, read, typed

from provisioner.lab.recipe import PASSWORDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

    FreshHost = Callable[..., Host]


def without(site: Site, *names: str) -> Site:
    """The same repository with some variables of the inventory left away."""
    for entry in site.entries.values():
        for name in names:
            entry.pop(name, None)
    site.say_parameters(disable_vrfy_command=True)
    return site


def test_password_from_the_inventory(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host, user="admin")
    site.say_parameters(disable_vrfy_command=True)
    site.settle()
    assert "disable_vrfy_command = yes" in read(lab, host, "/etc/postfix/main.cf")
    assert lab.exec(host, "stat -c %U:%a /var/lib/provisioner").stdout.strip() == "root:700"


@pytest.mark.parametrize(("password", "code"), [(PASSWORDS["admin"], 0), ("wrong", 4)])
def test_password_typed(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path, password: str, code: int
) -> None:
    host = fresh_host()
    site = Site(lab, tmp_path, host, user="admin")
    without(site, "ansible_become", "ansible_become_password")
    ended, said = typed(site, "sudo password:", password, "apply", "-y", "-b", "-K")
    assert ended == code, said
    assert password not in said
    held = read(lab, host, "/etc/postfix/main.cf")
    assert ("disable_vrfy_command = yes" in held) is (code == 0)
    if code:
        assert "sudo refused the password" in said


def test_without_a_password_where_none_is_needed(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path
) -> None:
    host = fresh_host()
    site = without(Site(lab, tmp_path, host, user="deploy"), "ansible_become")
    refused = site.plan(code=4)
    assert "-b" in refused.err
    assert "not root" in refused.err or "not logged in as root" in refused.err
    site.plan("-b", code=2)
    site.apply("-b")
    site.plan("-b", code=0)


def test_a_password_that_is_needed_and_missing(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path
) -> None:
    host = fresh_host()
    site = without(Site(lab, tmp_path, host, user="admin"), "ansible_become_password")
    done = site.plan(code=4)
    assert "sudo asks for a password and none is given" in done.err
    assert "-K" in done.err
