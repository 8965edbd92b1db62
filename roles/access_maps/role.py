"""Access maps: refuse or accept clients, HELO names, senders and recipients by table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from ipaddress import ip_network
from typing import Literal

from pydantic import Field

from provisioner.policy.promises import ACCEPTED, conversation_for, refusing_entries
from provisioner.postfix import access, tables
from provisioner.postfix.attachments import escape
from provisioner.roles import (
    CLIENT,
    DATA,
    HELO,
    RECIPIENT,
    SENDER,
    Attributes,
    Contribution,
    Conversation,
    Entry,
    Expectation,
    File,
    FileState,
    HostContext,
    Mode,
    Origin,
    Package,
    Parameter,
    PolicyTest,
    RestrictionEntry,
    RoleOptions,
    Stage,
    Table,
    in_patterns,
    one_line,
    word_list,
)

TableType = Literal[
    "indexed", "hash", "btree", "lmdb", "cdb", "texthash", "cidr", "regexp", "pcre", "inline"
]


class MapOptions(RoleOptions):
    """One access table."""

    mode: Mode = Mode.ENFORCE
    """`trial` logs what the table would refuse; an OK in it still accepts."""

    type: TableType = "indexed"
    """`indexed` becomes what the host supports and prefers. `cidr` takes networks, `regexp`
    and `pcre` take patterns as keys (`/pattern/`); `inline` stands in main.cf itself."""

    entries: dict[str, str] = {}
    """Key (address, domain, network, host name) and action (REJECT, OK, DUNNO, 550 5.7.1 text,
    …), access(5). In the `recipient` layout an OK ends all checks, DNS lists included; to
    spare somebody our checks use `exempt`."""

    text: str | None = None
    """The whole source instead, as Postfix reads it."""

    file: str | None = None
    """The whole source instead, from a file beside the site file."""


class Exemption(RoleOptions):
    """Somebody our checks do not refuse. Name exactly one of client, sender, recipient."""

    client: str | None = None
    """A client's address, network or host name (with the names below it)."""

    sender: str | None = None
    """An envelope sender's address or domain (with the domains below it)."""

    recipient: str | None = None
    """A recipient's address or domain: mail to it is not checked (postmaster, abuse)."""

    why: str
    """Why; it stands in the table where that can hold comments."""

    until: date | None = None
    """The last day of the exemption. Afterwards it is gone, and the plan says so."""


class OwnDomains(RoleOptions):
    """Mail from outside that claims a sender in your own domains."""

    mode: Mode = Mode.DISABLED
    """`enforce` only when your users log in (submission on 587 or 465): those who send from
    outside by port 25 without a password are refused. Forwarders and mailing lists that
    keep the sender are refused too: have a look at it on `trial` first."""

    match: Literal["exact", "subdomains"] = "exact"
    """`exact` leaves `news@bounces.example.com` alone, often the company's own newsletter."""

    domains: list[str] | None = None
    """Which domains; not set: those of `mail.domains`."""

    except_: list[str] = Field(default=[], alias="except")
    """Senders (`news@example.com`) or domains that others may use."""

    reply: str = "550 5.7.1 This sender address belongs to us: log in to use it"
    """What the others are told."""


class Options(RoleOptions):
    """Four tables, each asked in its stage after the relay guard; exemptions before them."""

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

    own_domains_from_outside: OwnDomains = OwnDomains()
    """Refuse strangers who claim to be one of your users. Own clients (`permit_mynetworks`,
    `permit_sasl_authenticated`) are let in before this is asked."""

    exempt: list[Exemption] = []
    """Exemptions from our checks. They mean the same in either layout, and never lift the
    relay guard; nor do they reach content checks."""

    restriction_classes: list[str] = []
    """Restriction classes (`smtpd_restriction_classes`) that entries may name as actions."""


STAGES = {"client": CLIENT, "helo": HELO, "sender": SENDER, "recipient": RECIPIENT}
#: The lists an exemption stands in: it means one thing, whatever list a check is in.
EXEMPT_FROM = (CLIENT, HELO, SENDER, RECIPIENT)


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    made = [
        *_exemptions(options, host),
        *(each for stage in STAGES for each in _map(options, stage, host)),
        *_own_domains(options, host),
    ]
    if any(isinstance(each, Table) for each in made):
        yield File(
            host.origin("directory"),
            options.directory,
            FileState.DIRECTORY,
            attributes=Attributes("root", "root", 0o755),
        )
    yield from made


