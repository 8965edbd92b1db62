"""What it takes to make a change effective: nothing, a reload, or stop and start.

Rests on master(8), postconf(5) ("you need to stop and start Postfix when this parameter
changes"), MAILLOG_README and DATABASE_README ("When are changes visible?").
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from provisioner.postfix import macros
from provisioner.postfix.master_cf import Service, same_service
from provisioner.postfix.tables import COMPILED
from provisioner.postfix.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Activation(IntEnum):
    """Ordered: what is needed for several changes is the largest of them."""

    NONE = 0
    RELOAD = 1
    RESTART = 2

    def __str__(self) -> str:
        return self.name.lower()


#: Parameters that the running master keeps from its start, and why.
RESTART_ONLY = {
    "config_directory": "master(8) ignores a new value on reload",
    "data_directory": "master(8) holds its lock in the old one",
    "import_environment": "master(8) cleans its environment once, when it starts",
    "inet_interfaces": "listening sockets cannot be closed and reopened by reload",
    "inet_protocols": "listening sockets cannot be closed and reopened by reload",
    "mail_owner": "sockets and queue files keep their owner until start",
    "maillog_file": "postlogd(8) and its clients switch logs only at start",
    "queue_directory": "master(8) ignores a new value on reload",
    "setgid_group": "sockets and queue files keep their group until start",
}

#: Parameters that only commands read, each time they run.
COMMANDS_ONLY = frozenset(
    {
        "authorized_flush_users",
        "authorized_mailq_users",
        "authorized_submit_users",
        "html_directory",
        "mailq_path",
        "manpage_directory",
        "newaliases_path",
        "readme_directory",
        "sample_directory",
        "sendmail_path",
    }
)

#: Defaults of parameters where a needless restart would follow from writing them out.
_DEFAULTS = {"inet_interfaces": "all", "inet_protocols": "all", "maillog_file": ""}


def combine(needed: Iterable[Activation]) -> Activation:
    """The one action that makes all of these changes effective."""
    return max(needed, default=Activation.NONE)


def for_parameter(
    name: str, before: str | None, after: str | None, version: Version
) -> tuple[Activation, str]:
    """What a change of `name` needs, and why. None stands for "not set in main.cf"."""
    default = _default(name, version)
    if (default if before is None else before) == (default if after is None else after):
        return Activation.NONE, f"{name} keeps its value"
    if name in RESTART_ONLY:
        return Activation.RESTART, f"{name}: {RESTART_ONLY[name]}"
    if name in COMMANDS_ONLY:
        return Activation.NONE, f"{name} is read by commands only, each time they run"
    return Activation.RELOAD, f"{name}: running processes keep what they read at their start"


def _default(name: str, version: Version) -> str | None:
    """The default of `name` where that version's is known and plain."""
    if name == "inet_protocols" and version < Version(2, 9):
        return "ipv4"
    return _DEFAULTS.get(name)


def for_settings(
    before: Mapping[str, str], after: Mapping[str, str], version: Version
) -> list[tuple[str, Activation, str]]:
    """What the step from one set of main.cf settings to another needs, parameter by parameter.

    Sees what `for_parameter` cannot: `inet_interfaces = $myhostname` changes with
    myhostname, and does not when it comes to name that host itself. Parameters that stay
    the same, as written and as expanded, are not listed.
    """
    needed = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if name in RESTART_ONLY:
            was, will_be = _expanded(old, before), _expanded(new, after)
            if (old, was) != (new, will_be):
                needed.append((name, *for_parameter(name, was, will_be, version)))
        elif old != new:
            needed.append((name, *for_parameter(name, old, new, version)))
    return needed


def _expanded(value: str | None, settings: Mapping[str, str]) -> str | None:
    try:
        return None if value is None else macros.expand(value, settings.get)
    except ValueError:
        return value


def for_service_change(before: Service | None, after: Service | None) -> tuple[Activation, str]:
    """What adding (before is None), removing (after is None) or changing a service needs."""
    if before is not None and after is not None:
        label = f"{after.name}/{after.type}"
        if same_service(before, after):
            return Activation.NONE, f"{label} is the same service"
        return Activation.RELOAD, f"{label}: master(8) reads master.cf on reload"
    if after is not None:
        return Activation.RELOAD, f"{after.name}/{after.type} starts to listen on reload"
    if before is not None:
        label = f"{before.name}/{before.type}"
        return Activation.RELOAD, f"{label} ends on reload, with the sessions it has"
    return Activation.NONE, "no service"


def for_table(type: str, *, was_missing: bool = False) -> tuple[Activation, str]:  # noqa: A002
    """What a table with new content needs.

    `was_missing`: its compiled form did not exist. A process that met it so keeps
    answering with an error until it ends.
    """
    if type in COMPILED:
        if was_missing:
            return Activation.RELOAD, "processes that found no compiled table keep failing"
        return Activation.NONE, f"{type} tables are reopened by the processes that use them"
    return Activation.RELOAD, f"{type} tables are read once, when a process starts"
