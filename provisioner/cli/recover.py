"""`provisioner recover`: finish what interrupted runs left."""

from __future__ import annotations

from dataclasses import replace

import click

from provisioner.cli.options import Common, common


@click.command()
@click.argument("hosts", nargs=-1, metavar="[HOST|PATTERN]...")
@common
@click.pass_context
def recover(context: click.Context, options: Common, hosts: tuple[str, ...]) -> None:
    """Finish or undo what an interrupted run left on each host, as its journal says.

    Hosts do this by themselves, and every apply does it first: this is for a host whose
    guard was killed, too, or where an undo met a file that somebody had edited (exit 8).
    """
    from provisioner.cli import running
    from provisioner.cli.workspace import load, new_owner
    from provisioner.fleet import undoing

    workspace = load(replace(options, limit=",".join(hosts)) if hosts else options)
    owner = new_owner("recover")
    with workspace.logins() as logins:
        outcomes = running.carry_out(
            "recover",
            workspace.targets,
            logins,
            options,
            owner,
            undoing.recovering(owner),
        )
    context.exit(running.exit_code(outcomes))