def _map(options: Options, stage: str, host: HostContext) -> Iterator[Contribution]:
    given: MapOptions | None = getattr(options, stage)
    if given is None or given.mode is Mode.DISABLED:
        return
    sources = [s for s in (given.entries or None, given.text, given.file) if s is not None]
    if len(sources) > 1:
        raise host.error("give one of entries, text and file", stage)
    for key, action in given.entries.items():
        _check_entry(key, action, given.type, stage, options, host)
    if given.type in tables.PACKAGED:
        yield Package(host.origin(stage, "type"), f"postfix-{given.type}", given.type)
    origin = host.origin(stage)
    path = f"{options.directory}/access_{stage}"
    if given.type == "inline":
        if given.text is not None or given.file is not None:
            raise host.error("an inline table takes entries", stage)
        where = tables.inline(_entries(given))
    else:
        where = f"{given.type}:{path}"
        origins = tuple((key, host.origin(stage, "entries", key)) for key in given.entries)
        text = _text(given, stage, host)
        yield Table(origin, path, given.type, _entries(given), text, origins=origins)
    yield RestrictionEntry(
        origin, Stage.LOCAL_TABLES, (STAGES[stage],), f"check_{stage}_access {where}", given.mode
    )


def _entries(given: MapOptions) -> tuple[Entry, ...]:
    return tuple(Entry(key, " ".join(value.split())) for key, value in given.entries.items())


def _text(given: MapOptions, stage: str, host: HostContext) -> str | None:
    if given.file is None:
        return given.text
    return host.file(given.file, stage, "file").decode("utf-8", "surrogateescape")


def _check_entry(
    key: str, action: str, type_: str, stage: str, options: Options, host: HostContext
) -> None:
    """What access(5) reads otherwise than its author means."""
    fault, advice = access.key_fault(key, type_, stage)
    if fault:
        raise host.error(fault, stage, "entries", key, help=advice)
    fault, advice = access.action_fault(action, options.restriction_classes)
    if fault:
        raise host.error(f"{key}: {fault}", stage, "entries", key, help=advice)


# ---- exemptions ---------------------------------------------------------------------


def _exemptions(options: Options, host: HostContext) -> Iterator[Contribution]:
    """One table a kind of key: networks need cidr, names an indexed one."""
    groups: dict[tuple[str, str], list[tuple[str, str, Origin]]] = {}
    for index, each in enumerate(options.exempt):
        kind, key = _subject(each, index, host)
        if each.until and each.until < host.today:
            host.warn(
                f"the exemption of {kind} {key} ended on {each.until}: it is not written any more",
                "exempt",
                index,
                help=f"take it out, or give it a new date ({each.why})",
            )
            continue
        type_ = "cidr" if kind == "client" and _is_network(key) else "indexed"
        fault, advice = access.key_fault(key, type_, kind)
        if fault:
            raise host.error(fault, "exempt", index, help=advice)
        comment = f"{' '.join(each.why.split())}{f' (until {each.until})' if each.until else ''}"
        groups.setdefault((kind, type_), []).append((key, comment, host.origin("exempt", index)))
    for (kind, type_), members in groups.items():
        yield from _exemption_table(options, kind, type_, members, host)
    if groups:
        # They stand in every list; without this, sender and recipient come too late.
        yield Parameter(host.origin("exempt"), "smtpd_delay_reject", "yes")


def _exemption_table(
    options: Options,
    kind: str,
    type_: str,
    members: list[tuple[str, str, Origin]],
    host: HostContext,
) -> Iterator[Contribution]:
    origin = host.origin("exempt")
    path = f"{options.directory}/exempt_{kind}{'_networks' if type_ == 'cidr' else ''}"
    lines = "".join(f"# {comment}\n{key} OK\n" for key, comment, _ in members)
    keys = [key.lower() for key, _, _ in members]
    doubles = sorted({key for key in keys if keys.count(key) > 1})
    if doubles:
        raise host.error(f"exempted twice: {', '.join(doubles)}", "exempt")
    if type_ == "cidr":
        origins = tuple((f"{key} OK", where) for key, _, where in members)
        yield Table(origin, path, type_, text=f"{tables.HEADER}\n{lines}", origins=origins)
    else:
        entries = tuple(Entry(key, "OK") for key, _, _ in members)
        origins = tuple((key, where) for key, _, where in members)
        yield Table(origin, path, type_, entries, origins=origins)
    # At DATA the recipient is not known where a message has several.
    where = EXEMPT_FROM if kind == "recipient" else (*EXEMPT_FROM, DATA)
    yield RestrictionEntry(origin, Stage.EXEMPTIONS, where, f"check_{kind}_access {type_}:{path}")


