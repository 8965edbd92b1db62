"""The `provisioner` program: finds the command, turns errors into exit codes."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

import click

from provisioner import __version__
from provisioner.errors import ExitCode, ProvisionerError

#: Where each command lives and what it is for. Modules are imported when their command is
#: used, so that `--help` answers at once.
COMMANDS = {
    "plan": "Show what would change on each host.",
    "apply": "Make the hosts as the inventory says.",
    "rollback": "Take back what a run did.",
    "history": "Show what runs did to hosts.",
    "recover": "Finish what interrupted runs left.",
    "unlock": "End a run that holds a host.",
    "status": "Say which hosts have drifted.",
    "verify": "Hold the policy tests with each host's live policy.",
    "ask": "Ask hosts what they would do with a mail, and why.",
    "diff": "Show what a git revision changes, offline.",
    "inventory": "Show hosts, groups and variables.",
    "roles": "List the roles, or describe one.",
    "schema": "JSON Schema of your files, for editors.",
    "init": "Make a repository to start from.",
    "hosts": "Record host keys, check the way to hosts.",
    "lab": "Disposable real hosts on this machine.",
}


class Commands(click.Group):
    """A group that imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"provisioner.cli.{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - our own modules
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from provisioner.diagnostics import nearest

        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            near = nearest(name, COMMANDS)
            ctx.fail(f"there is no command {name!r}." + (f" Did you mean {near}?" if near else ""))
        return super().resolve_command(ctx, args)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="provisioner")
def cli() -> None:
    """Plan, prove and apply Postfix configuration on fleets of hosts over SSH."""


def _internal_error(error: Exception) -> int:
    """A fault of this program, in one line; the traceback on request."""
    import traceback

    from provisioner.secrets import masked

    if os.environ.get("PROVISIONER_TRACE"):
        traceback.print_exception(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.filename.rpartition('/')[2]}:{place.lineno}"
    cause = masked(f"{type(error).__name__}: {error}")
    click.echo(f"error: a fault of provisioner itself: {cause}", err=True)
    click.echo(
        f"  help: report it with the place ({where}); PROVISIONER_TRACE=1 shows more", err=True
    )
    return ExitCode.INTERNAL


def collect_seldom() -> None:
    """A run makes a lot and drops little of it: looking for garbage often is time lost."""
    gc.set_threshold(200_000, 20, 20)


def main() -> None:
    """Run the program; ends the process with one of the documented exit codes."""
    collect_seldom()
    # To look for plugins, pydantic reads the metadata of every installed distribution.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    code = run(sys.argv[1:])
    gc.freeze()  # the end looks for garbage once more, in all that is there
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        code = cli.main(arguments, prog_name="provisioner", standalone_mode=False)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except ProvisionerError as error:
        from provisioner.report.console import print_error

        print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001 - the last resort: a message, not a traceback
        return _internal_error(error)
    return int(code or 0)
