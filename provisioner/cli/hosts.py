"""`provisioner hosts`: record host keys, and try the way to each host."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from provisioner.cli.options import vault_options
from provisioner.diagnostics import render
from provisioner.errors import ExitCode, HostError, InputError, worst
from provisioner.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from provisioner.inventory.opening import Secrets
    from provisioner.inventory.vault import Vault
    from provisioner.transport.base import Target
    from provisioner.transport.trust import Sighting

T = TypeVar("T")

_DEFAULT_INVENTORY = Path("inventory")

_inventory_option = click.option(
    "-i",
    "--inventory",
    "sources",
    multiple=True,
    metavar="INVENTORY",
    help="Inventory file or directory.  [default: inventory, if there is one]",
)
_forks_option = click.option(
    "-f", "--forks", type=click.IntRange(1, 1000), default=32, show_default=True, help="At once."
)
_user_option = click.option("-u", "--user", metavar="USER", help="Log in as this user.")
_key_option = click.option("--private-key", metavar="FILE", help="Key to log in with.")


@click.group()
def hosts() -> None:
    """Host keys, and whether the hosts can be reached."""


@hosts.command()
@click.argument("patterns", nargs=-1, metavar="[PATTERN|HOST]...")
@_inventory_option
@_forks_option
@click.option("-y", "--yes", is_flag=True, help="Record without asking.")
@click.option("--replace", "replacing", is_flag=True, help="Replace keys that have changed.")
@click.option(
    "--known-hosts",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to compare with and record in.  [default: ~/.ssh/known_hosts]",
)
@click.pass_context
def trust(
    context: click.Context,
    patterns: tuple[str, ...],
    sources: tuple[str, ...],
    forks: int,
    yes: bool,
    replacing: bool,
    known_hosts: Path | None,
) -> None:
    """Show the hosts' keys and, once you agree, record them in known_hosts.

    Compare the fingerprints with what the hosts themselves say:
    `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`. A name that no inventory knows
    is taken as ssh takes it: [user@]host[:port].
    """
    from provisioner.inventory.opening import Placeholders
    from provisioner.transport.ssh import SshTransport
    from provisioner.transport.target import Overrides
    from provisioner.transport.trust import sight

    # Nobody logs in here: passwords can stay closed.
    named = _targets(patterns, sources, Overrides(), Placeholders())
    targets = [each for each in named if _is_ssh(each)]
    transport = SshTransport([known_hosts] if known_hosts else None)
    try:
        sightings = _everywhere(targets, lambda target: sight(transport, target), forks)
    finally:
        transport.close()
    codes = [_settle(target, found, yes, replacing) for target, found in sightings]
    context.exit(worst(codes))


@hosts.command()
@click.argument("patterns", nargs=-1, metavar="[PATTERN|HOST]...")
@_inventory_option
@_forks_option
@_user_option
@_key_option
@click.option("-b", "--become", is_flag=True, help="Try sudo, too.")
@click.option("-k", "--ask-pass", is_flag=True, help="Ask for the login password.")
@click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for the sudo password.")
@vault_options
@click.pass_context
def check(
    context: click.Context,
    patterns: tuple[str, ...],
    sources: tuple[str, ...],
    forks: int,
    user: str | None,
    private_key: str | None,
    become: bool,
    ask_pass: bool,
    ask_become_pass: bool,
    vault_password_files: tuple[str, ...],
    vault_ids: tuple[str, ...],
    ask_vault_pass: bool,
) -> None:
    """Log in to each host; say as whom, by what, whether sudo works, and how long it took."""
    from provisioner.inventory.opening import Secrets
    from provisioner.inventory.references import vault_from
    from provisioner.transport import open_transport
    from provisioner.transport.target import Overrides
    from provisioner.transport.trust import try_way

    overrides = Overrides(
        user=user,
        private_key_file=private_key,
        become=become,
        password=_ask("login password") if ask_pass else None,
        become_password=_ask("sudo password") if ask_become_pass else None,
    )
    vault = vault_from(vault_password_files, vault_ids, ask=ask_vault_pass)
    targets = _targets(patterns, sources, overrides, Secrets(vault), vault)
    transport = open_transport()
    try:
        results = _everywhere(targets, lambda target: str(try_way(transport, target)), forks)
    finally:
        transport.close()
    codes = []
    for target, found in results:
        if isinstance(found, HostError):
            codes.append(_complain(found))
        else:
            click.echo(f"{target.name}: {found}")
    context.exit(worst(codes))


def _targets(
    patterns: Sequence[str],
    sources: Sequence[str],
    overrides: Any,
    secrets: Secrets,
    vault: Vault | None = None,
) -> list[Target]:
    """What the arguments name: inventory hosts, and other hosts as ssh would take them."""
    from provisioner.inventory import load_inventory
    from provisioner.inventory.reading import Reader
    from provisioner.transport.endpoint import parse_destination
    from provisioner.transport.target import target_of

    if not sources and _DEFAULT_INVENTORY.exists():
        sources = (str(_DEFAULT_INVENTORY),)
    inventory = load_inventory(sources, vault=vault) if sources else None
    reader = Reader(inventory, secrets) if inventory else None
    if inventory is None and not patterns:
        raise InputError("which hosts? there is no inventory here", help="-i FILE, or name hosts")
    found: dict[str, Target] = {}
    for pattern in patterns or ("all",):
        try:
            selected = inventory.select(pattern) if inventory else []
        except InputError:
            if any(char in pattern for char in "*?,!&~"):
                raise
            selected = []
        for host in selected:
            read = partial(reader.variable, host) if reader else None
            found[host.name] = target_of(host.name, host.vars, defaults=overrides, read=read)
        if not selected:
            named = parse_destination(pattern)
            own = target_of(named.name, {}, defaults=overrides)
            found[pattern] = replace(
                own, address=named.address, port=named.port, user=named.user or own.user
            )
    return list(found.values())


def _is_ssh(target: Target) -> bool:
    if target.connection != "ssh":
        click.echo(f"{target.name}: connection {target.connection}, it has no host key", err=True)
    return target.connection == "ssh"


def _everywhere(
    targets: Iterable[Target], work: Callable[[Target], T], forks: int
) -> list[tuple[Target, T | HostError]]:
    """`work` for all targets, `forks` at once; a host's failure is its result."""

    def attempt(target: Target) -> tuple[Target, T | HostError]:
        try:
            return target, work(target)
        except HostError as error:
            return target, error

    with ThreadPoolExecutor(forks) as pool:
        return list(pool.map(attempt, targets))


def _settle(target: Target, found: Sighting | HostError, yes: bool, replacing: bool) -> ExitCode:
    """Report one sighting and record it if that is wanted."""
    if isinstance(found, HostError):
        return _complain(found)
    click.echo(f"{target.name}: {found.describe()}")
    if found.is_known:
        return ExitCode.OK
    problem = found.problem(replacing)
    if problem is not None:
        return _complain(problem)
    if not yes and not _agreed(f"Record this key in {found.file}?"):
        click.echo(f"{target.name}: not recorded", err=True)
        return ExitCode.UNREACHABLE
    try:
        found.record()
    except OSError as error:
        raise InputError(f"cannot write {found.file}: {error.strerror}") from error
    click.echo(f"{target.name}: recorded in {found.file}")
    return ExitCode.OK


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise InputError("nobody is here to compare fingerprints", help="-y records without asking")
    return click.confirm(question, default=False, err=True)


def _ask(what: str) -> Secret:
    return Secret(click.prompt(what, hide_input=True, err=True))


def _complain(error: HostError) -> ExitCode:
    for diagnostic in error.diagnostics():
        click.echo(render(diagnostic), err=True)
    return error.exit_code
