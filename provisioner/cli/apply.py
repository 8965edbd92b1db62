"""`provisioner apply`: make the hosts as the inventory says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioner.cli.options import Common, common
from provisioner.errors import ExitCode, InputError, Stale

if TYPE_CHECKING:
    from provisioner.cli.workspace import Workspace
    from provisioner.fleet.outcome import Outcome
    from provisioner.fleet.pool import Logins, Work
    from provisioner.host.transaction import Owner
    from provisioner.planning.plan import HostPlan
    from provisioner.planning.planfile import SavedPlan
    from provisioner.transport.base import Target


@click.command()
@click.argument(
    "planfile", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-C", "--check", is_flag=True, help="Only say what would change (as `plan`).")
@click.option("-D", "--diff", is_flag=True, help="Show differences of files in full.")
@click.option("--prune", is_flag=True, help="Also put back what no role declares any more.")
@click.option("--take-over", is_flag=True, help="Manage hosts that another inventory manages.")
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
) -> None:
    """Make the hosts as the inventory says, after showing the plan and asking.

    With PLANFILE, carries out exactly the plan saved there by `plan -o`; hosts that have
    moved on since are refused (exit 7), the others go on.
    """
    from provisioner.cli import running
    from provisioner.cli.workspace import load
    from provisioner.fleet import jobs

    workspace = load(options)
    running.show_commit(workspace)
    host_keys: dict[str, str] = {}
    with workspace.logins() as logins:
        if planfile:
            saved = _read(planfile)
            plans, outcomes = _saved(saved, workspace)
            prune = saved.prune
            host_keys = {host: entry.host_key for host, entry in saved.hosts.items()}
        else:
            outcomes = running.plan_hosts(workspace, logins, options, prune=prune, keep=not check)
            plans = {e.host: e.plan for e in outcomes if e.plan and not e.error}
        _show(plans, outcomes, diff)
        busy = {host: found for host, found in plans.items() if not found.empty}
        if check or not busy:
            context.exit(running.exit_code(outcomes))
        if not yes:
            _ask(len(busy))
        work = partial(
            jobs.applying, workspace.desired, busy, prune=prune, take_over=take_over, host_keys=host_keys
        )
        ended = _carry_out(workspace.only(list(busy)), logins, options, work)
    context.exit(running.exit_code([*(e for e in outcomes if e.host not in busy), *ended]))


def _show(plans: Mapping[str, HostPlan], outcomes: Sequence[Outcome], diff: bool) -> None:
    from provisioner.cli import running
    from provisioner.report import plantext
    from provisioner.report.console import print_lines

    if outcomes:
        running.show_plans(outcomes, full_diff=diff)
    else:
        print_lines(plantext.plans(plans, full_diff=diff))
        click.echo(plantext.summary(plans.values()))


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        raise InputError(
            "there is nobody to ask: standard input is not a terminal",
            help="say -y to apply without asking",
        )
    hosts = "this host" if count == 1 else f"these {count} hosts"
    if not click.confirm(f"Apply to {hosts}?", err=True):
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(ExitCode.OK)


def _carry_out(
    targets: Sequence[Target], logins: Logins, options: Common, make_work: Callable[[Owner], Work]
) -> list[Outcome]:
    from provisioner.cli.workspace import new_owner
    from provisioner.fleet import pool
    from provisioner.report.outcomes import recap
    from provisioner.report.progress import Progress

    owner = new_owner("apply")
    with Progress(verbose=bool(options.verbose)) as progress:
        try:
            ended = pool.run(
                "apply",
                targets,
                logins,
                make_work(owner),
                forks=options.forks,
                listener=progress,
                run_id=owner.run,
            )
        except pool.Interrupted as stopped:
            unfinished = len(targets) - len(stopped.outcomes)
            recap(stopped.outcomes, run=owner.run, unfinished=unfinished)
            raise click.exceptions.Exit(ExitCode.INTERRUPTED) from stopped
    recap(ended, run=owner.run)
    return ended


def _read(file: Path) -> SavedPlan:
    from provisioner.planning import planfile

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as a saved plan: {error}") from error
    return planfile.load(text, str(file))


def _saved(
    saved: SavedPlan, workspace: Workspace
) -> tuple[dict[str, HostPlan], list[Outcome]]:
    """The saved plans that still want what the inventory wants, and the others as stale."""
    from provisioner.fleet.outcome import Outcome, Status

    plans: dict[str, HostPlan] = {}
    stale: list[Outcome] = []
    for host, entry in saved.hosts.items():
        desired = workspace.desired.get(host)
        if desired is None and workspace.limited:
            continue
        if desired is not None and desired.digest == entry.plan.desired_digest:
            plans[host] = entry.plan
            continue
        cause = "wants something else by now" if desired else "has no such host any more"
        error = Stale(host, "plan", f"the inventory {cause}", help="plan again")
        stale.append(Outcome(host, Status.STALE, error=error))
    return plans, stale
