"""`provisioner diff`: what a commit changes of what is desired, without asking any host."""

from __future__ import annotations

import json

import click

from provisioner.cli.options import Common, common
from provisioner.errors import ExitCode


@click.command()
@click.argument("old", metavar="REV")
@click.argument("new", metavar="[REV]", required=False)
@click.option("-D", "--diff", "full", is_flag=True, help="Show differences of files in full.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("--exit-zero", is_flag=True, help="End with 0 though there are differences.")
@common
@click.pass_context
def diff(
    context: click.Context,
    options: Common,
    old: str,
    new: str | None,
    full: bool,
    as_json: bool,
    exit_zero: bool,
) -> None:
    """Show how the desired state of the hosts differs between two git revisions.

    With one REV, between it and the files as they are here. No host is contacted and no
    secret is opened: a secret differs where what is written differs. Ends with 0 when
    nothing differs, with 2 when something does.
    """
    from provisioner.cli import snapshots
    from provisioner.planning.differences import between
    from provisioner.planning.planfile import changes_document
    from provisioner.report.console import print_lines
    from provisioner.report.difftext import differences
    from provisioner.report.plantext import counted

    before = snapshots.at(options, old)
    after = snapshots.at(options, new) if new else snapshots.now(options)
    found = {
        host: changes
        for host in dict.fromkeys((*after, *before))
        if (changes := between(before.get(host), after.get(host)))
    }
    if as_json:
        hosts = {host: {"changes": changes_document(changes)} for host, changes in found.items()}
        document = {"version": 1, "from": old, "to": new, "hosts": hosts}
        click.echo(json.dumps(document, indent=2))
    else:
        print_lines(differences(found, full_diff=full))
        same = len(after.keys() | before.keys()) - len(found)
        differ, do = "differs" if len(found) == 1 else "differ", "does" if same == 1 else "do"
        click.echo(f"{counted(len(found))} {differ}, {same} {do} not.")
    context.exit(ExitCode.PENDING if found and not exit_zero else ExitCode.OK)
