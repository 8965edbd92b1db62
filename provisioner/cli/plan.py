"""`provisioner plan`: what would change, host by host."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioner.cli.options import Common, common, live_policy_option
from provisioner.errors import InputError

if TYPE_CHECKING:
    from provisioner.cli.workspace import Workspace
    from provisioner.fleet.outcome import Outcome


@click.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Save the plan; `provisioner apply FILE` carries out exactly that.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("--prune", is_flag=True, help="Also put back what no role declares any more.")
@click.option("-D", "--diff", is_flag=True, help="Show differences of files in full.")
@click.option(
    "--since",
    metavar="REV",
    help="Only hosts whose desired state is not what it was at this git revision.",
)
@click.option(
    "--rehearse",
    is_flag=True,
    help="Prove it: on each host a throw-away Postfix holds the policy tests with the new files.",
)
@live_policy_option
@common
@click.pass_context
def plan(
    context: click.Context,
    options: Common,
    out: Path | None,
    as_json: bool,
    prune: bool,
    diff: bool,
    since: str | None,
    rehearse: bool,
    live_policy: bool,
) -> None:
    """Show what would change on each host. Changes nothing.

    Ends with 0 when nothing would change, with 2 when something would; with --rehearse also
    with 4 when a host's own Postfix refuses the plan.
    """
    from provisioner.cli import running
    from provisioner.cli.workspace import load

    touched = _touched(options, since) if since else None
    if touched is not None and not touched:
        if as_json:
            click.echo(json.dumps({"version": 1, "inventory": {}, "hosts": {}}, indent=2))
        click.echo(f"no host's desired state differs from {since}: none is asked", err=True)
        return
    workspace = load(options, only=touched)
    running.show_commit(workspace)
    with workspace.logins() as logins:
        if rehearse:
            outcomes = running.rehearse_hosts(
                workspace, logins, options, prune=prune, live_policy=live_policy, quiet=as_json
            )
        else:
            outcomes = running.plan_hosts(workspace, logins, options, prune=prune, quiet=as_json)
    if as_json:
        click.echo(running.document(workspace, outcomes))
    else:
        running.show_plans(outcomes, full_diff=diff)
        if rehearse:
            running.show_verdicts(outcomes, workspace.desired, every=bool(options.verbose))
    if out:
        _save(out, outcomes, workspace, prune)
    context.exit(running.exit_code(outcomes))


def _touched(options: Common, since: str) -> set[str]:
    from provisioner.cli.snapshots import touched_since

    return set(touched_since(options, since))


def _save(out: Path, outcomes: Sequence[Outcome], workspace: Workspace, prune: bool) -> None:
    from provisioner.planning import planfile
    from provisioner.report.plantext import counted

    hosts = {
        each.host: planfile.SavedHost(each.plan, each.host_key)
        for each in outcomes
        if each.plan and not each.error and not each.plan.empty
    }
    desired = next(iter(workspace.desired.values()))
    text = planfile.dump(
        planfile.SavedPlan(hosts, desired.inventory, prune), workspace.desired, os.urandom
    )
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        aside.replace(out)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise InputError(f"the plan cannot be saved: {error}") from error
    click.echo(
        f"saved: {out} ({counted(len(hosts))}); carry it out with: provisioner apply {out}",
        err=True,
    )
