"""A lab as an inventory: the variables by which any tool that reads Ansible's logs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from provisioner.errors import InputError
from provisioner.lab.recipe import PASSWORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provisioner.lab.state import Host, LabState

#: Accounts that the lab's key opens.
USERS = ("root", "admin", "deploy")


def known_hosts(public_keys: Iterable[tuple[Host, Mapping[str, str]]]) -> str:
    """Lines for a known_hosts file: every host under its name and its address."""
    return "".join(
        f"{host.fqdn},{host.name},{host.address} {' '.join(key.split()[:2])}\n"
        for host, keys in public_keys
        for key in keys.values()
    )


def connection_vars(lab: LabState, host: Host, user: str = "root") -> dict[str, Any]:
    """How to log in to `host` as `user`; become and its password where not root.

    Raises `InputError` for a user that the lab's key does not open.
    """
    return {"ansible_host": host.address, **_common_vars(lab, user)}


def _common_vars(lab: LabState, user: str) -> dict[str, Any]:
    if user not in USERS:
        raise InputError(
            f"the lab's key does not open {user!r}", help=f"one of: {', '.join(USERS)}"
        )
    found: dict[str, Any] = {
        "ansible_user": user,
        "ansible_ssh_private_key_file": str(lab.directory / "id_ed25519"),
        "ansible_ssh_common_args": (
            f"-o UserKnownHostsFile={lab.directory / 'known_hosts'} "
            "-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
        ),
    }
    if user != "root":
        found["ansible_become"] = True
    if user == "admin":
        found["ansible_become_password"] = PASSWORDS[user]
    return found


def render_inventory(lab: LabState, user: str = "root") -> str:
    """A YAML inventory of the lab: group `lab`, and a group for each release."""
    groups: dict[str, Any] = {
        "lab": {
            "hosts": {host.name: {"ansible_host": host.address} for host in lab.hosts},
            "vars": _common_vars(lab, user),
        }
    }
    for release in dict.fromkeys(host.release for host in lab.hosts):
        members = [host.name for host in lab.hosts if host.release == release]
        groups[release] = {"hosts": {name: {} for name in members}}
    text: str = yaml.safe_dump(
        {"all": {"children": groups}}, sort_keys=False, width=1000, default_flow_style=False
    )
    return f"# Hosts of the lab {lab.name!r}; gone when the lab is.\n{text}"
