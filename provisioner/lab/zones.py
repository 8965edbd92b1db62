"""What the lab's DNS answers, as plain data, and how an answer is found in it. Pure.

``{"records": {NAME: {TYPE: [VALUE, …]}}, "zones": {SUFFIX: {"mode": MODE, …}}}``

Names are written without the final dot. `records` hold ordinary names (types A, AAAA,
MX, NS, PTR, TXT, CNAME). `zones` change what everything at and below a name answers:

``list``      an RFC 5782 list: `entries` maps an address or domain to its answer
``all``       a list on which everything stands, with `answer`
``servfail``  the server fails
``silent``    no answer at all, until the client gives up

A list answers its test points itself: 127.0.0.2 (or the name TEST) is on it,
127.0.0.1 (or INVALID) never is.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Any, Literal

from provisioner.lab.recipe import DOMAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provisioner.lab.addresses import Block

Status = Literal["answer", "nodata", "nxdomain", "servfail", "silent"]
Zones = dict[str, Any]

#: What a listed address answers, and what a list answers to a client it will not serve.
LISTED = "127.0.0.2"
REFUSED = "127.255.255.254"

#: Lists that every lab has; their names say what they do.
DNSBL = f"dnsbl.{DOMAIN}"
RHSBL = f"rhsbl.{DOMAIN}"
ALLOW_LIST = f"dnswl.{DOMAIN}"
LISTS_EVERYTHING = f"all.{DOMAIN}"
REFUSES = f"refused.{DOMAIN}"
SILENT = f"silent.{DOMAIN}"
FAILS = f"servfail.{DOMAIN}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: `records` are (type, value) of the name asked for."""

    status: Status
    records: tuple[tuple[str, str], ...] = ()


def reverse_name(address: str) -> str:
    """The name that holds the PTR record of an IPv4 address."""
    return IPv4Address(address).reverse_pointer


def initial(block: Block, hosts: Iterable[tuple[str, str]]) -> Zones:
    """The zones of a new lab with `hosts` of (short name, address)."""
    clients = block.clients
    records: dict[str, dict[str, list[str]]] = {
        DOMAIN: {"MX": [], "NS": [f"ns.{DOMAIN}"], "A": [block.controller]},
        f"ns.{DOMAIN}": {"A": [block.dns]},
        f"controller.{DOMAIN}": {"A": [block.controller]},
        reverse_name(block.controller): {"PTR": [f"controller.{DOMAIN}"]},
        reverse_name(block.dns): {"PTR": [f"ns.{DOMAIN}"]},
        # Senders' domains: with MX, with an address alone, one that takes no mail
        # (RFC 7505), one that leads nowhere.
        "good.example": {"MX": ["10 mail.good.example"], "TXT": ["v=spf1 mx -all"]},
        "mail.good.example": {"A": [clients["good"]]},
        "nomx.example": {"A": [clients["second"]]},
        "nullmx.example": {"MX": ["0 ."]},
        "loopback.example": {"MX": ["10 mail.loopback.example"]},
        "mail.loopback.example": {"A": ["127.0.0.1"]},
        "listed.example": {"MX": ["10 mail.listed.example"]},
        "mail.listed.example": {"A": [clients["listed"]]},
    }
    for name, address in clients.items():
        if name == "nameless":
            continue
        full = _client_name(name, address)
        records[reverse_name(address)] = {"PTR": [full]}
        if name != "mismatched":
            records.setdefault(full, {})["A"] = [address]
    for name, address in hosts:
        records[f"{name}.{DOMAIN}"] = {"A": [address], "MX": [f"10 {name}.{DOMAIN}"]}
        records[reverse_name(address)] = {"PTR": [f"{name}.{DOMAIN}"]}
        records[DOMAIN]["MX"].append(f"10 {name}.{DOMAIN}")
    zones: dict[str, dict[str, Any]] = {
        DNSBL: {"mode": "list", "entries": {clients["listed"]: LISTED}},
        RHSBL: {"mode": "list", "entries": {"listed.example": LISTED}},
        ALLOW_LIST: {"mode": "list", "entries": {clients["allowed"]: "127.0.5.2"}},
        LISTS_EVERYTHING: {"mode": "all", "answer": LISTED},
        REFUSES: {"mode": "all", "answer": REFUSED},
        SILENT: {"mode": "silent"},
        FAILS: {"mode": "servfail"},
        "broken.example": {"mode": "servfail"},
        "slow.example": {"mode": "silent"},
    }
    return {"records": records, "zones": zones}


def _client_name(name: str, address: str) -> str:
    if name == "good":
        return "mail.good.example"
    if name == "dynamic":
        return f"{address.replace('.', '-')}.dyn.isp.example"
    return f"{name}.client.example"


def look_up(data: Mapping[str, Any], name: str, kind: str, hops: int = 8) -> Answer:
    """What the lab answers when asked for records of type `kind` at `name`.

    Aliases are followed over `hops` names; a longer chain is a failure.
    """
    if hops < 0:
        return Answer("servfail")
    name = name.rstrip(".").lower()
    suffix = _zone_of(data["zones"], name)
    if suffix is not None:
        return _from_zone(data["zones"][suffix], suffix, name, kind)
    here = data["records"].get(name)
    if here is None:
        below = any(other.endswith("." + name) for other in data["records"])
        return Answer("nodata" if below else "nxdomain")
    if "CNAME" in here and kind != "CNAME":
        target = here["CNAME"][0]
        beyond = look_up(data, target, kind, hops - 1)
        if beyond.status in ("servfail", "silent"):
            return beyond
        return Answer("answer", (("CNAME", target), *beyond.records))
    found = tuple((kind, value) for value in here.get(kind, ()))
    return Answer("answer", found) if found else Answer("nodata")


def _zone_of(zones: Mapping[str, Any], name: str) -> str | None:
    matching = [zone for zone in zones if name == zone or name.endswith("." + zone)]
    return max(matching, key=len) if matching else None


def _from_zone(zone: Mapping[str, Any], suffix: str, name: str, kind: str) -> Answer:
    mode = zone["mode"]
    if mode in ("servfail", "silent"):
        return Answer(mode)
    if name == suffix:
        return Answer("answer", (("NS", f"ns.{DOMAIN}"),)) if kind == "NS" else Answer("nodata")
    entry = _entry(name[: -len(suffix) - 1])
    if entry in ("127.0.0.1", "invalid"):
        return Answer("nxdomain")
    if mode == "all":
        address: str | None = zone.get("answer", LISTED)
    elif entry in (LISTED, "test"):
        address = LISTED
    else:
        address = zone.get("entries", {}).get(entry)
    if address is None:
        return Answer("nxdomain")
    if kind == "A":
        return Answer("answer", (("A", address),))
    if kind == "TXT":
        return Answer("answer", (("TXT", zone.get("text", f"{entry} is listed by {suffix}")),))
    return Answer("nodata")


def _entry(label: str) -> str:
    """What a name in a list asks about: an address (written backwards) or a domain."""
    parts = label.split(".")
    try:
        return str(IPv4Address(".".join(reversed(parts))))
    except AddressValueError:
        return label
