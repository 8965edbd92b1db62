"""From what decided (as smtpd(8) says it) to the line that somebody wrote. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from provisioner.policy.conversation import Decision
from provisioner.postfix import master_cf, restrictions
from provisioner.resources.base import Origin, Resource
from provisioner.resources.parameter import Parameter
from provisioner.resources.restriction import LISTS, RestrictionList
from provisioner.resources.service import MasterService
from provisioner.resources.table import Table


@dataclass(frozen=True, slots=True)
class Cause:
    """What decided, in words, and where that was written; no origin: nobody here wrote it."""

    text: str
    origin: Origin | None = None


def cause(
    decision: Decision | None, resources: Iterable[Resource], service: str = ""
) -> Cause | None:
    """The cause of a decision of that service's; None where none is known."""
    if decision is None or not (decision.restriction or decision.table):
        return None
    known = list(resources)
    entries = [*_of_service(service, known), *_entries(known)]
    path = _path(decision.table)
    if decision.restriction.endswith("_checks") and not path:
        return _content(decision, known)
    if not path:
        return Cause(decision.restriction, _of_restriction(decision, entries))
    entry = " ".join(word for word in (decision.key, decision.action) if word)
    where = decision.table if decision.table in decision.restriction else ""
    asked = " ".join(word for word in (decision.restriction, where or decision.table) if word)
    text = f"{asked}: {entry}" if entry else asked
    table = next((e for e in known if isinstance(e, Table) and e.path == path), None)
    written = _of_entry(table, decision) if table else None
    return Cause(
        text, written or _of_restriction(decision, entries) or (table.origin if table else None)
    )


def _content(decision: Decision, resources: Iterable[Resource]) -> Cause:
    """The rule that found a header or a line. cleanup(8) does not say which of its tables it
    stands in, so that it is looked for in all of that kind."""
    kind = "body_checks" if decision.restriction == "body_checks" else "header_checks"
    known = list(resources)
    asked = {
        _path(each.value or ""): each
        for each in known
        if isinstance(each, Parameter) and each.name.endswith(kind)
    }
    for table in known:
        if isinstance(table, Table) and table.path in asked:
            rule = next((e for e in table.origins if _answers(e[0], table.type, decision)), None)
            if rule is not None:
                parameter = asked[table.path]
                return Cause(f"{parameter.name} {parameter.value}: {rule[0]}", rule[1])
    origin = next(iter(asked.values())).origin if asked else None
    return Cause(f"{decision.restriction}: {decision.key} {decision.action}", origin)


def _path(table: str) -> str:
    """`/etc/postfix/maps/x` of `proxy:hash:/etc/postfix/maps/x`."""
    return table[table.index("/") :] if "/" in table else ""


def _of_restriction(decision: Decision, entries: Iterable[tuple[str, Origin]]) -> Origin | None:
    """Where the restriction was asked for. One that asks a table is found by the table."""
    word, _, argument = decision.restriction.partition(" ")
    path = _path(decision.table) or _path(argument)
    best: Origin | None = None
    for text, origin in entries:
        for item in restrictions.split(restrictions.modern(text)):
            if item.name.lower() != word.lower():
                continue
            given = item.argument or ""
            if path and _path(given) != path:
                continue
            if argument and not path and given and argument not in given:
                continue
            if origin.mark:
                return origin
            best = best or origin
    return best


def _entries(resources: Iterable[Resource]) -> Iterator[tuple[str, Origin]]:
    """Every restriction of every list, with who wants it; checks of content by their names."""
    for each in resources:
        if isinstance(each, RestrictionList):
            yield from each.entries
        elif isinstance(each, Parameter) and each.name in LISTS:
            yield each.value or "", each.origin
        elif isinstance(each, Parameter) and each.name.endswith("_checks"):
            yield each.name, each.origin


def _of_service(name: str, resources: Iterable[Resource]) -> Iterator[tuple[str, Origin]]:
    """The lists that a service of master.cf has for itself."""
    for each in resources:
        if not isinstance(each, MasterService) or each.service is None:
            continue
        if master_cf.same_key(name, each.type) == master_cf.same_key(*each.key):
            for option, value in each.service.options:
                if option in LISTS:
                    yield value, each.origin


def _of_entry(table: Table, decision: Decision) -> Origin | None:
    """Where the entry that answered was written."""
    if table.type in ("regexp", "pcre", "cidr"):
        return next((o for line, o in table.origins if _answers(line, table.type, decision)), None)
    wanted = decision.key.lower()
    return next((o for key, o in table.origins if key.lower() == wanted), None)


#: Classes of characters as regexp_table(5) has them, inside brackets.
_CLASSES = {
    "alnum": "A-Za-z0-9",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "digit": "0-9",
    "lower": "a-z",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


def _answers(line: str, type_: str, decision: Decision) -> bool:
    """Whether a line of a pattern table may have given that action for that key."""
    if type_ == "cidr":
        network, _, action = line.partition(" ")
        try:
            inside = ip_address(decision.key) in ip_network(network, strict=False)
        except ValueError:
            inside = False
        return inside and _same_action(action, decision.action)
    found = re.fullmatch(r"(!?)/((?:\\.|[^/\\])*)/(\w*)\s+(.*)", line)
    if not found or not _same_action(found[4], decision.action):
        return False
    pattern = re.sub(r"\[:(\w+):\]", lambda each: _CLASSES.get(each[1], ""), found[2])
    try:
        flags = 0 if "i" in found[3] else re.IGNORECASE  # the flag toggles
        matched = re.search(pattern, decision.key, flags) is not None
    except re.error:
        return True  # not Python's idea of a pattern; the action is what there is to go by
    return matched is not bool(found[1])


def _same_action(written: str, told: str) -> bool:
    return " ".join(written.split()).casefold() == " ".join(told.split()).casefold() or not told
