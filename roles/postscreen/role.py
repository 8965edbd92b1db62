"""postscreen in front of port 25: most bots never reach an smtpd (POSTSCREEN_README)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, SecretStr

from provisioner.postfix import access, dnsbl, tables
from provisioner.postfix.master_cf import Service
from provisioner.roles import (
    HOST_CHROOT,
    Attributes,
    Contribution,
    Entry,
    File,
    FileState,
    HostContext,
    MasterService,
    Parameter,
    RoleOptions,
    Table,
)

Action = Literal["enforce", "drop", "ignore"]


class Site(RoleOptions):
    """One list, and how much it weighs."""

    zone: str
    """The list's zone, without the key."""

    filter: str | None = None
    """The answers that count (`127.0.0.[2..11]`); known lists have theirs."""

    weight: int = 1
    """What an answer adds to a client's score; negative for allow lists."""

    key: SecretStr | None = None
    """A subscriber's private key. It is never shown, and replies name the list without it."""


class Options(RoleOptions):
    """Port 25 is answered by postscreen, which hands clients that pass to smtpd. Your own
    users must not use port 25 then: give them `submission`."""

    sites: list[Site] = []
    """DNS lists (`postscreen_dnsbl_sites`); lists with a weight of their own."""

    threshold: int = Field(default=1, ge=1)
    """The score from which a client is refused."""

    allow_threshold: int | None = Field(default=None, le=-1)
    """The (negative) score at which a client passes without further tests."""

    dnsbl: Action = "enforce"
    """What happens to a client over the threshold: `enforce` lets it say who it is and refuses
    (550, and the log knows the sender), `drop` hangs up, `ignore` logs: the trial."""

    greet: Action = "enforce"
    """The same for clients that talk before the greeting."""

    denied: Action = "enforce"
    """The same for clients that `access` rejects."""

    greet_wait: int | None = Field(default=None, ge=1)
    """Seconds a new client waits for the greeting; not set: Postfix' own (6)."""

    access: dict[str, Literal["permit", "reject", "dunno"]] = {}
    """Networks and addresses that pass without tests, or do not pass at all; own networks
    always pass."""

    directory: str = "/etc/postfix/maps"
    """Where the tables live."""

    smtpd_options: dict[str, str] = {}
    """main.cf parameters for the smtpd behind it alone (`-o` on `smtpd pass`). What stands on
    `smtp inet` today has to be given here: it is replaced."""


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    yield from _services(options, host)
    yield from _access(options, host)
    keyed: dict[str, str] = {}
    words = [_site(each, index, keyed, host) for index, each in enumerate(options.sites)]
    hidden = tuple(dnsbl.key_pattern(each.zone) for each in options.sites if each.key is not None)
    yield Parameter(
        host.origin("sites"),
        "postscreen_dnsbl_sites",
        ", ".join(words),
        fold=True,
        hidden=hidden,
    )
    settings: dict[str, object] = {
        "threshold": options.threshold,
        "dnsbl": options.dnsbl,
        "greet": options.greet,
        "denied": options.denied,
    }
    names = {
        "threshold": "postscreen_dnsbl_threshold",
        "dnsbl": "postscreen_dnsbl_action",
        "greet": "postscreen_greet_action",
        "denied": "postscreen_blacklist_action",
    }
    if options.allow_threshold is not None:
        settings["allow_threshold"] = options.allow_threshold
        # The name from before 3.6, which every version understands.
        names["allow_threshold"] = "postscreen_dnsbl_whitelist_threshold"
    if options.greet_wait is not None:
        settings["greet_wait"] = f"{options.greet_wait}s"
        names["greet_wait"] = "postscreen_greet_wait"
    for option, value in settings.items():
        yield Parameter(host.origin(option), names[option], str(value))
    if keyed:
        yield from _replies(options, keyed, host)


def _services(options: Options, host: HostContext) -> Iterator[Contribution]:
    origin = host.origin()
    for name, kind, command, private, maxproc in (
        ("smtp", "inet", "postscreen", "n", "1"),
        ("smtpd", "pass", "smtpd", "-", "-"),
        ("dnsblog", "unix", "dnsblog", "-", "0"),
        ("tlsproxy", "unix", "tlsproxy", "-", "0"),
    ):
        further = tuple(options.smtpd_options.items()) if kind == "pass" else ()
        yield MasterService(
            origin,
            name,
            kind,
            Service(
                name,
                kind,
                private=private,
                chroot=HOST_CHROOT,
                maxproc=maxproc,
                command=command,
                options=further,
            ),
        )


def _access(options: Options, host: HostContext) -> Iterator[Contribution]:
    lists = ["permit_mynetworks"]
    if options.access:
        for network in options.access:
            fault, advice = access.key_fault(network, "cidr", "client")
            if fault:
                raise host.error(fault, "access", network, help=advice)
        path = f"{options.directory}/postscreen_access"
        lines = "".join(f"{network} {action}\n" for network, action in options.access.items())
        origin = host.origin("access")
        yield _directory(options, host)
        yield Table(origin, path, "cidr", text=f"{tables.HEADER}\n{lines}")
        lists.append(f"cidr:{path}")
    yield Parameter(host.origin("access"), "postscreen_access_list", ", ".join(lists), fold=True)


def _site(given: Site, index: int, keyed: dict[str, str], host: HostContext) -> str:
    path = ("sites", index)
    zone = given.zone.rstrip(".").lower()
    gone = dnsbl.dead(zone)
    if gone:
        raise host.error(
            f"{zone} is dead since {gone.since}: {gone.what}",
            *path,
            help=f"use {gone.instead}" if gone.instead else "take it out",
        )
    about = dnsbl.known(zone)
    chosen = given.filter or (about.filter if about else None)
    if chosen is None:
        raise host.error(
            f"the answers of {zone} are not known here, and without a filter any answer counts",
            *path,
            help=f"look them up at the list's site and write {{zone: {zone}, filter: 127.0.0.2}}",
        )
    fault = dnsbl.name_fault(zone) or dnsbl.filter_fault(chosen)
    key = given.key.get_secret_value() if given.key is not None else ""
    if about and about.key and given.key is None:
        fault = f"{zone} needs the subscriber's key"
    if given.key is not None:
        fault = fault or dnsbl.key_fault(key)
        keyed[f"{key}.{zone}".lower()] = zone
    if fault:
        raise host.error(fault, *path)
    asked = f"{key}.{zone}" if key else zone
    return f"{asked}={chosen}*{given.weight}"


def _replies(options: Options, keyed: dict[str, str], host: HostContext) -> Iterator[Contribution]:
    """What is told in place of a name with a key (postscreen_dnsbl_reply_map)."""
    path = f"{options.directory}/postscreen_reply"
    yield _directory(options, host)
    yield Table(
        host.origin("sites"),
        path,
        "texthash",
        tuple(Entry(name, zone) for name, zone in keyed.items()),
        attributes=Attributes("root", "root", 0o600),
        secret=True,
    )
    yield Parameter(host.origin("sites"), "postscreen_dnsbl_reply_map", f"texthash:{path}")


def _directory(options: Options, host: HostContext) -> File:
    return File(
        host.origin("directory"),
        options.directory,
        FileState.DIRECTORY,
        attributes=Attributes("root", "root", 0o755),
    )
