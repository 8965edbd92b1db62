"""Options that several commands share; they mean what Ansible's users expect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

#: Seconds that a host waits for the confirmation of a change.
CONFIRM_WITHIN = 60

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Common:
    """What the shared options say."""

    sources: tuple[str, ...] = ()
    limit: str | None = None
    site: Path | None = None
    forks: int = 32
    become: bool = False
    ask_become_pass: bool = False
    user: str | None = None
    private_key: str | None = None
    verbose: int = 0
    vault_password_files: tuple[str, ...] = ()
    vault_ids: tuple[str, ...] = ()
    ask_vault_pass: bool = False


_INVENTORY = (
    click.option(
        "-i",
        "--inventory",
        "sources",
        multiple=True,
        metavar="INVENTORY",
        help="Inventory file, directory or host list; may be repeated.  "
        "[default: inventory/ beside the site file]",
    ),
    click.option("-l", "--limit", metavar="PATTERN", help="Only these hosts (Ansible's patterns)."),
    click.option(
        "--site",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Which hosts get which roles.  [default: site.yml here]",
    ),
)

#: How what ansible-vault has encrypted is opened.
VAULT = (
    click.option(
        "--vault-password-file",
        "vault_password_files",
        multiple=True,
        metavar="FILE",
        help="File with a vault password, or a program that prints it; may be repeated.  "
        "[default: ANSIBLE_VAULT_PASSWORD_FILE]",
    ),
    click.option(
        "--vault-id",
        "vault_ids",
        multiple=True,
        metavar="LABEL@SOURCE",
        help="The same with a label; SOURCE may also be prompt.",
    ),
    click.option("-J", "--ask-vault-pass", is_flag=True, help="Ask for the vault password."),
)


def vault_options(function: F) -> F:
    """Adds the options about vaults alone."""
    decorated: Any = function
    for option in reversed(VAULT):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


_CONNECTION = (
    click.option(
        "-f",
        "--forks",
        type=click.IntRange(1, 1000),
        default=32,
        show_default=True,
        help="Hosts at once.",
    ),
    click.option("-b", "--become", is_flag=True, help="Become root with sudo."),
    click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for sudo's password."),
    click.option("-u", "--user", metavar="USER", help="Log in as this user."),
    click.option("--private-key", metavar="FILE", help="Log in with this key."),
    click.option("-v", "--verbose", count=True, help="Show each host's steps."),
)


def confirm_within_option(function: F) -> F:
    """Adds the option about the guard."""
    decorated: Any = click.option(
        "--confirm-within",
        type=click.IntRange(10, 3600),
        metavar="SECONDS",
        default=CONFIRM_WITHIN,
        show_default=True,
        help="How long a host waits for the new login that confirms, before it undoes.",
    )(function)
    return decorated  # type: ignore[no-any-return]


def live_policy_option(function: F) -> F:
    """Adds the option about whom a rehearsal asks."""
    decorated: Any = click.option(
        "--live-policy",
        is_flag=True,
        help="Rehearsals ask policy services and milters themselves: they learn, as from mail.",
    )(function)
    return decorated  # type: ignore[no-any-return]


def common(function: F) -> F:
    """Adds the shared options; the function gets one `Common` as its first argument."""

    @wraps(function)
    def gathered(*arguments: Any, **options: Any) -> Any:
        names = Common.__dataclass_fields__
        shared = Common(**{name: options.pop(name) for name in names if name in options})
        return function(shared, *arguments, **options)

    decorated: Any = gathered
    for option in reversed((*_INVENTORY, *_CONNECTION, *VAULT)):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]
