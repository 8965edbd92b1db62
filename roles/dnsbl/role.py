"""DNS lists: refuse clients and domains that stand on them, with filters and private keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pydantic import Field, SecretStr

from provisioner.postfix import dnsbl
from provisioner.postfix.dnsbl import Lists
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
    Parameter,
    RestrictionEntry,
    RoleOptions,
    Stage,
    Table,
)

#: Days after which a list that is still on trial is mentioned.
LONG_TRIAL = 60

Check = Literal["client", "reverse_client", "helo", "sender", "recipient"]


class ListOptions(RoleOptions):
    """One list, where its name alone does not say enough."""

    zone: str
    """The list's zone, without the key."""

    filter: str | None = None
    """The answers that mean "listed" (`127.0.0.[2..11]`). Known lists have theirs; for others
    it must be given: without a filter an error of the list, or the wildcard of an expired
    domain, refuses all mail."""

    key: SecretStr | None = None
    """A subscriber's private key, which goes before the zone. It is never shown, and replies
    to clients name the list without it."""

    mode: Mode | None = None
    """As in the role's `mode`, for this list alone."""

    since: date | None = None
    """Since when the list is on trial."""


class DomainListOptions(ListOptions):
    """One list of domains (RHSBL)."""

    checks: list[Check] = Field(default=["sender"], min_length=1)
    """Which domains are asked about: the client's verified name, its `reverse_client` name,
    the HELO name, the sender's or the recipient's domain."""


class Options(RoleOptions):
    """Lists are asked after all that costs nothing, in the given order; the first that has the
    client ends it, so the best list comes first. Public mirrors refuse to answer resolvers
    of big providers: the hosts need a resolver of their own."""

    mode: Mode = Mode.ENFORCE
    """`trial` logs what the lists would refuse (`warn_if_reject`)."""

    since: date | None = None
    """Since when the lists are on trial; after 60 days the plan asks for a decision."""

    zones: list[str | ListOptions] = []
    """Lists of client addresses (`reject_rbl_client`): `[zen.spamhaus.org]`."""

    domains: list[str | DomainListOptions] = []
    """Lists of domains (`reject_rhsbl_…`), asked about the sender's domain unless `checks`
    says otherwise."""

    allow: list[str | ListOptions] = []
    """Lists of known good clients (`permit_dnswl_client`). They come before the other lists,
    and what they let in skips the checks after them in the same restriction list."""

    in_recipient_list: bool = False
    """Ask in the recipient list also with the layout `per_list`, where each question stands in
    the list it naturally belongs to (client, HELO, sender). Only so can greylisting, which
    stands in the recipient list, come before them there."""

    reply_table: str = "/etc/postfix/maps/rbl_reply"
    """Where the replies for lists with a key live (`rbl_reply_maps`)."""


@dataclass(frozen=True)
class _Wanted:
    """One list with everything decided."""

    zone: str
    filter: str
    key: str
    mode: Mode
    path: tuple[str | int, ...]

    @property
    def asked(self) -> str:
        """What Postfix asks: zone and filter, the key before them."""
        return f"{self.key}.{self.zone}={self.filter}" if self.key else self.bare

    @property
    def bare(self) -> str:
        return f"{self.zone}={self.filter}"

    @property
    def hidden(self) -> tuple[str, ...]:
        return (dnsbl.key_pattern(self.zone),) if self.key else ()


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    keyed: list[_Wanted] = []
    for words, wanted in _entries(options, host):
        if wanted.mode is Mode.DISABLED:
            continue
        if wanted.key:
            keyed.append(wanted)
        word, home = words
        yield RestrictionEntry(
            host.origin(*wanted.path),
            Stage.DNSBL,
            (RECIPIENT if options.in_recipient_list else home,),
            f"{word} {wanted.asked}",
            # Nothing is refused by an allow list, so nothing would be warned of.
            Mode.ENFORCE if word.startswith("permit") else wanted.mode,
            wanted.hidden,
        )
    if keyed:
        yield from _replies(options, keyed, host)


RHSBL = {
    "client": CLIENT,
    "reverse_client": CLIENT,
    "helo": HELO,
    "sender": SENDER,
    "recipient": RECIPIENT,
}


