"""Who a stranger is to a host, and whom a stranger writes to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from provisioner.policy.conversation import Client, PolicyTest
from provisioner.postfix.logical import split_list
from provisioner.resources.base import Resource
from provisioner.resources.parameter import Parameter

#: Addresses that belong to nobody (RFC 5737, RFC 2544), in the order they are taken.
ADDRESSES = (Client().address, "203.0.113.25", "198.51.100.25", "198.18.25.25")
#: Where a host says which domains it takes mail for.
_DOMAINS = ("mydestination", "relay_domains", "virtual_mailbox_domains", "virtual_alias_domains")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a test needs to know of its host: a stranger's address, and a recipient here."""

    stranger: str = ADDRESSES[0]
    recipient: str = "postmaster"


def surroundings(
    host: str,
    resources: Iterable[Resource],
    domains: Iterable[str] = (),
    networks: Iterable[str] = (),
) -> Surroundings:
    """`domains` and `networks` are the host's own (`mail`); what is not said there is looked
    for in `resources`. Where they name no domain, mail is for `host` itself."""
    values = {each.name: each.value or "" for each in resources if isinstance(each, Parameter)}
    given = list(networks) or split_list(values.get("mynetworks", ""))
    own = [each for each in map(_network, given) if each is not None]
    free = (e for e in ADDRESSES if not any(ip_address(e) in network for network in own))
    first = next(iter((*domains, *_declared(values))), host)
    return Surroundings(next(free, ADDRESSES[0]), f"postmaster@{first}")


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.translate({ord("["): None, ord("]"): None}), strict=False)
    except ValueError:
        return None  # a name, a table: Postfix knows


def _declared(values: Mapping[str, str]) -> Iterator[str]:
    for parameter in _DOMAINS:
        for word in split_list(values.get(parameter, "")):
            if "." in word and not any(mark in word for mark in "$:/!{["):
                yield word


def placed(test: PolicyTest, around: Surroundings) -> PolicyTest:
    """A role's test on its host: what the role left open is filled in."""
    talk = test.conversation
    if talk.client.address == ADDRESSES[0]:
        talk = replace(talk, client=replace(talk.client, address=around.stranger))
    if not talk.recipients:
        talk = replace(talk, recipients=(around.recipient,))
    return replace(test, conversation=talk)
