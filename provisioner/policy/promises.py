"""Policy tests that several roles bring, and those of an access table. Pure.

A role's test leaves open what its host decides: the stranger's address, and the recipient
(`strangers.placed`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_network

from provisioner.policy.conversation import Client, Conversation, Expectation, PolicyTest, Stage
from provisioner.postfix import access
from provisioner.resources.base import Origin

#: A recipient that no host takes mail for (RFC 2606).
ELSEWHERE = "someone@relay-test.invalid"
#: The mail is taken, or would be: 354 asks for the message.
ACCEPTED = Expectation(("2xx", "3xx"))
REFUSED = Expectation(("5xx",))

#: How many entries of one table are tested: the first that refuse.
ENTRIES_TESTED = 5

_LOOPBACK = ip_network("127.0.0.0/8")


def helo_demanded(origin: Origin) -> PolicyTest:
    return PolicyTest(
        "no mail without HELO",
        Conversation(helo=None, until=Stage.MAIL),
        Expectation(("503",)),
        origin,
    )


def own_client(networks: Iterable[str]) -> Client | None:
    """A client in one of these networks that has no name; None where none is known."""
    found = []
    for each in networks:
        plain = each.replace("[", "").replace("]", "")
        try:
            network = ip_network(plain, strict=False)
        except ValueError:
            continue  # a table
        # Loopback is let in by many checks: any other network proves more.
        first = network[min(1, network.num_addresses - 1)]
        found.append((network == _LOOPBACK or first.is_loopback, str(first)))
    if not found:
        return None
    return Client(address=min(found, key=lambda each: each[0])[1], name="", reverse_name="")


def refusing_entries(
    stage: str,
    type_: str,
    entries: Mapping[str, str],
    own_domains: Iterable[str],
    origin: Callable[[str], Origin],
) -> Iterator[PolicyTest]:
    """A test for each of the first entries of an access table that refuse. `stage` is what
    the table is asked about; `origin` says where the entry of a key was written."""
    tested = 0
    own = {each.lower() for each in own_domains}
    for key, action in entries.items():
        expect = _refusal(action)
        talk = conversation_for(stage, key, type_)
        if expect is None or talk is None:
            continue
        if stage == "recipient" and talk.recipients[0].rpartition("@")[2].lower() not in own:
            continue  # the relay guard answers before the table
        yield PolicyTest(f"{stage} {key} is refused", talk, expect, origin(key))
        tested += 1
        if tested == ENTRIES_TESTED:
            return


def _refusal(action: str) -> Expectation | None:
    """What a client is told by an action of access(5); None for one that refuses nobody."""
    word, _, text = " ".join(action.split()).partition(" ")
    if access.action_fault(action)[0]:
        return None
    if word.upper() in ("REJECT", "DEFER"):
        code = "5xx" if word.upper() == "REJECT" else "4xx"
    elif word.isdigit():
        code = word
        # An enhanced status code is written anew, the text is not.
        status, _, rest = text.partition(" ")
        text = rest if status.count(".") == 2 else text
    else:
        return None
    return Expectation((code,), text)


def conversation_for(stage: str, key: str, type_: str = "indexed") -> Conversation | None:
    """A conversation that a key of a table is looked up in; None where the key does not say."""
    if type_ in ("regexp", "pcre"):
        return None
    if stage == "client":
        return _from_client(key, type_)
    if stage == "helo":
        return Conversation(helo=key)
    mailbox = key if "@" in key.strip("@") else f"anybody@{key}"
    if key.endswith("@"):
        mailbox = f"{key}example.org"
    if stage == "sender":
        return Conversation(sender="" if key == "<>" else mailbox)
    return Conversation(recipients=(mailbox,), until=Stage.RCPT)


def _from_client(key: str, type_: str) -> Conversation | None:
    if key.startswith("!"):
        return None
    octets = key.split(".")
    if type_ != "cidr" and all(each.isdigit() for each in octets) and len(octets) < 4:
        key = ".".join([*octets, *["1"] * (4 - len(octets))])
    try:
        network = ip_network(key, strict=False)
    except ValueError:
        if ":" in key or type_ == "cidr":
            return None
        return Conversation(client=Client(name=key, reverse_name=key))
    first = network[min(1, network.num_addresses - 1)]
    return None if first.is_loopback else Conversation(client=Client(address=str(first)))
