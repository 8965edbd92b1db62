"""`provisioner history`: what runs did to hosts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.options import Common, common

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provisioner.planning.generations import Generation
    from provisioner.report.plantext import Line


@click.command()
@click.argument("hosts", nargs=-1, required=True, metavar="HOST|PATTERN...")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@common
@click.pass_context
def history(context: click.Context, options: Common, hosts: tuple[str, ...], as_json: bool) -> None:
    """Show the runs that each HOST remembers: who, when, what it touched, how it ended.

    The number before a run is the generation that it made; `rollback --to` takes it.
    """
    from provisioner.cli import running
    from provisioner.cli.workspace import load
    from provisioner.fleet import pool, undoing
    from provisioner.report.console import print_lines

    workspace = load(replace(options, limit=",".join(hosts)))
    reading = undoing.History()
    with workspace.logins() as logins, running.listening(options, quiet=True) as listener:
        outcomes = pool.run(
            "history", workspace.targets, logins, reading, forks=options.forks, listener=listener
        )
    if as_json:
        found = {host: [_record(each) for each in runs] for host, runs in reading.found.items()}
        click.echo(json.dumps({"version": 1, "hosts": found}, indent=2))
    else:
        for host, runs in reading.found.items():
            print_lines(_lines(host, runs))
    context.exit(running.exit_code(outcomes))


def _record(each: Generation) -> dict[str, Any]:
    return {
        "run": each.run,
        "generation": each.number or None,
        "state": each.state.lower(),
        "by": each.owner,
        "activation": str(each.activation),
        "paths": [touched.path for touched in each.touched],
        "units": [unit for unit, _ in each.units],
        "trouble": each.trouble,
    }


def _lines(host: str, runs: Sequence[Generation]) -> Iterator[Line]:
    from provisioner.diagnostics import printable
    from provisioner.report.plantext import Line

    yield Line(f"{host}:", "bold")
    if not runs:
        yield Line("  no run has changed this host")
    for each in runs:
        number = f"{each.number:>4}" if each.number else "   -"
        style = {"COMMITTED": "", "UNDONE": "yellow"}.get(each.state, "red")
        yield Line(f"{number}  {each.run}  {each.state.lower()}  {printable(each.owner)}", style)
        paths = [printable(touched.path) for touched in each.touched]
        if paths:
            more = f" and {len(paths) - 6} more" if paths[6:] else ""
            yield Line(f"      {', '.join(paths[:6])}{more}", "dim")
        if each.trouble:
            yield Line(f"      {printable(each.trouble)}", style)
