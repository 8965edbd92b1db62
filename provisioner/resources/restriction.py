"""Restriction entries, and the one place that folds them into smtpd lists.

Roles contribute entries: a stage, the lists the entry naturally belongs to, and its
text. `compose` turns all contributions of a host into `smtpd_*_restrictions`
parameters by the chosen layout. Order: stage, then the roles' order in the site file,
then the order given (SMTPD_ACCESS_README).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar

from provisioner.postfix import main_cf, restrictions, sensitive
from provisioner.resources.base import Origin, Resource
from provisioner.resources.observed import Observed
from provisioner.resources.parameter import Parameter, with_real_types


class Stage(IntEnum):
    """Where in a list an entry stands. Cheap and certain first, costly and doubtful last."""

    OWN_CLIENTS = 10
    RELAY_GUARD = 20
    EXEMPTIONS = 30
    SYNTAX = 40
    LOCAL_TABLES = 50
    UNLISTED = 60
    DNS = 70
    DNSBL = 80
    POLICY = 90
    VERIFY = 100
    FINAL = 110


class Layout(StrEnum):
    """`recipient`: every check in the recipient list; `per_list`: each where it belongs."""

    RECIPIENT = "recipient"
    PER_LIST = "per_list"


class Mode(StrEnum):
    """`trial` logs what would be refused and refuses nothing (`warn_if_reject`)."""

    ENFORCE = "enforce"
    TRIAL = "trial"
    DISABLED = "disabled"


CLIENT, HELO, SENDER, RELAY, RECIPIENT = (
    f"smtpd_{stage}_restrictions" for stage in ("client", "helo", "sender", "relay", "recipient")
)
DATA, END_OF_DATA, ETRN = (
    f"smtpd_{stage}_restrictions" for stage in ("data", "end_of_data", "etrn")
)

#: In the order Postfix walks them.
LISTS = (CLIENT, HELO, SENDER, RELAY, RECIPIENT, DATA, END_OF_DATA, ETRN)
#: The lists whose checks can move to the recipient list without losing information.
_MOVABLE = (CLIENT, HELO, SENDER, RECIPIENT)


@dataclass(frozen=True)
class RestrictionEntry:
    """One contribution. `lists` are the lists it naturally belongs to, at least one.

    Own clients and exemptions name every list they guard: they are written into each
    of those lists that has something to guard them from. `hidden` as in `Parameter`.
    """

    origin: Origin
    stage: Stage
    lists: tuple[str, ...]
    text: str
    mode: Mode = Mode.ENFORCE
    hidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name in self.lists if name not in LISTS]
        if unknown or not self.lists:
            raise ValueError(f"not a restriction list: {', '.join(unknown) or '(none)'}")
        found = restrictions.split(self.text)
        if len(found) != 1 or not found[0].name:
            raise ValueError(f"{self.text!r} is not one restriction; contribute each by itself")
        main_cf.check_value(self.lists[0], self.text, fold=True)
        keyword = found[0].keyword
        if keyword and keyword.argument is not restrictions.Argument.NONE and not found[0].argument:
            raise ValueError(f"{self.text} lacks what belongs behind it ({keyword.argument})")
        if self.mode is Mode.TRIAL and self.stage <= Stage.RELAY_GUARD:
            raise ValueError(
                f"{self.text} cannot be on trial: it decides who may relay or is always let in"
            )

    @property
    def rendered(self) -> str:
        prefix = "warn_if_reject " if self.mode is Mode.TRIAL else ""
        return prefix + restrictions.modern(self.text)


@dataclass(frozen=True)
class RestrictionLayout:
    """The choice of layout, made once a host."""

    origin: Origin
    layout: Layout


@dataclass(frozen=True)
class RestrictionList(Parameter):
    """A composed (or verbatim) list: a parameter that knows each entry's origin."""

    kind: ClassVar[str] = "parameter"
    entries: tuple[tuple[str, Origin], ...] = ()

    def resolved_entries(self, observed: Observed) -> tuple[tuple[str, Origin], ...]:
        """The entries as they will stand on this host, fit to be shown."""
        return tuple(
            (sensitive.mask(self.name, with_real_types(text, observed), self.hidden), origin)
            for text, origin in self.entries
        )


Contribution = Resource | RestrictionEntry | RestrictionLayout


def verbatim(name: str, text: str, origin: Origin) -> RestrictionList:
    """A list given whole: kept as written, its entries all of one origin."""
    entries = tuple((str(item), origin) for item in restrictions.split(text))
    return RestrictionList(origin, name, text, fold=True, entries=entries)


