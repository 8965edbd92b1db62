"""Lookup tables and a weekly script: the kind of role that a site brings itself."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.postfix.tables import Entry
from provisioner.roles import (
    Attributes,
    Contribution,
    File,
    FileState,
    HostContext,
    RoleOptions,
    Table,
)

MAPS = "/etc/postfix/maps"


class Options(RoleOptions):
    """What there is to be beside Postfix's own files."""

    access: dict[str, dict[str, str]] = {}
    """Access maps: what to do, by client or sender."""

    checks: dict[str, str] = {}
    """Content checks: patterns, as regexp_table(5) has them."""

    weekly: dict[str, str] = {}
    """Scripts for cron: files beside the site file, by the name to have there."""


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    ours = Attributes("root", "root", 0o755)
    yield File(host.origin(), MAPS, FileState.DIRECTORY, attributes=ours)
    for name, actions in options.access.items():
        entries = tuple(Entry(key, action) for key, action in actions.items())
        yield Table(host.origin("access", name), f"{MAPS}/{name}", entries=entries)
    for name, text in options.checks.items():
        yield Table(host.origin("checks", name), f"{MAPS}/{name}", "regexp", text=text)
    for name, file in options.weekly.items():
        content = host.file(file, "weekly", name)
        yield File(
            host.origin("weekly", name),
            f"/etc/cron.weekly/{name}",
            content=content,
            attributes=ours,
        )
