"""`provisioner lab`: disposable real hosts on this machine."""

from __future__ import annotations

import json as jsonlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from provisioner.lab.lab import Lab

_RELEASES = "bullseye, bookworm, trixie, forky"

_name_option = click.option(
    "--name", default="default", show_default=True, metavar="LAB", help="Which lab."
)
_mirror_option = click.option(
    "--mirror",
    metavar="URL",
    help="Debian archive to build from; else the one this machine's apt uses.",
)


@click.group()
def lab() -> None:
    """Disposable real hosts (systemd, sshd, Postfix) for trying things out.

    Needs root on Debian or Ubuntu; `provisioner lab doctor` says what is missing.
    """


@lab.command()
@click.option(
    "-n", "count", type=click.IntRange(1, 254), help="How many hosts.  [default: one a release]"
)
@click.option(
    "--release",
    "releases",
    multiple=True,
    metavar="RELEASE",
    help=f"Debian release: {_RELEASES}. Given several times, hosts take them in turn.  "
    "[default: bookworm]",
)
@click.option(
    "--init",
    "variant",
    default="systemd",
    show_default=True,
    metavar="INIT",
    help="Init system: systemd, sysvinit or openrc; python: systemd, and Python.",
)
@_name_option
@_mirror_option
def up(
    count: int | None, releases: tuple[str, ...], variant: str, name: str, mirror: str | None
) -> None:
    """Boot a lab: hosts mx1, mx2, … with a network and a DNS of their own."""
    from provisioner.lab import HostSpec
    from provisioner.lab.lab import Lab

    chosen = releases or ("bookworm",)
    specs = [
        HostSpec(release=chosen[index % len(chosen)], variant=variant)
        for index in range(count or len(chosen))
    ]
    running = Lab.up(name, specs, mirror=mirror)
    click.echo(_table(_rows(running)))


@lab.command()
@_name_option
@click.option("--all", "everything", is_flag=True, help="All labs, and what crashed ones left.")
def down(name: str, everything: bool) -> None:
    """Remove a lab: processes, network and files. Built roots stay cached."""
    from provisioner.lab import cleanup, state

    if everything:
        for each in cleanup.down_all():
            click.echo(f"removed {each}")
        return
    known = name in state.names()
    cleanup.down(name)
    click.echo(f"removed lab {name}" if known else f"no lab {name!r} was up")


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def ls(as_json: bool) -> None:
    """List labs and their hosts."""
    from provisioner.lab import network, state
    from provisioner.lab.lab import Lab
    from provisioner.lab.system import LabError, progress

    rows: list[dict[str, Any]] = []
    for name in state.names():
        try:
            rows += _rows(Lab.open(name))
        except (LabError, OSError, ValueError) as error:
            progress(f"lab {name} is broken ({error}); provisioner lab down --name {name}")
    for left in sorted(network.leftovers() - {f"provlab{row['block']}" for row in rows}):
        progress(f"network {left} belongs to no lab; provisioner lab down --all")
    if as_json:
        click.echo(jsonlib.dumps({"version": 1, "hosts": rows}, indent=2))
    elif rows:
        click.echo(_table(rows))


@lab.command(context_settings={"ignore_unknown_options": True})
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@_name_option
@click.option("-l", "--user", default="root", show_default=True, help="root, admin or deploy.")
def ssh(host: str, command: tuple[str, ...], name: str, user: str) -> None:
    """Log in to HOST, or run COMMAND there (after `--`)."""
    from provisioner.lab.lab import Lab

    running = Lab.open(name)
    variables = running.connection_vars(host, user)
    argv = [
        *("ssh", "-F", "none", "-i", variables["ansible_ssh_private_key_file"]),
        *shlex.split(variables["ansible_ssh_common_args"]),
        *("-l", user, variables["ansible_host"]),
        *(("--", *command) if command else ()),
    ]
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - ssh takes the terminal over


@lab.command()
@_name_option
@click.option("-l", "--user", default="root", show_default=True, help="root, admin or deploy.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write to this file instead of standard output.",
)
def inventory(name: str, user: str, output: Path | None) -> None:
    """Print a YAML inventory of a running lab, for `provisioner plan -i FILE`."""
    from provisioner.lab import state
    from provisioner.lab.inventory import render_inventory

    text = render_inventory(state.load(name), user)
    if output:
        output.write_text(text)
    else:
        click.echo(text, nl=False)


@lab.command()
@click.argument("host")
@_name_option
def reset(host: str, name: str) -> None:
    """Make HOST what it was when the lab came up (`all`: every host)."""
    from provisioner.lab.lab import Lab

    running = Lab.open(name)
    running.reset(*([] if host == "all" else [host]))
    click.echo(f"{host}: as new")


@lab.command()
@click.argument("milliseconds", type=click.FloatRange(0, 10_000))
@_name_option
def delay(milliseconds: float, name: str) -> None:
    """Put all hosts MILLISECONDS away, each way (0: as near as they were)."""
    from provisioner.lab.lab import Lab

    Lab.open(name).delay(milliseconds)
    click.echo(f"{name}: {2 * milliseconds:g} ms a round trip")


@lab.command()
@click.option("--release", "releases", multiple=True, metavar="RELEASE", help=f"{_RELEASES}.")
@_mirror_option
def build(releases: tuple[str, ...], mirror: str | None) -> None:
    """Build root file systems ahead of use (all releases, if none is named)."""
    from provisioner.lab import requirements, roots
    from provisioner.lab.recipe import RELEASES

    requirements.require()
    for release in releases or RELEASES:
        click.echo(f"{release}  {roots.ensure(release, mirror)}")


@lab.command()
def prune() -> None:
    """Remove cached root file systems that nothing uses any more."""
    from provisioner.lab import roots

    for path in roots.prune():
        click.echo(f"removed {path}")


@lab.command()
def doctor() -> None:
    """Say whether this machine can run a lab, and what is missing."""
    from provisioner.lab import requirements

    for each in requirements.check():
        click.echo(f"{'ok     ' if each.met else 'missing'}  {each.name}")
    requirements.require()


def _rows(running: Lab) -> list[dict[str, Any]]:
    return [
        {
            "lab": running.name,
            "host": host.name,
            "release": host.release,
            "address": host.address,
            "state": "running" if running.is_running(host) else "stopped",
            "block": running.addresses.number,
        }
        for host in running.hosts
    ]


def _table(rows: list[dict[str, Any]]) -> str:
    columns = ("lab", "host", "release", "address", "state")
    lines = [columns, *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
