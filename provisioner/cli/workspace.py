"""What a command works on: inventory, site, roles, and each host's desired state and target."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from provisioner.cli.options import Common
from provisioner.errors import InputError
from provisioner.fleet.pool import Logins
from provisioner.host.transaction import Owner
from provisioner.inventory import Host, Inventory, load_inventory
from provisioner.inventory.identity import Identity, identity
from provisioner.inventory.opening import Secrets
from provisioner.inventory.reading import Reader
from provisioner.inventory.references import vault_from
from provisioner.inventory.site import RoleRef, Site, default_inventory, find_site, load_site
from provisioner.planning.planner import Desired
from provisioner.report.console import print_diagnostic
from provisioner.roles.desired import UMBRELLA, Findings, desired_states
from provisioner.roles.loading import RoleLibrary
from provisioner.roles.misspelt import misspelt
from provisioner.secrets import Secret
from provisioner.transport.base import Target
from provisioner.transport.opening import open_transport
from provisioner.transport.target import Overrides, target_of


@dataclass(frozen=True)
class Workspace:
    """Loaded once, read by everything after."""

    inventory: Inventory
    site: Site
    hosts: Sequence[Host]
    desired: Mapping[str, Desired]
    targets: Sequence[Target]
    identity: Identity
    limited: bool = False

    def logins(self) -> Logins:
        return Logins(open_transport())

    def only(self, names: Sequence[str]) -> list[Target]:
        """The targets of these hosts, in inventory order."""
        wanted = set(names)
        return [target for target in self.targets if target.name in wanted]


def load(options: Common, only: Collection[str] | None = None) -> Workspace:
    """Everything the user wrote, read and checked. Raises `InputError` with all that is
    wrong in it, before any host is contacted. `only` narrows the hosts further."""
    site_path = find_site(Path(), options.site)
    sources = options.sources or (str(default_inventory(site_path)),)
    vault = vault_from(options.vault_password_files, options.vault_ids, ask=options.ask_vault_pass)
    inventory = load_inventory(sources, beside=site_path.parent, vault=vault)
    site = load_site(site_path)
    for warning in inventory.warnings:
        print_diagnostic(warning)
    for idle in site.idle(inventory):
        print_diagnostic(idle)
    assigned = site.assign(inventory)
    hosts = _hosts(inventory, site, assigned, options.limit)
    if only is not None:
        hosts = [host for host in hosts if host.name in only]
    who = identity([Path(source) for source in sources])
    library = RoleLibrary(site_path.parent / "roles")
    reader = Reader(inventory, Secrets(vault), merged={*library.names(), "mail", UMBRELLA})
    desired = desired_states(
        hosts,
        assigned,
        library,
        _inventory_facts(who, sources),
        today=datetime.now().astimezone().date(),
        folder=site_path.parent,
        reader=reader,
    )
    for slip in misspelt(hosts, assigned, library.names()):
        print_diagnostic(slip)
    targets = _targets(hosts, options, reader)
    return Workspace(
        inventory, site, hosts, desired, targets, who, bool(options.limit) or only is not None
    )


def _hosts(
    inventory: Inventory,
    site: Site,
    assigned: Mapping[str, Sequence[RoleRef]],
    limit: str | None,
) -> list[Host]:
    """The hosts in scope: those that match the limit and have any role."""
    matching = inventory.select(limit) if limit else list(inventory.hosts.values())
    chosen = [host for host in matching if assigned.get(host.name)]
    if not chosen:
        which = f"none of the hosts that match {limit!r}" if limit else "no host of the inventory"
        raise InputError(
            f"{which} has a role in {site.path}",
            help="see `provisioner inventory` for hosts, groups and roles",
        )
    return chosen


def _targets(hosts: Sequence[Host], options: Common, reader: Reader) -> list[Target]:
    password = None
    if options.ask_become_pass:
        password = Secret(getpass.getpass("sudo password: "))
    overrides = Overrides(
        user=options.user,
        private_key_file=options.private_key,
        become=options.become,
        become_password=password,
    )
    findings = Findings()
    targets: list[Target] = []
    for host in hosts:
        try:
            read = partial(reader.variable, host)
            targets.append(target_of(host.name, host.vars, defaults=overrides, read=read))
        except InputError as error:
            findings.add(host.name, error.diagnostics())
    findings.raise_if_any()
    return targets


def _inventory_facts(who: Identity, sources: Sequence[str]) -> dict[str, str]:
    facts = {"id": who.id, "name": f"{socket.gethostname()}:{Path(sources[0]).resolve()}"}
    if who.commit:
        facts["commit"] = who.commit
    return facts


def new_owner(verb: str, window: int = 60) -> Owner:
    """A run ID, and the line that others see while this run holds a host's lock."""
    now = datetime.now(UTC)
    run = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    since = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    return Owner(run, f"{verb} by {who}, process {os.getpid()}, since {since}", window)
