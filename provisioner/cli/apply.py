"""`provisioner apply`: make the hosts as the inventory says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioner.cli.options import Common, common, confirm_within_option, live_policy_option
from provisioner.errors import Stale

if TYPE_CHECKING:
    from provisioner.cli.workspace import Workspace
    from provisioner.fleet.outcome import Outcome
    from provisioner.planning.planfile import SavedPlan


@click.command()
@click.argument(
    "planfile", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-C", "--check", is_flag=True, help="Only say what would change (as `plan`).")
@click.option("-D", "--diff", is_flag=True, help="Show differences of files in full.")
@click.option("--prune", is_flag=True, help="Also put back what no role declares any more.")
@click.option("--take-over", is_flag=True, help="Manage hosts that another inventory manages.")
@live_policy_option
@confirm_within_option
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines; needs -y or -C.")
@common
@click.pass_context
def apply(
    context: click.Context,
    options: Common,
    planfile: Path | None,
    yes: bool,
    check: bool,
    diff: bool,
    prune: bool,
    take_over: bool,
    live_policy: bool,
    confirm_within: int,
    as_json: bool,
) -> None:
    """Make the hosts as the inventory says, after showing the plan and asking.

    With PLANFILE, carries out exactly the plan saved there by `plan -o`; hosts that have
    moved on since are refused (exit 7), the others go on.
    """
    from provisioner.cli import running
    from provisioner.cli.workspace import load, new_owner
    from provisioner.fleet import jobs

    running.check_asking(as_json=as_json, asks=not (yes or check))
    workspace = load(options)
    running.show_commit(workspace)
    owner = new_owner("apply", confirm_within)
    saved = _read(planfile) if planfile else None
    with workspace.logins() as logins:
        if saved:
            prune = saved.prune
            planned = _saved(saved, workspace)
            _tell(planned, as_json)
        else:
            who = None if check else owner.line
            planned = running.plan_hosts(
                workspace, logins, options, prune=prune, apply_as=who, as_json=as_json
            )
        if not as_json:
            running.show_plans(planned, full_diff=diff, window=confirm_within)
        plans = running.pending(planned)
        if check or not plans:
            context.exit(running.exit_code(planned))
        if not yes:
            running.ask("Apply to", len(plans))
        work = jobs.applying(
            workspace.desired,
            plans,
            owner,
            prune=prune,
            take_over=take_over,
            live_policy=live_policy,
            host_keys={h: entry.host_key for h, entry in saved.hosts.items()} if saved else {},
        )
        targets, wanted = workspace.only(list(plans)), workspace.desired
        applied = running.carry_out(
            "apply", targets, logins, options, owner, work, as_json, desired=wanted
        )
    rest = [outcome for outcome in planned if outcome.host not in plans]
    context.exit(running.exit_code([*rest, *applied]))


def _read(file: Path) -> SavedPlan:
    from provisioner.inventory.readfile import read_text
    from provisioner.planning import planfile

    return planfile.load(read_text(file), str(file))


def _tell(planned: Sequence[Outcome], as_json: bool) -> None:
    """What planning would have told on the way: the hosts whose saved plan is refused."""
    from provisioner.fleet.events import HostEnded, RunEnded, RunStarted
    from provisioner.report.console import print_error
    from provisioner.report.jsonlines import JsonLines

    if not as_json:
        for outcome in planned:
            if outcome.error:
                print_error(outcome.error)
        return
    listener = JsonLines()
    listener(RunStarted("plan", tuple(outcome.host for outcome in planned)))
    for outcome in planned:
        listener(HostEnded(outcome))
    listener(RunEnded())


def _saved(saved: SavedPlan, workspace: Workspace) -> list[Outcome]:
    """Saved plans as outcomes of planning: pending where the inventory still wants what it
    wanted, stale where it does not."""
    from provisioner.fleet.outcome import Outcome, Status
    from provisioner.planning import planfile

    planned: list[Outcome] = []
    for host, entry in saved.hosts.items():
        desired = workspace.desired.get(host)
        if desired is None and workspace.limited:
            continue
        found = planfile.opened(entry, desired) if desired else None
        if desired and found and desired.digest == found.plan.desired_digest:
            planned.append(Outcome(host, Status.PENDING, found.plan))
            continue
        cause = "wants something else by now" if desired else "has no such host any more"
        error = Stale(host, "plan", f"the inventory {cause}", help="plan again")
        planned.append(Outcome(host, Status.STALE, error=error))
    return planned
