"""`provisioner verify`: all policy tests against the live policy of the hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioner.cli.options import Common, common, live_policy_option
from provisioner.diagnostics import nearest
from provisioner.errors import InputError

if TYPE_CHECKING:
    from provisioner.planning.planner import Desired


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the results there as JUnit XML, for CI systems.",
)
@click.option("-t", "--test", "names", multiple=True, metavar="NAME", help="Only this test.")
@click.option("--list", "listed", is_flag=True, help="List the tests; contact no host.")
@live_policy_option
@common
@click.pass_context
def verify(
    context: click.Context,
    options: Common,
    as_json: bool,
    junit: Path | None,
    names: tuple[str, ...],
    listed: bool,
    live_policy: bool,
) -> None:
    """Hold all policy tests with a copy of each host's live configuration. Changes nothing.

    Ends with 0 when all pass, with 2 when one fails.
    """
    from provisioner.cli import running
    from provisioner.cli.workspace import load
    from provisioner.fleet import pool, proving
    from provisioner.report import verdictfiles, verdicts
    from provisioner.report.console import print_lines

    workspace = load(options)
    desired = _chosen(workspace.desired, names)
    if listed:
        print_lines(verdicts.listing(desired))
        return
    with (
        workspace.logins() as logins,
        running.listening(options, quiet=as_json) as listener,
    ):
        outcomes = pool.run(
            "verify",
            workspace.only(list(desired)),
            logins,
            proving.verifying(desired, live_policy=live_policy),
            forks=options.forks,
            listener=listener,
        )
    if junit:
        _write(junit, verdictfiles.junit(outcomes, desired))
    if as_json:
        click.echo(running.headed(workspace, verdictfiles.documents(outcomes, desired)))
    else:
        running.show_verdicts(outcomes, desired, every=bool(options.verbose))
    context.exit(running.exit_code(outcomes))


def _chosen(desired: Mapping[str, Desired], names: tuple[str, ...]) -> dict[str, Desired]:
    """The hosts that have the tests of these names, with no others; all without names."""
    known = {test.name for wanted in desired.values() for test in wanted.tests}
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise InputError(
                f'there is no policy test called "{name}"',
                help=f'did you mean "{near}"?' if near else "--list names all of them",
            )
    found = {}
    for host, wanted in desired.items():
        tests = tuple(test for test in wanted.tests if not names or test.name in names)
        if tests or not names:
            found[host] = replace(wanted, tests=tests)
    return found


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from error