def _entries(options: Options, host: HostContext) -> Iterator[tuple[tuple[str, str], _Wanted]]:
    """Each restriction word with its home list, and the list it asks, in order."""
    for index, given in enumerate(options.allow):
        wanted = _wanted(given, Lists.ALLOWED, options, host, "allow", index)
        if wanted.mode is Mode.TRIAL:
            raise host.error("an allow list refuses nothing: enforce or disable it", *wanted.path)
        yield ("permit_dnswl_client", CLIENT), wanted
    for index, given in enumerate(options.zones):
        yield (
            ("reject_rbl_client", CLIENT),
            _wanted(given, Lists.ADDRESSES, options, host, "zones", index),
        )
    for index, domain in enumerate(options.domains):
        wanted = _wanted(domain, Lists.DOMAINS, options, host, "domains", index)
        checks = ["sender"] if isinstance(domain, str) else domain.checks
        for check in checks:
            yield (f"reject_rhsbl_{check}", RHSBL[check]), wanted


def _wanted(
    given: str | ListOptions, lists: Lists, options: Options, host: HostContext, *path: str | int
) -> _Wanted:
    entry = ListOptions(zone=given) if isinstance(given, str) else given
    written = entry.zone.rstrip(".").lower()
    zone, equals, inline_filter = written.partition("=")
    _refuse_dead(zone, host, *path)
    fault = dnsbl.name_fault(zone)
    if fault:
        raise host.error(fault, *path)
    key = entry.key.get_secret_value() if entry.key is not None else ""
    if entry.key is not None and dnsbl.key_fault(key):
        raise host.error(f"{zone}: {dnsbl.key_fault(key)}", *path)
    chosen = entry.filter or (inline_filter if equals else None)
    about = dnsbl.known(zone)
    if about and about.lists is not lists:
        raise host.error(
            f"{zone} is a list of {about.lists.value}",
            *path,
            help={
                Lists.ADDRESSES: "put it under `zones`",
                Lists.DOMAINS: "put it under `domains`",
                Lists.ALLOWED: "put it under `allow`",
            }[about.lists],
        )
    if about and about.key and not key:
        raise host.error(f"{zone} needs the subscriber's key", *path, help="give it as `key`")
    chosen = chosen or (about.filter if about else None)
    if chosen is None:
        raise host.error(
            f"the answers of {zone} are not known here, and without a filter any answer "
            "refuses mail",
            *path,
            help=f"look them up at the list's site and write {{zone: {zone}, filter: 127.0.0.2}}",
        )
    fault = dnsbl.filter_fault(chosen)
    if fault:
        raise host.error(f"{zone}: {fault}", *path)
    default = Mode.ENFORCE if lists is Lists.ALLOWED else options.mode
    mode = entry.mode or default
    _mention_long_trial(zone, mode, entry.since or options.since, host, *path)
    return _Wanted(zone, chosen, key, mode, path)


def _refuse_dead(zone: str, host: HostContext, *path: str | int) -> None:
    gone = dnsbl.dead(zone)
    if gone:
        raise host.error(
            f"{zone} is dead since {gone.since}: {gone.what}",
            *path,
            help=f"use {gone.instead}" if gone.instead else "take it out",
        )


def _mention_long_trial(
    zone: str, mode: Mode, since: date | None, host: HostContext, *path: str | int
) -> None:
    if mode is not Mode.TRIAL or since is None:
        return
    days = (host.today - since).days
    if days > LONG_TRIAL:
        host.warn(
            f"{zone} is on trial since {since} ({days} days)",
            *path,
            help="look at what it would have refused, then enforce it or take it out",
        )


def _replies(options: Options, keyed: list[_Wanted], host: HostContext) -> Iterator[Contribution]:
    """Replies that name the list without its key, nor the list's own text, which may
    repeat the name that was asked (postconf(5) rbl_reply_maps, default_rbl_reply)."""
    reply = "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using {}"
    entries: dict[str, str] = {}
    for wanted in keyed:
        # The name with its filter; since 3.10 Postfix looks up the plain name as well.
        entries[wanted.asked.lower()] = reply.format(wanted.zone)
    yield File(
        host.origin("reply_table"),
        options.reply_table.rpartition("/")[0],
        FileState.DIRECTORY,
        attributes=Attributes("root", "root", 0o755),
    )
    yield Table(
        host.origin("reply_table"),
        options.reply_table,
        "indexed",
        tuple(Entry(name, value) for name, value in entries.items()),
        # It holds the keys. smtpd opens it before it gives up root's rights.
        attributes=Attributes("root", "root", 0o600),
        secret=True,
    )
    yield Parameter(host.origin("reply_table"), "rbl_reply_maps", f"indexed:{options.reply_table}")
