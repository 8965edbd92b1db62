"""smtpd restriction lists: the words there are, and how a list is cut into restrictions.

Rests on postconf(5) (`smtpd_*_restrictions`), access(5), SMTPD_ACCESS_README.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from provisioner.postfix.logical import balanced, split_list
from provisioner.postfix.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable


class Argument(StrEnum):
    """What a restriction takes behind its name."""

    NONE = "-"
    MAP = "map"
    DOMAIN = "domain"
    SERVICE = "service"
    SECONDS = "seconds"
    PREFIX = "prefix"


class Stage(StrEnum):
    """Where in a well-ordered list a restriction belongs, in that order."""

    OWN_CLIENTS = "own clients"
    RELAY_GUARD = "relay guard"
    EXEMPTIONS = "exemptions"
    SYNTAX = "syntax"
    TABLES = "tables"
    UNLISTED = "unlisted"
    DNS = "dns"
    DNSBL = "dnsbl"
    POLICY = "policy"
    VERIFICATION = "verification"
    FINAL = "final"

    @property
    def position(self) -> int:
        return list(Stage).index(self)


#: The lists, in the order Postfix consults them, and the parameters that hold them.
LISTS = {
    "client": "smtpd_client_restrictions",
    "helo": "smtpd_helo_restrictions",
    "sender": "smtpd_sender_restrictions",
    "relay": "smtpd_relay_restrictions",
    "recipient": "smtpd_recipient_restrictions",
    "data": "smtpd_data_restrictions",
    "end_of_data": "smtpd_end_of_data_restrictions",
    "etrn": "smtpd_etrn_restrictions",
}

#: Words renamed in Postfix 2.3 (or 2.0), which every version since accepts under both names.
OLD_NAMES = {
    "reject_unknown_client": "reject_unknown_client_hostname",
    "reject_invalid_hostname": "reject_invalid_helo_hostname",
    "reject_non_fqdn_hostname": "reject_non_fqdn_helo_hostname",
    "reject_unknown_hostname": "reject_unknown_helo_hostname",
    "reject_rbl": "reject_rbl_client",
    "check_recipient_maps": "reject_unlisted_recipient",
    "reject_unknown_address": "reject_unknown_sender_domain",
}

WARN = "warn_if_reject"


@dataclass(frozen=True, slots=True)
class Keyword:
    """One word of the restriction language.

    `natural` is the list (a key of `LISTS`) it belongs to, None for words at home in every
    list. `since` and `removed` are the first version with, and without, it. `no_ok`: its
    table must not answer OK (use DUNNO). `stage`: its place in a composed list.
    """

    name: str
    natural: str | None
    argument: Argument
    since: Version
    removed: Version | None
    no_ok: bool
    stage: Stage

    def known_to(self, version: Version) -> bool:
        """Whether that version of Postfix understands the word."""
        return self.since <= version and (self.removed is None or version < self.removed)


# name, natural list, argument, since[-removed], stage; a "!" marks tables that must not say OK.
_WORDS = """
permit                                     -         -       1.0      final
reject                                     -         -       1.0      final
defer                                      -         -       1.0      final
defer_if_permit                            -         -       2.1      final
defer_if_reject                            -         -       2.1      final
warn_if_reject                             -         prefix  1.0      final
sleep                                      -         seconds 2.3      syntax
check_policy_service                       -         service 2.1      policy
reject_multi_recipient_bounce              data      -       2.1      syntax
reject_unauth_pipelining                   data      -       1.0      syntax
reject_plaintext_session                   client    -       2.3      syntax
check_client_access                        client    map     1.0      tables
check_client_a_access!                     client    map     3.0      dns
check_client_mx_access!                    client    map     2.7      dns
check_client_ns_access!                    client    map     2.7      dns
check_reverse_client_hostname_access!      client    map     2.6      tables
check_reverse_client_hostname_a_access!    client    map     3.0      dns
check_reverse_client_hostname_mx_access!   client    map     2.7      dns
check_reverse_client_hostname_ns_access!   client    map     2.7      dns
check_ccert_access                         client    map     2.2      tables
check_sasl_access                          client    map     2.11     tables
permit_inet_interfaces                     client    -       2.2      own_clients
permit_mynetworks                          client    -       1.0      own_clients
permit_sasl_authenticated                  client    -       1.0      own_clients
permit_tls_clientcerts                     client    -       2.2      own_clients
permit_tls_all_clientcerts                 client    -       2.2      own_clients
reject_rbl_client                          client    domain  2.0      dnsbl
reject_rhsbl_client                        client    domain  2.0      dnsbl
reject_rhsbl_reverse_client                client    domain  2.8      dnsbl
permit_dnswl_client                        client    domain  2.8      dnsbl
permit_rhswl_client                        client    domain  2.8      dnsbl
reject_unknown_client_hostname             client    -       2.3      dns
reject_unknown_reverse_client_hostname     client    -       2.3      dns
reject_unknown_forward_client_hostname     client    -       2.3      dns
reject_unknown_client                      client    -       1.0      dns
reject_rbl                                 client    domain  2.0      dnsbl
reject_maps_rbl                            client    -       1.0-3.9  dnsbl
permit_naked_ip_address                    helo      -       1.0-3.9  own_clients
check_helo_access                          helo      map     1.0      tables
check_helo_a_access!                       helo      map     3.0      dns
check_helo_mx_access!                      helo      map     2.1      dns
check_helo_ns_access!                      helo      map     2.1      dns
reject_invalid_helo_hostname               helo      -       2.3      syntax
reject_non_fqdn_helo_hostname              helo      -       2.3      syntax
reject_unknown_helo_hostname               helo      -       2.3      dns
reject_rhsbl_helo                          helo      domain  2.0      dnsbl
reject_invalid_hostname                    helo      -       1.0      syntax
reject_non_fqdn_hostname                   helo      -       1.0      syntax
reject_unknown_hostname                    helo      -       1.0      dns
check_sender_access                        sender    map     1.0      tables
check_sender_a_access!                     sender    map     3.0      dns
check_sender_mx_access!                    sender    map     2.1      dns
check_sender_ns_access!                    sender    map     2.1      dns
reject_non_fqdn_sender                     sender    -       1.0      syntax
reject_unknown_sender_domain               sender    -       1.0      dns
reject_unknown_address                     sender    -       1.0      dns
reject_unlisted_sender                     sender    -       2.1      unlisted
reject_unverified_sender                   sender    -       2.1      verification
reject_sender_login_mismatch               sender    -       2.1      tables
reject_authenticated_sender_login_mismatch sender    -       2.1      tables
reject_unauthenticated_sender_login_mismatch sender  -       2.1      tables
reject_known_sender_login_mismatch         sender    -       2.11     tables
reject_rhsbl_sender                        sender    domain  2.0      dnsbl
check_recipient_access                     recipient map     1.0      tables
check_recipient_a_access!                  recipient map     3.0      dns
check_recipient_mx_access!                 recipient map     2.1      dns
check_recipient_ns_access!                 recipient map     2.1      dns
permit_auth_destination                    recipient -       1.0      relay_guard
permit_mx_backup                           recipient -       1.0      relay_guard
reject_unauth_destination                  relay     -       1.0      relay_guard
defer_unauth_destination                   relay     -       2.10     relay_guard
check_relay_domains                        relay     -       1.0-3.9  relay_guard
reject_non_fqdn_recipient                  recipient -       1.0      syntax
reject_unknown_recipient_domain            recipient -       1.0      dns
reject_unlisted_recipient                  recipient -       2.1      unlisted
check_recipient_maps                       recipient -       1.0      unlisted
reject_unverified_recipient                recipient -       2.1      verification
reject_rhsbl_recipient                     recipient domain  2.0      dnsbl
check_etrn_access                          etrn      map     1.0      tables
"""


def _keyword(line: str) -> Keyword:
    name, natural, argument, versions, stage = line.split()
    since, _, removed = versions.partition("-")
    return Keyword(
        name=name.rstrip("!"),
        natural=None if natural == "-" else natural,
        argument=Argument(argument),
        since=Version.parse(since),
        removed=Version.parse(removed) if removed else None,
        no_ok=name.endswith("!"),
        stage=Stage[stage.upper()],
    )


#: Every word, by name.
KEYWORDS = {keyword.name: keyword for keyword in map(_keyword, _WORDS.strip().splitlines())}


@dataclass(frozen=True, slots=True)
class Restriction:
    """One restriction of a list, as written.

    `name` is its word, or a bare `type:table`, or a restriction class; `argument` is what
    belongs to it (None where the list ends before it); `warn` says that `warn_if_reject`
    stands before it.
    """

    name: str
    argument: str | None = None
    warn: bool = False

    def __str__(self) -> str:
        words = [WARN] if self.warn else []
        words += [self.name] if self.name else []
        words += [self.argument] if self.argument else []
        return " ".join(words)

    @property
    def keyword(self) -> Keyword | None:
        """What is known about its word, under the modern name; None for what is no word."""
        name = self.name.lower()
        return KEYWORDS.get(OLD_NAMES.get(name, name))


def split(value: str) -> list[Restriction]:
    """Cut a restriction list as Postfix does; words are kept as written. Raises nothing."""
    words = iter(split_list(value))
    found: list[Restriction] = []
    warn = False
    for word in words:
        if word.lower() == WARN:
            warn = True
            continue
        keyword = KEYWORDS.get(word.lower())
        takes_one = keyword is not None and keyword.argument is not Argument.NONE
        found.append(Restriction(word, next(words, None) if takes_one else None, warn))
        warn = False
    if warn:  # nothing follows it
        found.append(Restriction("", None, warn=True))
    return found


def join(items: Iterable[Restriction | str]) -> str:
    """The list in its canonical one-line form."""
    return ", ".join(str(item) for item in items)


def modern(value: str) -> str:
    """A list (or a single restriction) with today's names, in canonical form."""
    return join(_modern(item) for item in split(value))


def _modern(item: Restriction) -> Restriction:
    name = item.name.lower()
    return replace(item, name=OLD_NAMES[name]) if name in OLD_NAMES else item


def same_list(one: str, other: str) -> bool:
    """Whether two lists mean the same: separators, folding, case and old names aside."""
    if split_list(one) == split_list(other):
        return True
    return [_canonical(item) for item in split(one)] == [_canonical(item) for item in split(other)]


def _canonical(item: Restriction) -> Restriction:
    item = _modern(item)
    name = item.name.lower() if item.name.lower() in KEYWORDS else item.name
    argument = None if item.argument is None else _plain(item.argument)
    return replace(item, name=_plain(name), argument=argument)


def _plain(text: str) -> str:
    """`{ a, b }` with its inner separators in one form."""
    if not (text.startswith("{") and text.endswith("}") and balanced(text)):
        return text
    return "{" + ", ".join(_plain(word) for word in split_list(text[1:-1])) + "}"
