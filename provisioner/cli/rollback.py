"""`provisioner rollback`: take back what earlier runs did."""

from __future__ import annotations

from dataclasses import replace

import click

from provisioner.cli.options import Common, common, confirm_within_option
from provisioner.errors import InputError


@click.command()
@click.argument("hosts", nargs=-1, metavar="[HOST|PATTERN]...")
@click.option("--run", metavar="ID", help="Take back this run, and what came after it.")
@click.option(
    "--to",
    type=click.IntRange(min=0),
    metavar="GENERATION",
    help="Go back to this generation (see `history`); 0 is before the first.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-C", "--check", is_flag=True, help="Only say what would change.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines; needs -y or -C.")
@confirm_within_option
@common
@click.pass_context
def rollback(
    context: click.Context,
    options: Common,
    hosts: tuple[str, ...],
    run: str | None,
    to: int | None,
    yes: bool,
    check: bool,
    as_json: bool,
    confirm_within: int,
) -> None:
    """Take back the last run on each HOST, or a run wherever it changed something.

    Files, owners, modes, services and what the host remembers become what they were, by the
    same steps as any change: shown, rehearsed, guarded, confirmed. A file that somebody
    changed since is a conflict (exit 8). The inventory is not touched: what it still wants,
    the next apply does again.
    """
    from provisioner.cli import running
    from provisioner.cli.workspace import load, new_owner
    from provisioner.fleet import pool, undoing

    if not hosts and not run and not options.limit:
        raise InputError(
            "say which hosts, or which run to take back",
            help="provisioner rollback HOST; provisioner rollback --run ID",
        )
    if run and to is not None:
        raise InputError("--run and --to are two ways to say how far back; one is enough")
    running.check_asking(as_json=as_json, asks=not (yes or check))
    if hosts:
        options = replace(options, limit=",".join(hosts))
    workspace = load(options)
    owner = new_owner("rollback", confirm_within)
    going = undoing.Rollback(run=run, to=to)
    with workspace.logins() as logins:
        with running.listening(options, as_json=as_json) as listener:
            planned = pool.run(
                "rollback",
                workspace.targets,
                logins,
                going.plan,
                forks=options.forks,
                listener=listener,
            )
        if not as_json:
            running.show_plans(planned, full_diff=False, window=confirm_within)
        plans = running.pending(planned)
        if check or not plans:
            context.exit(running.exit_code(planned))
        if not yes:
            running.ask("Go back on", len(plans))
        work = going.applying(plans, owner)
        targets = workspace.only(list(plans))
        applied = running.carry_out("rollback", targets, logins, options, owner, work, as_json)
    rest = [outcome for outcome in planned if outcome.host not in plans]
    context.exit(running.exit_code([*rest, *applied]))
