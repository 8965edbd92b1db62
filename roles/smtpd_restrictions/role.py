"""Who may send what to whom: the smtpd restriction lists, composed in the right order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from provisioner.roles import (
    CLIENT,
    DATA,
    END_OF_DATA,
    ETRN,
    HELO,
    LISTS,
    RECIPIENT,
    RELAY,
    SENDER,
    Contribution,
    HostContext,
    Layout,
    Mode,
    Parameter,
    RestrictionEntry,
    RestrictionLayout,
    RoleOptions,
    Stage,
    verbatim,
)

ListName = Literal["client", "helo", "sender", "relay", "recipient", "data", "end_of_data", "etrn"]
StageName = Literal["syntax", "local_tables", "unlisted", "dns", "dnsbl", "policy", "verify"]


class Checks(RoleOptions):
    """Each check `enforce`d, on `trial` (logged, nothing refused) or `disabled`."""

    reject_invalid_helo_hostname: Mode = Mode.ENFORCE
    """Refuse HELO names that are no host names at all."""

    reject_non_fqdn_helo_hostname: Mode = Mode.ENFORCE
    """Refuse HELO names that are not fully qualified."""

    reject_non_fqdn_sender: Mode = Mode.ENFORCE
    """Refuse sender addresses without a full domain."""

    reject_non_fqdn_recipient: Mode = Mode.ENFORCE
    """Refuse recipient addresses without a full domain."""

    reject_unknown_reverse_client_hostname: Mode = Mode.DISABLED
    """Refuse clients whose address has no PTR record at all (450: they try again)."""

    reject_unknown_client_hostname: Mode = Mode.DISABLED
    """Refuse clients whose name and address do not agree both ways. Refuses many honest hosts."""

    reject_unknown_helo_hostname: Mode = Mode.DISABLED
    """Refuse HELO names without an A or MX record. Refuses some honest but ill-kept hosts."""

    reject_unknown_sender_domain: Mode = Mode.DISABLED
    """Refuse sender domains without A or MX (450; 550 where the domain says it takes no
    mail). Off by default: large senders get this wrong now and then; try it first."""

    reject_unknown_recipient_domain: Mode = Mode.ENFORCE
    """Refuse recipient domains without A or MX, for mail that is relayed."""

    reject_unlisted_recipient: Mode = Mode.ENFORCE
    """Refuse recipients that do not exist here, before DNS is asked anything."""

    reject_unlisted_sender: Mode = Mode.DISABLED
    """Refuse senders in your own domains that do not exist."""

    reject_unauth_pipelining: Mode = Mode.ENFORCE
    """Refuse clients that talk before it is their turn (at DATA, where it finds them)."""

    reject_multi_recipient_bounce: Mode = Mode.DISABLED
    """Refuse bounces to more than one recipient: nobody sent those."""

    reject_unverified_sender: Mode = Mode.DISABLED
    """Ask the sender's mail server whether the address exists. Many count that as abuse."""

    reject_unverified_recipient: Mode = Mode.DISABLED
    """Ask the next mail server whether the recipient exists: for relays without a list."""


class Additional(RoleOptions):
    """One restriction that no option has."""

    list: ListName
    """The list it naturally belongs to."""

    stage: StageName
    """Where it stands among the others."""

    check: str
    """The restriction as postconf(5) has it; `indexed:/path` for tables."""

    mode: Mode = Mode.ENFORCE
    """`trial` puts `warn_if_reject` before it."""


class Options(RoleOptions):
    """The restriction lists. Other roles contribute their entries; this one has the checks
    built into Postfix, own clients, the relay guard, and the choice of layout."""

    layout: Layout = Layout.RECIPIENT
    """`recipient` puts every check into the recipient list: one list, one order, and each
    refusal logged with HELO, sender and recipient. `per_list` puts each where it belongs;
    an OK in one of the lists then skips the rest of that list only."""

    checks: Checks = Checks()
    """The checks that need no table and no list."""

    additional: list[Additional] = []
    """Further restrictions, each at its place."""

    lists: dict[str, str] = {}
    """Whole lists given verbatim, by name (`client` or `smtpd_client_restrictions`); nothing
    else may contribute to them."""

    relay_guard: Literal["reject", "defer"] = "reject"
    """What strangers who want to relay are told: 554, or (`defer`) 454, with which a mistake of
    ours costs them a delay and no mail."""

    etrn: Literal["own", "reject"] | None = None
    """Who may ask for queued mail with ETRN: own clients, or nobody. Not set: as it is."""

    delay_reject: bool = True
    """`smtpd_delay_reject`: refusals wait for RCPT, so that the log has sender and recipient,
    and checks may stand in any list. Exemptions need it."""

    final_permit: bool = True
    """End the recipient list with an explicit `permit`, as a sign to the reader."""


