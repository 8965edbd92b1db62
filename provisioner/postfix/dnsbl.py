"""DNS lists: which there are, what their answers mean, and which are dead.

A list answers an address (127.0.0.0/8) for what stands on it; without a filter every
answer refuses mail, also "you ask too much" and the wildcard of whoever bought the
expired domain (postconf(5) reject_rbl_client; RFC 5782). So every list has a filter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Lists(StrEnum):
    """What a list is asked about."""

    ADDRESSES = "addresses"
    DOMAINS = "domains"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True)
class Zone:
    """A list that is alive. `filter` are the answers that mean "listed"; `key` says that
    a subscriber's key goes before the zone."""

    name: str
    lists: Lists
    filter: str
    about: str
    key: bool = False


@dataclass(frozen=True, slots=True)
class DeadZone:
    """A list that is no more. `name` covers the names below it as well."""

    name: str
    since: str
    what: str
    instead: str = ""


_A, _D, _W = Lists.ADDRESSES, Lists.DOMAINS, Lists.ALLOWED

#: Lists in use, each with the answers its operator documents.
KNOWN = {
    zone.name: zone
    for zone in (
        Zone("zen.spamhaus.org", _A, "127.0.0.[2..11]", "SBL, CSS, XBL and PBL in one"),
        Zone("sbl.spamhaus.org", _A, "127.0.0.[2;3;9]", "part of zen"),
        Zone("xbl.spamhaus.org", _A, "127.0.0.[4..7]", "part of zen"),
        Zone("pbl.spamhaus.org", _A, "127.0.0.[10;11]", "part of zen"),
        Zone("dbl.spamhaus.org", _D, "127.0.1.[2..99]", "domains; not to be asked addresses"),
        Zone("zen.dq.spamhaus.net", _A, "127.0.0.[2..11]", "zen for subscribers", key=True),
        Zone("sbl.dq.spamhaus.net", _A, "127.0.0.[2;3;9]", "part of zen", key=True),
        Zone("xbl.dq.spamhaus.net", _A, "127.0.0.[4..7]", "part of zen", key=True),
        Zone("pbl.dq.spamhaus.net", _A, "127.0.0.[10;11]", "part of zen", key=True),
        Zone("authbl.dq.spamhaus.net", _A, "127.0.0.20", "for submission", key=True),
        Zone("dbl.dq.spamhaus.net", _D, "127.0.1.[2..99]", "dbl for subscribers", key=True),
        Zone("zrd.dq.spamhaus.net", _D, "127.0.2.[2..24]", "domains a day old", key=True),
        Zone("bl.spamcop.net", _A, "127.0.0.2", "from users' reports; short listings"),
        Zone("b.barracudacentral.org", _A, "127.0.0.2", "free, after registration"),
        Zone("psbl.surriel.com", _A, "127.0.0.2", "spam traps; easy removal"),
        Zone("dnsbl.dronebl.org", _A, "127.0.0.[2..254]", "open proxies, drones"),
        Zone("bl.mailspike.net", _A, "127.0.0.[2;10..12]", "reputation: the worst"),
        Zone("multi.surbl.org", _D, "127.0.0.[2..254]", "domains in message bodies"),
        Zone("list.dnswl.org", _W, "127.0.[2..14].[1..3]", "allow list"),
    )
}

#: Lists whose names stand in old articles, and what became of them.
DEAD = {
    zone.name: zone
    for zone in (
        DeadZone("relays.ordb.org", "18 December 2006", "lists everything since 25 March 2008"),
        DeadZone(
            "dnsbl.njabl.org",
            "1 March 2013",
            "emptied; the domain's new owner listed everything in January 2024",
        ),
        DeadZone("dsbl.org", "May 2008", "name servers off since 9 March 2009"),
        DeadZone("blackhole.securitysage.com", "October 2007", "broken, then gone"),
        DeadZone("blackholes.easynet.nl", "an unknown date", "no live service found"),
        DeadZone("blackholes.wirehub.net", "an unknown date", "no live service found"),
        DeadZone("opm.blitzed.org", "an unknown date", "no live service found"),
        DeadZone(
            "cbl.abuseat.org", "its move to Spamhaus", "it is part of XBL now", "zen.spamhaus.org"
        ),
        DeadZone("ahbl.org", "1 January 2015", "lists everything since"),
        DeadZone("sorbs.net", "5 June 2024", "emptied"),
        DeadZone("dnsbl.inps.de", "an unknown date", "shut down"),
        DeadZone("bl.emailbasura.org", "an unknown date", "shut down"),
        DeadZone("bl.spamcannibal.org", "an unknown date", "its domain became a wildcard"),
        DeadZone("ix.dnsbl.manitu.net", "an unknown date", "shut down"),
        DeadZone("db.wpbl.info", "an unknown date", "shut down"),
        DeadZone("virbl.bit.nl", "an unknown date", "shut down"),
    )
}

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})+")
_PART = r"(\d{1,3}|\[\d{1,3}(\.\.\d{1,3})?(;\d{1,3}(\.\.\d{1,3})?)*\])"
_FILTER = re.compile(rf"{_PART}(\.{_PART}){{3}}")
_KEY = re.compile(r"[A-Za-z0-9_-]{6,63}")


def dead(zone: str) -> DeadZone | None:
    """The dead list that `zone` is, or lies below."""
    labels = zone.lower().rstrip(".").split(".")
    names = (".".join(labels[start:]) for start in range(len(labels)))
    return next((DEAD[name] for name in names if name in DEAD), None)


def known(zone: str) -> Zone | None:
    return KNOWN.get(zone.lower().rstrip("."))


def name_fault(zone: str) -> str:
    """What is wrong with the name of a zone; empty if nothing."""
    if not _NAME.fullmatch(zone.lower()):
        return f"{zone!r} is not the name of a zone"
    return ""


def filter_fault(text: str) -> str:
    """What is wrong with a reply filter (`127.0.0.[2..11]`); empty if nothing."""
    if not _FILTER.fullmatch(text):
        return f"{text!r} is no filter; write 127.0.0.2 or 127.0.0.[2..11] or 127.0.0.[2;4..7]"
    if any(int(number) > 255 for number in re.findall(r"\d+", text)):
        return f"{text!r}: numbers go to 255"
    for low, high in re.findall(r"(\d+)\.\.(\d+)", text):
        if int(low) > int(high):
            return f"{text!r}: {low}..{high} is empty"
    return ""


def key_fault(key: str) -> str:
    """What is wrong with a subscriber's key, without saying it; empty if nothing."""
    return "" if _KEY.fullmatch(key) else "a key is one label of a domain name"


def key_pattern(zone: str) -> str:
    """A regular expression for the key that stands before a zone, whatever it is."""
    return rf"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]+(?=\.{re.escape(zone.lower())}\b)"
