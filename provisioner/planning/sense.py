"""Whether what a plan writes can be meant: values, entries of tables, who still listens.

Only what the plan brings is looked at. What stands on the host already, right or wrong, is not
this change's fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from provisioner.diagnostics import Diagnostic
from provisioner.marks import Mark
from provisioner.postfix import access, kinds, main_cf, master_cf, restrictions, tables, targets
from provisioner.postfix.logical import logical_lines, split_list
from provisioner.resources.base import Change, Resource, SetParameter, SetService
from provisioner.resources.observed import Observed
from provisioner.resources.table import Table

#: So many faults of one table are told; there may be a million.
_TOLD = 10
#: A fault of one entry: its key, what is wrong, and the advice.
_Fault = tuple[str, str, str]


def faults(
    changes: Sequence[Change],
    resources: Iterable[Resource],
    texts: tuple[str | None, str | None],
    observed: Observed,
) -> list[Diagnostic]:
    """What cannot be meant in what is written; `texts` are main.cf and master.cf as they will
    be, None where there is none."""
    if not changes:
        return []
    found: list[Diagnostic] = []
    before = _Scene.of(observed.main_text, observed.master_text)
    after = _Scene.of(*texts)
    for change in changes:
        mark = change.origin.mark if change.origin else None
        for effect in change.effects:
            if isinstance(effect, SetParameter) and effect.value is not None:
                fault, advice = kinds.fault(effect.name, effect.value)
                found += [_told(_short(fault), mark, advice)] if fault else []
            elif isinstance(effect, SetService):
                found += _options(effect, mark, observed)
                port = effect.key[0].rpartition(":")[2]
                if port in ("smtp", "25") and before.listens and not after.listens:
                    found.append(_silence(effect, mark))
    for each in resources:
        if isinstance(each, Table) and not each.secret:
            found += _entries(each, before, after, observed)
    return found


def _options(effect: SetService, mark: Mark | None, observed: Observed) -> Iterator[Diagnostic]:
    if effect.service is None:
        return
    current = observed.master_cf.get(*effect.key) if observed.master_cf else None
    known = current.settings if current else {}
    for name, value in effect.service.settings.items():
        fault, advice = kinds.fault(name, value)
        if fault and known.get(name) != value:
            yield _told(f"{'/'.join(effect.key)}: -o {_short(fault)}", mark, advice)


def _told(message: str, mark: Mark | None, advice: str) -> Diagnostic:
    return Diagnostic(message, mark, _short(advice))


def _short(text: str) -> str:
    """`text`, without its middle where what somebody wrote is very long."""
    return text if len(text) <= 300 else f"{text[:180]} […] {text[-100:]}"


def _silence(effect: SetService, mark: Mark | None) -> Diagnostic:
    return Diagnostic(
        f"without {'/'.join(effect.key)} no program listens for mail from others any more",
        mark,
        "a host that only sends says so: inet_interfaces = loopback-only",
    )


# ---- tables ---------------------------------------------------------------------------------

_ALIASES = ("alias_maps", "alias_database")
_CHECK = re.compile(r"check_(\w+)_access")
#: A line of a regexp(5) or pcre(5) table: the pattern, and what stands behind it.
_PATTERN = re.compile(r"(!?([^\w\s])(?:\\.|(?!\2).)*\2\w*)\s+(.*)")


@dataclass(frozen=True)
class _Scene:
    """What a main.cf and a master.cf make of tables: `uses` are by path, `transport`,
    `virtual`, `alias` or, with a colon behind it, what an access table is asked about.
    `transports` are the names that mail can be handed to."""

    uses: Mapping[str, frozenset[str]]
    transports: frozenset[str]
    classes: tuple[str, ...]
    listens: bool
    plain_keys: bool

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, main_text: str | None, master_text: str | None) -> _Scene:
        """Remembered as their parsing is: hosts often have the same files."""
        settings = main_cf.parse(main_text or "").values
        services = master_cf.parse(master_text or "").services.values()
        classes = tuple(split_list(settings.get("smtpd_restriction_classes", "")))
        uses: dict[str, set[str]] = {}
        for each in (settings, *(service.settings for service in services)):
            for name, value in each.items():
                for path, use in _uses(name, value, classes):
                    uses.setdefault(path, set()).add(use)
        local = split_list(settings.get("inet_interfaces", ""))
        alone = bool(local) and all(e in _LOOPBACK or e.startswith("127.") for e in local)
        return cls(
            {path: frozenset(found) for path, found in uses.items()},
            frozenset(each.name for each in services if each.type != "inet"),
            classes,
            alone or any(e.type == "inet" and e.command in _LISTENERS for e in services),
            "parent_domain_matches_subdomains" not in settings,
        )


_LOOPBACK = ("loopback-only", "localhost", "::1", "[::1]")
_LISTENERS = ("smtpd", "postscreen")


def _uses(name: str, value: str, classes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The tables that a setting names, and what for."""
    use = {"transport_maps": "transport", "virtual_alias_maps": "virtual"}.get(name, "")
    if name in _ALIASES:
        use = "alias"
    if use:
        yield from ((path, use) for _, path in tables.references(value))
    elif name in restrictions.LISTS.values() or name in classes:
        for item in restrictions.split(value):
            about = _CHECK.fullmatch(item.name.lower())
            if about or ":" in item.name:
                stage = about[1] if about else ""
                where = (item.argument or "") if about else item.name
                yield from ((path, f"{stage}:") for _, path in tables.references(where))


