"""`provisioner status`: which hosts have drifted from what the inventory says."""

from __future__ import annotations

import click

from provisioner.cli.options import Common, common


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@common
@click.pass_context
def status(context: click.Context, options: Common, as_json: bool) -> None:
    """Say which hosts have drifted: a line a host. Changes nothing.

    Ends with 0 when every host is as desired, with 2 when one is not.
    """
    from provisioner.cli import running
    from provisioner.cli.workspace import load
    from provisioner.report.console import print_lines
    from provisioner.report.outcomes import status_lines

    workspace = load(options)
    with workspace.logins() as logins:
        outcomes = running.plan_hosts(workspace, logins, options, quiet=True)
    if as_json:
        click.echo(running.document(workspace, outcomes))
    else:
        print_lines(status_lines(outcomes))
    context.exit(running.exit_code(outcomes))
