"""`provisioner inventory`: what the inventory says, without contacting a host."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.options import vault_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provisioner.diagnostics import Diagnostic
    from provisioner.inventory import Host, Inventory
    from provisioner.inventory.site import Site
    from provisioner.inventory.vault import Vault

_UMBRELLA = ("mail", "provisioner")


@click.command()
@click.option(
    "-i",
    "--inventory",
    "sources",
    multiple=True,
    metavar="INVENTORY",
    help="File, directory, or comma list of hosts (mx1,mx2,); may be repeated."
    "  [default: inventory/ beside the site file]",
)
@click.option("-l", "--limit", metavar="PATTERN", help="Only hosts that match the pattern.")
@click.option(
    "--site",
    "site_file",
    type=click.Path(path_type=Path),
    help="Site file.  [default: site.yml here, if there is one]",
)
@click.option(
    "--list", "as_list", is_flag=True, help="JSON, as ansible-inventory --list prints it."
)
@click.option("--host", "host_name", metavar="NAME", help="One host's variables as JSON.")
@click.option(
    "--origins", is_flag=True, help="With --host: where each value comes from, what it overrode."
)
@click.option("--graph", is_flag=True, help="Groups and hosts as a tree.")
@vault_options
def inventory(
    sources: tuple[str, ...],
    limit: str | None,
    site_file: Path | None,
    as_list: bool,
    host_name: str | None,
    origins: bool,
    graph: bool,
    vault_password_files: tuple[str, ...],
    vault_ids: tuple[str, ...],
    ask_vault_pass: bool,
) -> None:
    """Show hosts, groups and variables; no host is contacted.

    Values are shown as they are written: templates unrendered, secrets closed.
    """
    if sum((as_list, graph, host_name is not None)) > 1:
        raise click.UsageError("--list, --host and --graph exclude each other")
    if origins and host_name is None:
        raise click.UsageError("--origins goes with --host NAME")
    from provisioner.inventory import export
    from provisioner.inventory.references import vault_from

    vault = vault_from(vault_password_files, vault_ids, ask=ask_vault_pass)
    loaded, site = _load(sources, site_file, vault)
    gc.freeze()  # it is printed, and that is all: no need to look through it for garbage
    _warn(loaded.warnings)
    if host_name is not None:
        host = _one_host(loaded, host_name)
        if origins:
            roles = site.roles_for(host, loaded) if site else ()
            merged = {*_UMBRELLA, *(role.name for role in roles)}
            _print_json(export.origins(host, merged))
        else:
            _print_json(export.host_variables(host))
        return
    if graph:
        for line in export.graph_lines(loaded):
            _print(line)
        return
    hosts = loaded.select(limit) if limit else None
    if as_list:
        _print_json(export.to_list(loaded, hosts))
        return
    if site:
        _warn(site.idle(loaded))
    for line in _table(list(loaded.hosts.values()) if hosts is None else hosts, loaded, site):
        _print(line)


def _load(
    sources: tuple[str, ...], site_file: Path | None, vault: Vault
) -> tuple[Inventory, Site | None]:
    from provisioner.inventory import load_inventory
    from provisioner.inventory.site import SITE_NAMES, default_inventory, find_site, load_site

    here = any(Path(name).is_file() for name in SITE_NAMES)
    path = find_site(Path(), site_file) if here or site_file else None
    site = load_site(path) if path else None
    beside = path.parent if path else None
    chosen: Sequence[str | Path] = sources or [default_inventory(path or Path(SITE_NAMES[0]))]
    # Without a password, encrypted files of variables are left out with a warning.
    return load_inventory(chosen, beside, vault if vault else None), site


def _one_host(loaded: Inventory, name: str) -> Host:
    from provisioner.diagnostics import nearest
    from provisioner.errors import InputError

    host = loaded.hosts.get(name)
    if host is None:
        guess = nearest(name, loaded.hosts)
        raise InputError(
            f'no host is named "{name}"',
            help=f'did you mean "{guess}"?' if guess else "--graph shows all hosts",
        )
    return host


def _table(hosts: list[Host], loaded: Inventory, site: Site | None) -> Iterable[str]:
    """Host, groups and roles in columns, then a line that counts."""
    rows = [("HOST", "GROUPS", "ROLES" if site else "")]
    for host in hosts:
        roles = site.roles_for(host, loaded) if site else ()
        rows.append((host.name, ", ".join(host.groups), ", ".join(role.name for role in roles)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, groups, roles_text in rows:
        yield f"{name:<{widths[0]}}  {groups:<{widths[1]}}  {roles_text}".rstrip()
    used = {group for host in hosts for group in host.groups}
    yield ""
    yield f"{_count(len(hosts), 'host')} in {_count(len(used), 'group')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _warn(found: Iterable[Diagnostic]) -> None:
    from provisioner.diagnostics import render

    for each in found:
        click.echo(render(each), err=True)


def _print_json(value: Any) -> None:
    from provisioner.inventory.jsontext import pretty

    _print(pretty(value))


def _print(text: str) -> None:
    # Half of a surrogate pair from a JSON file has no UTF-8; its escape is valid JSON.
    click.echo(text.encode("utf-8", "backslashreplace"))
