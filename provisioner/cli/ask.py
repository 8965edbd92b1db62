"""`provisioner ask`: what hosts would do with a mail, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from provisioner.cli.options import Common, common, live_policy_option

if TYPE_CHECKING:
    from provisioner.fleet.outcome import Outcome
    from provisioner.planning.planner import Desired
    from provisioner.policy.conversation import PolicyTest
    from provisioner.policy.options import TestOptions


@click.command()
@click.argument("hosts", metavar="HOST|PATTERN")
@click.option(
    "--client", metavar="ADDRESS", help="The client's IP address.  [default: a stranger's]"
)
@click.option(
    "--name", metavar="NAME", help="Its verified name; '' for none.  [default: looked up there]"
)
@click.option("--reverse-name", metavar="NAME", help="The name of its PTR record; '' for none.")
@click.option("--helo", metavar="NAME", help="What it says in HELO.  [default: a name]")
@click.option("--from", "sender", metavar="ADDRESS", help="The envelope sender; '' for a bounce's.")
@click.option(
    "--to",
    "recipients",
    multiple=True,
    metavar="ADDRESS",
    help="The envelope recipient; may be repeated.  [default: the host's postmaster]",
)
@click.option("--service", default="smtp", show_default=True, help="A service or port.")
@click.option("--login", metavar="USER", help="The user who has logged in.")
@click.option("--tls/--no-tls", default=None, help="Whether it speaks TLS.")
@click.option("--subject", metavar="TEXT", help="Send a whole message with this subject.")
@click.option("--header", "headers", multiple=True, metavar="NAME: TEXT", help="A header of it.")
@click.option("--body", metavar="TEXT", help="The text of it.")
@click.option("--planned", is_flag=True, help="Ask the policy as planned, not as it is.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@live_policy_option
@common
@click.pass_context
def ask(
    context: click.Context,
    /,
    options: Common,
    hosts: str,
    planned: bool,
    as_json: bool,
    live_policy: bool,
    **said: Any,
) -> None:
    """Ask each host's own Postfix what it would do with a mail, and why. Changes nothing.

    A throw-away Postfix on the host, with a copy of the live files (or with the planned
    ones), is talked to; the mail goes nowhere.
    """
    from provisioner.cli import running
    from provisioner.cli.workspace import load
    from provisioner.fleet import pool, proving
    from provisioner.report import answers
    from provisioner.report.console import print_lines

    options = replace(options, limit=f"{hosts}:&{options.limit}" if options.limit else hosts)
    question = _question(said)
    workspace = load(options)
    desired = {
        name: replace(wanted, tests=(_asked(question, wanted),))
        for name, wanted in workspace.desired.items()
    }
    with workspace.logins() as logins:
        if planned:
            outcomes: Sequence[Outcome] = running.rehearse_hosts(
                workspace, logins, options, desired=desired, live_policy=live_policy, prove=False
            )
        else:
            with running.listening(options, quiet=True) as listener:
                outcomes = pool.run(
                    "ask",
                    workspace.targets,
                    logins,
                    proving.verifying(desired, live_policy=live_policy),
                    forks=options.forks,
                    listener=listener,
                )
    found = answers.answers(outcomes, desired)
    if as_json:
        click.echo(running.headed(workspace, answers.documents(outcomes, found)))
    else:
        print_lines(answers.lines(found, outcomes))
    context.exit(answers.exit_code(outcomes, found))


def _question(said: Mapping[str, Any]) -> TestOptions:
    """What is asked, checked as a policy test is. Raises `InputError`."""
    from provisioner.errors import InputError
    from provisioner.policy.options import TestOptions
    from provisioner.roles.options import validate

    headers = {}
    for each in said["headers"]:
        name, colon, text = each.partition(":")
        if not colon:
            raise InputError(f"--header {each!r} is none", help='write --header "Name: text"')
        headers[name.strip()] = text.strip()
    if said["subject"] is not None:
        headers["Subject"] = said["subject"]
    client = {
        "address": said["client"],
        "name": said["name"],
        "reverse_name": said["reverse_name"],
        "login": said["login"],
        "tls": said["tls"],
    }
    given = {
        "name": "the mail",
        "client": {key: value for key, value in client.items() if value is not None},
        "helo": said["helo"],
        "from": said["sender"],
        "to": list(said["recipients"]) or None,
        "service": said["service"],
        "headers": headers,
        "body": said["body"],
        "skip": "a question expects nothing",
    }
    source = {key: value for key, value in given.items() if value is not None}
    options, wrong = validate(TestOptions, source, "ask")
    if options is None:
        raise InputError.of(wrong)
    return options


def _asked(question: TestOptions, wanted: Desired) -> PolicyTest:
    """The question as it is put to one host."""
    from provisioner.policy.options import ClientOptions, test_of
    from provisioner.policy.strangers import surroundings
    from provisioner.resources.base import Origin

    test = test_of(question, Origin("", "asked"), surroundings(wanted.host, wanted.resources))
    who = question.client
    talk = test.conversation
    if isinstance(who, ClientOptions) and who.address and who.name is who.reverse_name is None:
        # A real client: the host finds out what it is called.
        talk = replace(talk, client=replace(talk.client, name=None, reverse_name=None))
    return replace(test, conversation=talk, skip="")