def _subject(each: Exemption, index: int, host: HostContext) -> tuple[str, str]:
    named = {
        kind: value
        for kind, value in (
            ("client", each.client),
            ("sender", each.sender),
            ("recipient", each.recipient),
        )
        if value is not None
    }
    if len(named) != 1:
        raise host.error("name one of client, sender and recipient", "exempt", index)
    return next(iter(named.items()))


def _is_network(key: str) -> bool:
    try:
        ip_network(key, strict=False)
    except ValueError:
        return False
    return True


# ---- own domains --------------------------------------------------------------------


def _own_domains(options: Options, host: HostContext) -> Iterator[Contribution]:
    own = options.own_domains_from_outside
    if own.mode is Mode.DISABLED:
        return
    domains = own.domains if own.domains is not None else host.mail.domains
    if not domains:
        raise host.error(
            "which are your own domains?",
            "own_domains_from_outside",
            help="say it once under mail.domains, or here under domains",
        )
    fault, advice = access.action_fault(own.reply)
    if fault or access.accepts(own.reply):
        raise host.error(
            fault or f"{own.reply!r} accepts", "own_domains_from_outside", "reply", help=advice
        )
    host.origin("own_domains_from_outside", "reply")
    reply = in_patterns(own.reply)
    origin = host.origin("own_domains_from_outside")
    word_list(one_line(each) for each in (*domains, *own.except_))
    path = f"{options.directory}/own_domains"
    below = r"(.*\.)?" if own.match == "subdomains" else ""
    lines = [
        *(f"/^{'' if '@' in e else '(.*)@'}{escape(e)}$/ DUNNO" for e in own.except_),
        *(f"/@{below}{escape(domain)}$/ {reply}" for domain in domains),
    ]
    text = "".join(f"{line}\n" for line in (tables.HEADER, *lines))
    origins = tuple((line, origin) for line in lines)
    # A pattern, as an indexed key would cover the domains below it as well.
    yield Table(origin, path, "regexp", text=text, origins=origins)
    yield RestrictionEntry(
        origin, Stage.LOCAL_TABLES, (SENDER,), f"check_sender_access regexp:{path}", own.mode
    )


# ---- what is promised -----------------------------------------------------------------


def tests(options: Options, host: HostContext) -> Iterator[PolicyTest]:
    for stage in STAGES:
        given: MapOptions | None = getattr(options, stage)
        if given is not None and given.mode is Mode.ENFORCE:
            yield from refusing_entries(
                stage,
                given.type,
                given.entries,
                host.mail.domains,
                partial(host.origin, stage, "entries"),
            )
    own = options.own_domains_from_outside
    if own.mode is Mode.ENFORCE:
        code = own.reply[:3] if own.reply[:1].isdigit() else "5xx"
        for domain in own.domains if own.domains is not None else host.mail.domains:
            yield PolicyTest(
                f"a sender in {domain} is not forged from outside",
                Conversation(sender=f"forged-by-a-stranger@{domain}"),
                # `localhost` and the like are no full domains, and refused as such before.
                Expectation((code if "." in domain else "5xx",)),
                host.origin("own_domains_from_outside"),
            )
    for index, each in enumerate(options.exempt):
        if each.until and each.until < host.today:
            continue
        kind, key = _subject(each, index, host)
        said = conversation_for(kind, key, "cidr" if "/" in key else "indexed")
        if said is not None and kind != "recipient":  # whether that one exists is not known
            yield PolicyTest(
                f"{kind} {key} is exempt from our checks",
                replace(said, helo="exempt"),
                ACCEPTED,
                host.origin("exempt", index),
            )