def compose(contributions: Iterable[Contribution]) -> list[Resource]:
    """All contributions with the restriction entries folded into list parameters.

    Raises `ComposeError` when a list is given verbatim and contributed to as well.
    """
    resources: list[Resource] = []
    entries: list[RestrictionEntry] = []
    layout: RestrictionLayout | None = None
    for each in contributions:
        if isinstance(each, RestrictionEntry):
            if each.mode is not Mode.DISABLED:
                entries.append(each)
        elif isinstance(each, RestrictionLayout):
            layout = each
        else:
            resources.append(each)
    if not entries:
        return resources
    lists = _place(entries, layout.layout if layout else Layout.RECIPIENT)
    given = {each.name: each for each in resources if isinstance(each, RestrictionList)}
    for name, placed in lists.items():
        if name in given:
            _refuse_mixture(given[name], placed)
            continue
        resources.append(_list_parameter(name, placed, layout, entries[0].origin))
    return resources


class ComposeError(ValueError):
    """A verbatim list and contributions to it exclude each other; names both."""

    def __init__(self, name: str, given: Origin, entry: RestrictionEntry) -> None:
        super().__init__(
            f"{name} is given verbatim ({given}), and role {entry.origin.role} contributes "
            f"{entry.text!r} to it ({entry.origin})"
        )
        self.given = given
        self.entry = entry


def _refuse_mixture(given: RestrictionList, placed: Sequence[RestrictionEntry]) -> None:
    """Own clients, guard and final permit are scaffolding that a verbatim list replaces."""
    scaffolding = (Stage.OWN_CLIENTS, Stage.RELAY_GUARD, Stage.FINAL)
    for entry in placed:
        if entry.stage not in scaffolding:
            raise ComposeError(given.name, given.origin, entry)


#: Words of which one must stand in the relay or the recipient list (smtpd(8) insists).
_GUARDS = frozenset(
    {"reject", "defer", "defer_if_permit", "reject_unauth_destination", "defer_unauth_destination"}
)


def unguarded(
    contributions: Iterable[Contribution], composed: Iterable[Resource]
) -> RestrictionEntry | None:
    """The first entry of lists that nobody put a relay guard into; None where there is one,
    or nothing to guard. Whether relaying is refused would be left to what the host has."""
    entries = (e for e in contributions if isinstance(e, RestrictionEntry))
    first = next((each for each in entries if each.mode is not Mode.DISABLED), None)
    if first is None:
        return None
    for each in composed:
        # A fallback leaves what the host has, and that may be nothing.
        if isinstance(each, Parameter) and each.name in (RELAY, RECIPIENT) and not each.fallback:
            found = restrictions.split(each.value or "")
            if any(item.name.lower() in _GUARDS and not item.warn for item in found):
                return None
    return first


def _place(
    entries: Sequence[RestrictionEntry], layout: Layout
) -> dict[str, list[RestrictionEntry]]:
    """Each list's entries in order. The lists a layout leaves empty are there, empty."""
    ordered = sorted(entries, key=lambda entry: entry.stage)  # stable: given order kept
    lists: dict[str, list[RestrictionEntry]] = {name: [] for name in _MOVABLE}
    for entry in ordered:
        homes = entry.lists
        if layout is Layout.RECIPIENT and any(home in _MOVABLE for home in homes):
            homes = (RECIPIENT, *(home for home in homes if home not in _MOVABLE))
        for home in homes:
            lists.setdefault(home, []).append(entry)
    guards = (Stage.OWN_CLIENTS, Stage.EXEMPTIONS, Stage.FINAL)
    for name in lists:
        if name not in (RELAY, RECIPIENT) and all(e.stage in guards for e in lists[name]):
            lists[name] = []  # nothing there that anybody needs to be let past
    return {name: lists[name] for name in LISTS if name in lists}


def _list_parameter(
    name: str,
    placed: Sequence[RestrictionEntry],
    layout: RestrictionLayout | None,
    fallback: Origin,
) -> RestrictionList:
    seen: dict[str, Origin] = defaultdict()
    for entry in placed:
        seen.setdefault(entry.rendered, entry.origin)
    origin = layout.origin if layout else (placed[0].origin if placed else fallback)
    hidden = tuple(dict.fromkeys(pattern for entry in placed for pattern in entry.hidden))
    return RestrictionList(
        origin, name, ", ".join(seen), fold=True, hidden=hidden, entries=tuple(seen.items())
    )
