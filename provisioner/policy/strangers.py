"""Who a stranger is to a host, and whom a stranger writes to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from provisioner.policy.conversation import Conversation, PolicyTest, Stage
from provisioner.postfix.logical import split_list
from provisioner.resources.base import Resource
from provisioner.resources.parameter import Parameter

#: What is said where a test says nothing.
_USUAL = Conversation()
_TO_SOMEBODY = (Stage.RCPT, Stage.DATA, Stage.MESSAGE)
#: Why a test of a role is skipped where it would need a recipient.
NOBODY_KNOWN = "no domain is known that this host takes mail for (mail.domains)"
#: Addresses that belong to nobody (RFC 5737, RFC 2544), in the order they are taken.
ADDRESSES = (_USUAL.client.address, "203.0.113.25", "198.51.100.25", "198.18.25.25")
#: Domains of nobody (RFC 2606), in the order in which a stranger is from one.
WORLDS = ("example.org", "example.net", "example.com", "example.edu")
#: Where a host says which domains it takes mail for.
_DOMAINS = ("mydestination", "relay_domains", "virtual_mailbox_domains", "virtual_alias_domains")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a test needs to know of its host: a stranger's address and domain, and a
    recipient here. Of a host without a `known` domain that one is a guess."""

    stranger: str = ADDRESSES[0]
    recipient: str = "postmaster"
    world: str = WORLDS[0]
    known: bool = True

    @property
    def client(self) -> str:
        return f"client.{self.world}"

    @property
    def sender(self) -> str:
        return f"someone@{self.world}"


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
    here = [*domains, *_declared(values)]
    recipient = f"postmaster@{here[0] if here else host}"
    lower = {each.lower() for each in here}
    world = next((each for each in WORLDS if each not in lower), WORLDS[0])
    return Surroundings(next(free, ADDRESSES[0]), recipient, world, bool(here))


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


def is_anybody(talk: Conversation) -> bool:
    """Whether that is how any well-behaved stranger writes: nothing was said of this one."""
    if talk.client.address not in ADDRESSES:
        return False
    for world in WORLDS:
        name = f"client.{world}"
        client = replace(talk.client, name=name, reverse_name=name, login="")
        usual = replace(_USUAL, client=client, helo=name, sender=f"someone@{world}")
        if talk == replace(usual, recipients=talk.recipients, until=talk.until):
            return True
    return False


def placed(test: PolicyTest, around: Surroundings) -> PolicyTest:
    """A role's test on its host: what the role left open is filled in. One that needs a
    recipient is skipped where none is known: the relay guard would be what answers."""
    talk, client = test.conversation, test.conversation.client
    if client.address == _USUAL.client.address or client.name == _USUAL.client.name:
        named = client.name != _USUAL.client.name
        client = replace(
            client,
            address=around.stranger if client.address == ADDRESSES[0] else client.address,
            name=client.name if named else around.client,
            reverse_name=client.reverse_name if named else around.client,
        )
    placed = replace(
        talk,
        client=client,
        helo=around.client if talk.helo == _USUAL.helo else talk.helo,
        sender=around.sender if talk.sender == _USUAL.sender else talk.sender,
        recipients=talk.recipients or (around.recipient,),
    )
    to_somebody = talk.until in _TO_SOMEBODY and not talk.commands
    lost = to_somebody and not talk.recipients and not around.known
    return replace(test, conversation=placed, skip=test.skip or (NOBODY_KNOWN if lost else ""))