#: Where each check stands: its stage and the list it naturally belongs to.
PLACES = {
    "reject_invalid_helo_hostname": (Stage.SYNTAX, HELO),
    "reject_non_fqdn_helo_hostname": (Stage.SYNTAX, HELO),
    "reject_non_fqdn_sender": (Stage.SYNTAX, SENDER),
    "reject_non_fqdn_recipient": (Stage.SYNTAX, RECIPIENT),
    "reject_unlisted_sender": (Stage.UNLISTED, SENDER),
    "reject_unlisted_recipient": (Stage.UNLISTED, RECIPIENT),
    "reject_unknown_reverse_client_hostname": (Stage.DNS, CLIENT),
    "reject_unknown_client_hostname": (Stage.DNS, CLIENT),
    "reject_unknown_helo_hostname": (Stage.DNS, HELO),
    "reject_unknown_sender_domain": (Stage.DNS, SENDER),
    "reject_unknown_recipient_domain": (Stage.DNS, RECIPIENT),
    "reject_unverified_sender": (Stage.VERIFY, SENDER),
    "reject_unverified_recipient": (Stage.VERIFY, RECIPIENT),
    "reject_unauth_pipelining": (Stage.SYNTAX, DATA),
    "reject_multi_recipient_bounce": (Stage.SYNTAX, DATA),
}

#: Lists by the short name that stands in their parameter.
BY_NAME = {
    "client": CLIENT,
    "helo": HELO,
    "sender": SENDER,
    "relay": RELAY,
    "recipient": RECIPIENT,
    "data": DATA,
    "end_of_data": END_OF_DATA,
    "etrn": ETRN,
}


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    yield RestrictionLayout(host.origin("layout"), options.layout)
    yield Parameter(
        host.origin("delay_reject"), "smtpd_delay_reject", "yes" if options.delay_reject else "no"
    )
    own = (CLIENT, HELO, SENDER, RELAY, RECIPIENT)
    for text in ("permit_mynetworks", "permit_sasl_authenticated"):
        yield RestrictionEntry(host.origin(), Stage.OWN_CLIENTS, own, text)
    yield RestrictionEntry(
        host.origin("relay_guard"),
        Stage.RELAY_GUARD,
        (RELAY, RECIPIENT),
        f"{options.relay_guard}_unauth_destination",
    )
    yield from _checks(options, host)
    yield from _additional(options, host)
    if options.etrn:
        text = "permit_mynetworks, reject" if options.etrn == "own" else "reject"
        yield verbatim(ETRN, text, host.origin("etrn"))
    if options.final_permit:
        yield RestrictionEntry(host.origin("final_permit"), Stage.FINAL, (RECIPIENT,), "permit")
    yield from _verbatim(options, host)


def _checks(options: Options, host: HostContext) -> Iterator[Contribution]:
    helo_checked = False
    for name, (stage, where) in PLACES.items():
        mode: Mode = getattr(options.checks, name)
        yield RestrictionEntry(host.origin("checks", name), stage, (where,), name, mode)
        helo_checked |= where == HELO and mode is not Mode.DISABLED
    if helo_checked:
        # A client that never says HELO would walk past every HELO check.
        yield Parameter(host.origin("checks"), "smtpd_helo_required", "yes")


def _additional(options: Options, host: HostContext) -> Iterator[Contribution]:
    for index, given in enumerate(options.additional):
        yield RestrictionEntry(
            host.origin("additional", index),
            Stage[given.stage.upper()],
            (BY_NAME[given.list],),
            " ".join(given.check.split()),
            given.mode,
        )


def _verbatim(options: Options, host: HostContext) -> Iterator[Contribution]:
    for name, text in options.lists.items():
        parameter = BY_NAME.get(name, name)
        if parameter not in LISTS:
            raise host.error(
                f"{name} is not a restriction list",
                "lists",
                name,
                help=f"one of {', '.join(BY_NAME)}",
            )
        yield verbatim(parameter, " ".join(text.split()), host.origin("lists", name))
