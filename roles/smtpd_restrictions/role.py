"""Who may send what to whom: the smtpd restriction lists, composed in the right order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from provisioner.policy.promises import ACCEPTED, ELSEWHERE, helo_demanded, own_client
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
    Client,
    Contribution,
    Conversation,
    Expectation,
    HostContext,
    Layout,
    Mode,
    Parameter,
    PolicyTest,
    RestrictionEntry,
    RestrictionLayout,
    RoleOptions,
    Said,
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
    for name, (stage, where) in PLACES.items():
        mode: Mode = getattr(options.checks, name)
        yield RestrictionEntry(host.origin("checks", name), stage, (where,), name, mode)
    if _asks_helo(options):
        # A client that never says HELO would walk past every HELO check.
        yield Parameter(host.origin("checks"), "smtpd_helo_required", "yes")


def _asks_helo(options: Options) -> bool:
    return any(
        where == HELO and getattr(options.checks, name) is not Mode.DISABLED
        for name, (_, where) in PLACES.items()
    )


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


# ---- what is promised -----------------------------------------------------------------

#: Checks that one conversation shows: what the test is called, who says what, what is told.
SHOWN = {
    "reject_invalid_helo_hostname": (
        "a HELO name that is no host name is refused",
        Conversation(helo="no..name"),
        Expectation(("5xx",), "Helo command rejected"),
    ),
    "reject_non_fqdn_helo_hostname": (
        "a HELO name without a domain is refused",
        Conversation(helo="stranger"),
        Expectation(("5xx",), "Helo command rejected"),
    ),
    "reject_non_fqdn_sender": (
        "a sender without a domain is refused",
        Conversation(sender="someone"),
        Expectation(("5xx",), "Sender address rejected"),
    ),
    "reject_non_fqdn_recipient": (
        "a recipient without a domain is refused",
        Conversation(recipients=("someone",)),
        Expectation(("5xx",)),  # where the host's own name is no destination, by the guard
    ),
    "reject_unknown_reverse_client_hostname": (
        "a client without a PTR record is refused",
        Conversation(client=Client(name="", reverse_name="")),
        Expectation(("4xx", "5xx"), "reverse hostname"),
    ),
}
#: Checks that ask DNS about what a made-up stranger says.
ASKS_DNS = ("reject_unknown_helo_hostname", "reject_unverified_recipient")
ABOUT_SENDER = ("reject_unknown_sender_domain", "reject_unverified_sender")


def tests(options: Options, host: HostContext) -> Iterator[PolicyTest]:
    yield PolicyTest(
        "strangers cannot relay",
        Conversation(recipients=(ELSEWHERE,), until=Said.RCPT),
        _guarded(options),
        host.origin("relay_guard"),
    )
    if options.lists:
        return  # what whole lists of somebody's own do is theirs to say
    own = own_client(host.mail.networks)
    if own:
        yield PolicyTest(
            "own networks may relay, whatever their HELO name",
            Conversation(client=own, helo="laptop", recipients=(ELSEWHERE,)),
            ACCEPTED,
            host.mail_origin("networks"),
        )
    if _asks_helo(options):
        yield helo_demanded(host.origin("checks"))
    for name, (what, said, expect) in SHOWN.items():
        if getattr(options.checks, name) is Mode.ENFORCE:
            yield PolicyTest(what, said, expect, host.origin("checks", name))
    if host.mail.domains and not _enforced(options, ASKS_DNS):
        # Nobody asks for the domain of the empty sender.
        sender = "" if _enforced(options, ABOUT_SENDER) else Conversation().sender
        yield PolicyTest(
            "mail to the postmaster is accepted",
            Conversation(sender=sender, recipients=(f"postmaster@{host.mail.domains[0]}",)),
            ACCEPTED,
            host.mail_origin("domains"),
        )


def _guarded(options: Options) -> Expectation:
    if options.lists or options.layout is not Layout.RECIPIENT:
        return Expectation(("4xx", "5xx"))  # another list may refuse it before the guard does
    code = "554" if options.relay_guard == "reject" else "454"
    return Expectation((code,), "Relay access denied")


def _enforced(options: Options, names: tuple[str, ...]) -> bool:
    return any(getattr(options.checks, each) is Mode.ENFORCE for each in names)
