"""What plan, apply and status share: planning the hosts, and ending with the right code."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import click

from provisioner.cli.options import CONFIRM_WITHIN, Common
from provisioner.cli.workspace import Workspace, new_owner
from provisioner.errors import ExitCode, InputError, worst
from provisioner.fleet import jobs, pool
from provisioner.fleet.events import Listener
from provisioner.fleet.outcome import Outcome, Status
from provisioner.host.transaction import Owner
from provisioner.planning import planfile
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired
from provisioner.report import plantext
from provisioner.report.console import print_diagnostic, print_lines
from provisioner.report.jsonlines import JsonLines
from provisioner.report.outcomes import recap
from provisioner.report.progress import Progress
from provisioner.transport.base import Target


def plan_hosts(
    workspace: Workspace,
    logins: pool.Logins,
    options: Common,
    *,
    prune: bool = False,
    apply_as: str | None = None,
    quiet: bool = False,
    as_json: bool = False,
) -> list[Outcome]:
    """Plan every host in scope: one connection and one exec each."""
    with listening(options, quiet=quiet, as_json=as_json) as listener:
        return pool.run(
            "plan",
            workspace.targets,
            logins,
            jobs.planning(workspace.desired, prune=prune, apply_as=apply_as),
            forks=options.forks,
            listener=listener,
        )


def rehearse_hosts(
    workspace: Workspace,
    logins: pool.Logins,
    options: Common,
    *,
    desired: Mapping[str, Desired] | None = None,
    prune: bool = False,
    live_policy: bool = False,
    prove: bool = True,
    quiet: bool = False,
) -> list[Outcome]:
    """Plan every host in scope and rehearse its plan: one connection and two execs each.
    `desired` is other than the workspace's where other tests are held. What is wrong fails
    the host, but not where nothing is to be proven."""
    from provisioner.fleet import proving

    work = proving.rehearsing(
        desired or workspace.desired,
        new_owner("rehearsal"),
        prune=prune,
        live_policy=live_policy,
        prove=prove,
    )
    with listening(options, quiet=quiet or not prove) as listener:
        return pool.run(
            "rehearse", workspace.targets, logins, work, forks=options.forks, listener=listener
        )


def listening(
    options: Common, *, quiet: bool = False, as_json: bool = False
) -> AbstractContextManager[Listener]:
    """Who hears a run's events: JSON lines, or progress on standard error."""
    if as_json:
        return nullcontext(JsonLines())
    return Progress(verbose=bool(options.verbose), quiet=quiet)


def show_plans(
    outcomes: Sequence[Outcome], *, full_diff: bool, window: int = CONFIRM_WITHIN
) -> None:
    """The plans as text on standard output, errors of planning on standard error.

    `window` is for how many seconds hosts would wait for a confirmation.
    """
    # A plan that was proven wrong is shown all the same.
    found = {e.host: e.plan for e in outcomes if e.plan and (e.rehearsal or not e.error)}
    print_lines(plantext.plans(found, full_diff=full_diff))
    for outcome in outcomes:
        for error in outcome.plan.errors if outcome.plan else ():
            print_diagnostic(replace(error, message=f"{outcome.host}: {error.message}"))
    click.echo(plantext.summary(found.values()) if found else "No host could be planned.")
    if pending(outcomes):
        click.echo(
            f"A host undoes its change unless a new login confirms it within {window} s; later, "
            "take it back with: provisioner rollback HOST"
        )


def document(workspace: Workspace, outcomes: Sequence[Outcome]) -> str:
    """The one JSON document of `plan --json` and `status --json`."""
    hosts: dict[str, dict[str, object]] = {}
    for each in outcomes:
        entry: dict[str, object] = {"status": str(each.status), "seconds": round(each.seconds, 3)}
        if each.plan:
            entry |= planfile.document(each.plan)
        if each.rehearsal:
            from provisioner.report.verdictfiles import rehearsal_document

            entry["rehearsal"] = rehearsal_document(each, workspace.desired)
        if each.error:
            entry["error"] = planfile.error_document(each.error)
        hosts[each.host] = entry
    return headed(workspace, hosts)


def headed(workspace: Workspace, hosts: Mapping[str, object]) -> str:
    """A JSON document about hosts: its version, whose inventory it is, and they."""
    who = workspace.identity
    about = {"id": who.id, "commit": who.commit, "dirty": who.dirty}
    return json.dumps({"version": 1, "inventory": about, "hosts": hosts}, indent=2)


def show_verdicts(
    outcomes: Sequence[Outcome], desired: Mapping[str, Desired], *, every: bool = False
) -> None:
    """What the hosts' own Postfix said to their policy tests, on standard output."""
    from provisioner.report import verdicts

    held = list(verdicts.held(outcomes, desired))
    if every:
        print_lines(verdicts.each_test(held))
    print_lines(verdicts.failures(held))
    print_lines(verdicts.findings(outcomes))
    asked = sum(each.rehearsal is not None for each in outcomes)
    print_lines([verdicts.summary(held, asked)])


def exit_code(outcomes: Sequence[Outcome]) -> ExitCode:
    return worst(outcome.exit_code for outcome in outcomes)


def show_commit(workspace: Workspace) -> None:
    """Which revision of the inventory this is, where it is under git."""
    who = workspace.identity
    if who.commit:
        dirty = ", with uncommitted changes" if who.dirty else ""
        click.echo(f"inventory at commit {who.commit[:12]}{dirty}", err=True)


def check_asking(*, as_json: bool, asks: bool) -> None:
    """Raises `InputError` where a question would stand in the middle of JSON."""
    if as_json and asks:
        raise InputError("--json leaves nobody to ask", help="add -y, or -C to change nothing")


def pending(planned: Sequence[Outcome]) -> dict[str, HostPlan]:
    """The plans that have something to do."""
    return {each.host: each.plan for each in planned if each.plan and each.status is Status.PENDING}


def ask(what: str, count: int) -> None:
    """`Apply to these 3 hosts?` Ends the program with 0 where the answer is no."""
    if not sys.stdin.isatty():
        raise InputError(
            "there is nobody to ask: standard input is not a terminal",
            help="say -y to go on without asking",
        )
    hosts = "this host" if count == 1 else f"these {count} hosts"
    if not click.confirm(f"{what} {hosts}?", err=True):
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(ExitCode.OK)


def carry_out(
    verb: str,
    targets: Sequence[Target],
    logins: pool.Logins,
    options: Common,
    owner: Owner,
    work: pool.Work,
    as_json: bool = False,
    desired: Mapping[str, Desired] | None = None,
) -> list[Outcome]:
    """Run `work` on the targets and say how it ended. Ends the program on Ctrl-C. `desired`
    has the tests that a refused change was proven wrong by."""
    outcomes: list[Outcome] = []
    interrupted = False
    with listening(options, as_json=as_json) as listener:
        try:
            outcomes = pool.run(
                verb,
                targets,
                logins,
                work,
                forks=options.forks,
                listener=listener,
                run_id=owner.run,
            )
        except pool.Interrupted as stopped:
            outcomes, interrupted = stopped.outcomes, True
    if not as_json:
        if desired and any(each.rehearsal for each in outcomes):
            show_verdicts(outcomes, desired)
        recap(outcomes, run=owner.run, unfinished=len(targets) - len(outcomes))
    if interrupted:
        raise click.exceptions.Exit(ExitCode.INTERRUPTED)
    return outcomes
