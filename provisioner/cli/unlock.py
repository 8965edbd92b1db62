"""`provisioner unlock`: end a run that holds a host."""

from __future__ import annotations

import re
from dataclasses import replace

import click

from provisioner.cli.options import Common, common
from provisioner.errors import InputError

_RUN = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


@click.command()
@click.argument("host")
@click.option("--txn", required=True, metavar="ID", help="The run, as `history` names it.")
@common
@click.pass_context
def unlock(context: click.Context, options: Common, host: str, txn: str) -> None:
    """End run ID on HOST now: what it changed is undone, its confirmation is not waited for.

    A shell of it that hangs is killed. Where a file is neither what it was nor what the run
    made of it, everything is left as it stands, and only the lock goes: the next plan shows
    what differs.
    """
    from provisioner.cli import running
    from provisioner.cli.workspace import load, new_owner
    from provisioner.fleet import undoing

    if not _RUN.fullmatch(txn):
        raise InputError(f"{txn!r} is no run", help=f"see: provisioner history {host}")
    workspace = load(replace(options, limit=host))
    owner = new_owner("unlock")
    with workspace.logins() as logins:
        outcomes = running.carry_out(
            "unlock",
            workspace.targets,
            logins,
            options,
            owner,
            undoing.unlocking(txn, owner),
        )
    context.exit(running.exit_code(outcomes))
