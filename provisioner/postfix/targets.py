"""Where tables send mail: what stands on the right in aliases(5), virtual(5), transport(5)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from provisioner.postfix.logical import SPACE

_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_ITEM = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^,"])+')
#: What is no address, but delivered to by local(8).
_OF_LOCAL = ("|", "/", ":include:")


def items(value: str) -> list[str]:
    """The addresses, files and commands of a right-hand side, without quotes around them."""
    found = (each.strip(SPACE) for each in _ITEM.findall(value))
    return [each[1:-1] if _QUOTED.fullmatch(each) else each for each in found if each]


def alias_fault(value: str) -> tuple[str, str]:
    """What is wrong with the right-hand side of an alias, and the advice; ("", "") if nothing."""
    if '"' in _QUOTED.sub("", value):
        return f"{value}: a double quote is not closed", "close it at the end of the command"
    for each in items(value):
        if each.startswith(":") and not re.match(r":include:\S", each):
            return f"{each} is no address", "a list in a file is :include:/path"
        if each == "|":
            return f"{value}: there is no command behind the |", ""
    return "", ""


def virtual_fault(value: str) -> tuple[str, str]:
    """The same in a table of virtual aliases, which has addresses only."""
    for each in items(value):
        if each.startswith(_OF_LOCAL) and "@" not in each:
            return (
                f"{each} is no address, and virtual(5) has nothing else",
                "send it to a local name that aliases(5) knows",
            )
    return "", ""


def transport_fault(value: str, services: Collection[str]) -> tuple[str, str]:
    """The same for `transport:nexthop`; `services` are the names that master.cf has."""
    name = value.partition(":")[0]
    if not name or name in services:
        return "", ""
    if name.startswith("[") or "." in name or ":" not in value:
        advice = f"write smtp:{value}" if ":" not in value else "write smtp: before it"
    else:
        advice = "name a service of master.cf: smtp:[host], lmtp:unix:path"
    return f"{value}: master.cf has no service {name}, and mail would wait for it", advice


def circles(entries: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Names that lead to each other and nowhere else: their mail reaches nobody.

    Who names himself among others means his own mailbox. Each circle is told once, with the
    names in their order; those that lead into it, but are not part of it, are not told.
    """
    targets = {key: _next(key, value, entries) for key, value in entries.items()}
    # All names from which mail gets out, found backwards.
    reached = [key for key, ways in targets.items() if ways is None]
    sources: dict[str, list[str]] = {}
    for key, ways in targets.items():
        for way in ways or ():
            sources.setdefault(way, []).append(key)
    out = set(reached)
    while reached:
        new = [key for key in sources.get(reached.pop(), ()) if key not in out]
        out.update(new)
        reached += new
    told: set[str] = set()
    for key in targets:
        path: list[str] = []
        while key not in out and key not in told:
            told.add(key)
            path.append(key)
            key = (targets[key] or (key,))[0]
        if key in path:
            yield (*path[path.index(key) :], key)


def _next(key: str, value: str, entries: Mapping[str, str]) -> tuple[str, ...] | None:
    """The names of the same table that `value` leads to; None where it leads elsewhere, too."""
    if value.lower() not in entries and "," not in value:
        return None  # nearly all are so, and a table may have a million
    ways = [each.lower() for each in items(value)]
    if any(way == key or way not in entries for way in ways):
        return None
    return tuple(ways)


def keyed(entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Entries by the key that lookups fold to."""
    return {key.lower(): value for key, value in entries}
