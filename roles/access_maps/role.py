"""Access maps: refuse or accept clients, HELO names, senders and recipients by table."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.roles import (
    CLIENT,
    HELO,
    RECIPIENT,
    SENDER,
    Attributes,
    Contribution,
    Entry,
    File,
    FileState,
    HostContext,
    Mode,
    RestrictionEntry,
    RoleOptions,
    Stage,
    Table,
)


class MapOptions(RoleOptions):
    """One access table."""

    mode: Mode = Mode.ENFORCE
    """`trial` logs what the table would refuse; an OK in it still accepts."""

    type: str = "indexed"
    """`indexed` becomes what the host supports and prefers; cidr, regexp and pcre take `text`."""

    entries: dict[str, str] = {}
    """Key (address, domain, network, host name) and action (REJECT, OK, DUNNO, …), access(5)."""

    text: str | None = None
    """The whole source of a cidr, regexp or pcre table."""


class Options(RoleOptions):
    """Four tables, each asked in its stage after the relay guard."""

    directory: str = "/etc/postfix/maps"
    """Where the tables live."""

    client: MapOptions | None = None
    """By client address or name (`check_client_access`)."""

    helo: MapOptions | None = None
    """By HELO name (`check_helo_access`)."""

    sender: MapOptions | None = None
    """By envelope sender (`check_sender_access`)."""

    recipient: MapOptions | None = None
    """By envelope recipient (`check_recipient_access`)."""


STAGES = {"client": CLIENT, "helo": HELO, "sender": SENDER, "recipient": RECIPIENT}


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    wanted = {stage: getattr(options, stage) for stage in STAGES}
    if any(wanted.values()):
        yield File(
            host.origin("directory"),
            options.directory,
            FileState.DIRECTORY,
            attributes=Attributes("root", "root", 0o755),
        )
    for stage, table in wanted.items():
        if table is None or table.mode is Mode.DISABLED:
            continue
        if table.text is not None and table.entries:
            raise host.error("give either entries or text", stage)
        for key, action in table.entries.items():
            _check_entry(key, action, host, stage)
        path = f"{options.directory}/access_{stage}"
        yield Table(
            host.origin(stage),
            path,
            table.type,
            tuple(Entry(key, " ".join(value.split())) for key, value in table.entries.items()),
            table.text,
        )
        yield RestrictionEntry(
            host.origin(stage),
            Stage.LOCAL_TABLES,
            (STAGES[stage],),
            f"check_{stage}_access {table.type}:{path}",
            table.mode,
        )


def _check_entry(key: str, action: str, host: HostContext, stage: str) -> None:
    """What access(5) reads otherwise than its author means."""
    where = (stage, "entries", key)
    if action.strip().isdigit():
        raise host.error(
            f"{key}: the action {action!r} would *accept* (a bare number does)",
            *where,
            help=f"write '{action} some text', or REJECT",
        )
    if key.startswith("."):
        raise host.error(
            f"{key}: a key with a leading dot never matches in an access table",
            *where,
            help=f"write {key[1:]}: it covers the subdomains too",
        )
