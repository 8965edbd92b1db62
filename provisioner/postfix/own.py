"""What may stand in `mydestination` and `mynetworks`: names and networks of one's own."""

from __future__ import annotations

import ipaddress
import re

_ADDRESS = re.compile(
    r"!?\[?([0-9]+\.[0-9.]+|[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*)\]?(?:/([^/]*))?", re.IGNORECASE
)


def own_network(text: str) -> str:
    """`text` where Postfix takes it as (part of) `mynetworks`, postconf(5); files, tables and
    parameters are not looked into. Raises ValueError: it looks like a network and is none."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return text
    address, bits = found.groups()
    try:
        whole = address if bits is None else f"{address}/{bits}"
        network = ipaddress.ip_network(whole, strict=False)
    except ValueError:
        raise ValueError(
            "is no network: an address, and behind / how many of its bits count, as 192.0.2.0/24"
        ) from None
    if network.version == 6 and "[" not in text:
        inside = text.replace(address, f"[{address}]", 1)
        raise ValueError(f"Postfix wants IPv6 addresses in brackets: write {inside}")
    if ipaddress.ip_address(address) != network.network_address:
        right = text.replace(address, str(network.network_address), 1)
        raise ValueError(f"has more bits set than /{bits} says: write {right}")
    return text


def own_domain(text: str) -> str:
    """`text` where Postfix takes it as an item of `mydestination`, postconf(5). Raises ValueError:
    it is an address or a URL."""
    if "@" in text:
        raise ValueError("is a mail address; a domain is what stands behind the @")
    if "://" in text:
        raise ValueError("is a URL; a domain has no http://")
    if any(char in text for char in " \t,"):
        raise ValueError("names one domain an item: write [a.example, b.example]")
    return text
