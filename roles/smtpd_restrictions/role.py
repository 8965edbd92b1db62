"""Who may send what to whom: the smtpd restriction lists, composed in the right order."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.roles import (
    CLIENT,
    DATA,
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

    reject_unknown_helo_hostname: Mode = Mode.DISABLED
    """Refuse HELO names without an A or MX record. Refuses some honest but ill-kept hosts."""

    reject_unknown_sender_domain: Mode = Mode.DISABLED
    """Refuse sender domains without A or MX. Large senders get this wrong now and then."""

    reject_unknown_recipient_domain: Mode = Mode.ENFORCE
    """Refuse recipient domains without A or MX, for mail that is relayed."""

    reject_unlisted_recipient: Mode = Mode.ENFORCE
    """Refuse recipients that do not exist here, before DNS is asked anything."""

    reject_unauth_pipelining: Mode = Mode.ENFORCE
    """Refuse clients that talk before it is their turn."""


class Options(RoleOptions):
    """The restriction lists. Other roles contribute their entries; this one has the checks
    built into Postfix, own clients, the relay guard, and the choice of layout."""

    layout: Layout = Layout.RECIPIENT
    """`recipient` puts every check into the recipient list: one list, one order, and each
    refusal logged with HELO, sender and recipient. `per_list` puts each where it belongs."""

    checks: Checks = Checks()
    """The checks that need no table and no list."""

    lists: dict[str, str] = {}
    """Whole lists given verbatim, by parameter name; nothing else may contribute to them."""

    final_permit: bool = True
    """End the recipient list with an explicit `permit`, as a sign to the reader."""


#: Where each check stands: its stage and the list it naturally belongs to.
PLACES = {
    "reject_invalid_helo_hostname": (Stage.SYNTAX, HELO),
    "reject_non_fqdn_helo_hostname": (Stage.SYNTAX, HELO),
    "reject_non_fqdn_sender": (Stage.SYNTAX, SENDER),
    "reject_non_fqdn_recipient": (Stage.SYNTAX, RECIPIENT),
    "reject_unlisted_recipient": (Stage.UNLISTED, RECIPIENT),
    "reject_unknown_reverse_client_hostname": (Stage.DNS, CLIENT),
    "reject_unknown_helo_hostname": (Stage.DNS, HELO),
    "reject_unknown_sender_domain": (Stage.DNS, SENDER),
    "reject_unknown_recipient_domain": (Stage.DNS, RECIPIENT),
    "reject_unauth_pipelining": (Stage.SYNTAX, DATA),
}


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    yield RestrictionLayout(host.origin("layout"), options.layout)
    own = (CLIENT, HELO, SENDER, RELAY, RECIPIENT)
    for text in ("permit_mynetworks", "permit_sasl_authenticated"):
        yield RestrictionEntry(host.origin(), Stage.OWN_CLIENTS, own, text)
    yield RestrictionEntry(
        host.origin(), Stage.RELAY_GUARD, (RELAY, RECIPIENT), "reject_unauth_destination"
    )
    yield from _checks(options, host)
    if options.final_permit:
        yield RestrictionEntry(host.origin("final_permit"), Stage.FINAL, (RECIPIENT,), "permit")
    for name, text in options.lists.items():
        if name not in LISTS:
            raise host.error(
                f"{name} is not a restriction list",
                "lists",
                name,
                help=f"one of {', '.join(LISTS)}",
            )
        yield verbatim(name, " ".join(text.split()), host.origin("lists", name))


def _checks(options: Options, host: HostContext) -> Iterator[Contribution]:
    helo_checked = False
    for name, (stage, where) in PLACES.items():
        mode: Mode = getattr(options.checks, name)
        yield RestrictionEntry(host.origin("checks", name), stage, (where,), name, mode)
        helo_checked |= where == HELO and mode is not Mode.DISABLED
    if helo_checked:
        # A client that never says HELO would walk past every HELO check.
        yield Parameter(host.origin("checks"), "smtpd_helo_required", "yes")
