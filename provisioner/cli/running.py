"""What plan, apply and status share: planning the hosts, and ending with the right code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import click

from provisioner.cli.options import Common
from provisioner.cli.workspace import Workspace
from provisioner.errors import ExitCode, worst
from provisioner.fleet import jobs, pool
from provisioner.fleet.events import Listener
from provisioner.fleet.outcome import Outcome
from provisioner.planning import planfile
from provisioner.report import plantext
from provisioner.report.console import print_diagnostic, print_lines
from provisioner.report.jsonlines import JsonLines
from provisioner.report.progress import Progress


def plan_hosts(
    workspace: Workspace,
    logins: pool.Logins,
    options: Common,
    *,
    prune: bool = False,
    keep: bool = False,
    quiet: bool = False,
    as_json: bool = False,
) -> list[Outcome]:
    """Plan every host in scope: one connection and one exec each."""
    with listening(options, quiet=quiet, as_json=as_json) as listener:
        return pool.run(
            "plan",
            workspace.targets,
            logins,
            jobs.planning(workspace.desired, prune=prune, keep=keep),
            forks=options.forks,
            listener=listener,
        )


def listening(
    options: Common, *, quiet: bool = False, as_json: bool = False
) -> AbstractContextManager[Listener]:
    """Who hears a run's events: JSON lines, or progress on standard error."""
    if as_json:
        return nullcontext(JsonLines())
    return Progress(verbose=bool(options.verbose), quiet=quiet)


def show_plans(outcomes: Sequence[Outcome], *, full_diff: bool) -> None:
    """The plans as text on standard output, errors of planning on standard error."""
    found = {each.host: each.plan for each in outcomes if each.plan and not each.error}
    print_lines(plantext.plans(found, full_diff=full_diff))
    for outcome in outcomes:
        for error in outcome.plan.errors if outcome.plan else ():
            print_diagnostic(replace(error, message=f"{outcome.host}: {error.message}"))
    click.echo(plantext.summary(found.values()) if found else "No host could be planned.")


def document(workspace: Workspace, outcomes: Sequence[Outcome]) -> str:
    """The one JSON document of `plan --json` and `status --json`."""
    hosts = {}
    for each in outcomes:
        entry: dict[str, object] = {"status": str(each.status), "seconds": round(each.seconds, 3)}
        if each.plan:
            entry |= planfile.document(each.plan)
        if each.error:
            entry["error"] = planfile.error_document(each.error)
        hosts[each.host] = entry
    who = workspace.identity
    about = {"id": who.id, "commit": who.commit, "dirty": who.dirty}
    return json.dumps({"version": 1, "inventory": about, "hosts": hosts}, indent=2)


def exit_code(outcomes: Sequence[Outcome]) -> ExitCode:
    return worst(outcome.exit_code for outcome in outcomes)


def show_commit(workspace: Workspace) -> None:
    """Which revision of the inventory this is, where it is under git."""
    who = workspace.identity
    if who.commit:
        dirty = ", with uncommitted changes" if who.dirty else ""
        click.echo(f"inventory at commit {who.commit[:12]}{dirty}", err=True)