def _entries(
    table: Table, before: _Scene, after: _Scene, observed: Observed
) -> Iterator[Diagnostic]:
    uses = after.uses.get(table.path, frozenset())
    used = before.uses.get(table.path, frozenset())
    state = observed.path(table.path)
    same = state.digest == table.digest
    if not uses or (same and uses == used and after.transports >= before.transports):
        return
    found = _faults(table, _pairs(table), uses, after)
    first = next(found, None)
    if first is None:
        return
    live = _pairs(table) if same else _parsed(table, state.content or b"")
    known = {(key, fault) for key, fault, _ in _faults(table, live, used, before)}
    places = dict(table.origins)
    new = (each for each in (first, *found) if each[:2] not in known)
    for key, fault, advice in islice(new, _TOLD):
        origin = places.get(key, table.origin)
        yield _told(f"{table.path}: {_short(key)}: {_short(fault)}", origin.mark, advice)


def _pairs(table: Table) -> list[tuple[str, str]]:
    """Key and value of each entry, a pattern with its marks."""
    if table.text is not None:
        return _parsed(table, table.content)
    return [(entry.key, entry.value) for entry in table.entries]


def _parsed(table: Table, content: bytes) -> list[tuple[str, str]]:
    text = content.decode("utf-8", "surrogateescape")
    if table.type in ("regexp", "pcre"):
        lines = (line.text for line in logical_lines(text).logical)
        return [(m[1], m[3]) for m in map(_PATTERN.fullmatch, lines) if m]
    found = tables.parse(text, fold=False).entries
    if table.alias:
        return [(entry.key.removesuffix(":").strip('"'), entry.value) for entry in found]
    return [(e.key, e.value) for e in found if table.type != "cidr" or e.key != "if"]


def _faults(
    table: Table, pairs: Sequence[tuple[str, str]], uses: frozenset[str], scene: _Scene
) -> Iterator[_Fault]:
    """Each value is looked at once: a large table has few of them."""
    stages = [use[:-1] for use in sorted(uses) if use.endswith(":")]
    told: dict[str, tuple[str, str]] = {}
    for key, value in pairs:
        if value not in told:
            told[value] = _value_fault(table, value, stages, uses, scene)
        fault, advice = told[value]
        if not fault and stages and scene.plain_keys and table.type not in tables.PATTERNS:
            fault, advice = _key_fault(key, table.type, stages)
        if fault:
            yield key, fault, advice
    if "virtual" in uses or ("alias" in uses and table.alias):
        for circle in targets.circles(targets.keyed(pairs)):
            names = " -> ".join(circle)
            yield circle[0], f"mail goes round in a circle ({names}) and reaches nobody", ""


def _value_fault(
    table: Table, value: str, stages: list[str], uses: frozenset[str], scene: _Scene
) -> tuple[str, str]:
    pattern = table.type in ("regexp", "pcre")
    if pattern and "$" in "".join(value.split(maxsplit=1)[:1]):
        return "", ""  # what it will be depends on the text that matches
    if stages:
        return access.action_fault(value, scene.classes)
    if "transport" in uses and scene.transports:
        return targets.transport_fault(value, scene.transports)
    if "virtual" in uses:
        return targets.virtual_fault(value)
    return targets.alias_fault(value) if table.alias else ("", "")


def _key_fault(key: str, type_: str, stages: list[str]) -> tuple[str, str]:
    """A key that none of those who ask will ever ask for."""
    if key[:1].isalpha() and "/" not in key and ":" not in key:
        return "", ""  # a name, as nearly all are
    found = [access.key_fault(key, type_, stage) for stage in stages]
    return found[0] if all(fault for fault, _ in found) else ("", "")
