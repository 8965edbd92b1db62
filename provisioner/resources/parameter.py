"""A main.cf parameter (postconf(5)): present with a value, set to empty, or absent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from provisioner.diagnostics import printable
from provisioner.postfix import activation, main_cf, restrictions, sensitive, tables
from provisioner.postfix.version import Version
from provisioner.resources.base import Action, Before, Change, Resource, SetParameter
from provisioner.resources.observed import Observed, Request

_RESTRICTION_LIST = re.compile(r"smtpd_[a-z_]+_restrictions")


@dataclass(frozen=True)
class Parameter(Resource):
    """`value` is the logical value, `""` sets it to empty, None removes it.

    With `fold` the value is a list: it is written one item a line and compared item
    by item, so that commas and line ends make no difference.
    A map type `indexed:` in it becomes the type the host really has. What matches one
    of the regular expressions in `hidden` is never shown. A `fallback` is written only
    where main.cf does not set the parameter, and gives way to anybody else's desire.
    `written` is how the setting once stood in the file.
    """

    kind: ClassVar[str] = "parameter"
    parameter: str
    value: str | None
    fold: bool = False
    hidden: tuple[str, ...] = ()
    fallback: bool = False
    written: str = ""

    def __post_init__(self) -> None:
        if self.value is None:
            main_cf.check_name(self.parameter)
        else:
            main_cf.check_value(self.parameter, self.value, fold=self.fold)

    @property
    def name(self) -> str:
        return self.parameter

    def requests(self) -> Iterable[Request]:
        return ()

    def identity(self) -> object:
        return [self.value, self.fold]

    @property
    def managed(self) -> bool:
        return not self.fallback

    def resolved(self, observed: Observed) -> str | None:
        """The value for this host: symbolic map types made real."""
        if self.value is None:
            return None
        if self.fallback and observed.main_cf is not None:
            current = observed.main_cf.get(self.parameter)
            if current is not None:
                return current
        return with_real_types(self.value, observed)

    def shown(self, value: str | None) -> str | None:
        """A value of this parameter as it may be shown."""
        return None if value is None else printable(self._masked(value))

    def _masked(self, value: str) -> str:
        return sensitive.mask(self.parameter, value, self.hidden)

    @property
    def holds_secret(self) -> bool:
        return self.value is not None and self._masked(self.value) != self.value

    def diff(self, observed: Observed) -> Iterable[Change]:
        if observed.main_cf is None:
            raise ValueError(f"there is no {observed.main_cf_path}")
        entry = observed.main_cf.parameters.get(self.parameter)
        current = entry.value if entry else None
        desired = self.resolved(observed)
        occurrences = sum(1 for each in observed.main_cf.entries if each.name == self.parameter)
        same = _same(entry, desired, self.fold)
        if same and occurrences <= 1:
            return ()
        notes = []
        if occurrences > 1:
            notes.append(
                f"stands {occurrences} times in the file: the last one counts, "
                "the earlier are removed"
            )
        if same:
            level, reason = activation.Activation.NONE, ""
        else:
            level, reason = activation.for_parameter(
                self.parameter, current, desired, Version.parse(observed.facts.postfix_version)
            )
        if desired is None:
            action = Action.DELETE
        else:
            action = Action.CREATE if current is None else Action.UPDATE
        return (
            Change(
                self.address,
                action,
                before=self.shown(current),
                after=self.shown(desired),
                origin=self.origin,
                notes=tuple(notes),
                effects=(SetParameter(self.parameter, desired, self.fold, self.written),),
                activation=level,
                reason=reason,
            ),
        )

    def before(self, observed: Observed) -> Before:
        entry = observed.main_cf.parameters.get(self.parameter) if observed.main_cf else None
        if entry is None:
            return Before(present=False)
        # A value folded in a CR LF file has the CR in it, which nobody could write back.
        value = entry.unfolded if "\r" in entry.value else entry.value
        written = main_cf.written(observed.main_text or "", entry)
        return Before(present=True, value=value, written=written or None)


@dataclass(frozen=True)
class CompatibilityLevel(Parameter):
    """The highest level that the host's Postfix knows, of those without surprises."""

    kind: ClassVar[str] = "parameter"

    def resolved(self, observed: Observed) -> str | None:
        level = super().resolved(observed)
        current = observed.main_cf.get(self.parameter) if observed.main_cf else None
        if current is None and Version.parse(observed.facts.postfix_version) >= Version(3, 6):
            return "3.6"
        return level


def indexed_type(observed: Observed) -> str:
    """What `indexed:` means on this host (DATABASE_README)."""
    facts = observed.facts
    return tables.resolve_indexed(set(facts.map_types), facts.default_database_type)


def with_real_types(text: str, observed: Observed) -> str:
    """`text` with the map type `indexed:` replaced by what it means on this host.

    Asks nothing of a host for a text that has none in it. Raises ValueError where the
    host has no type for it.
    """
    if f"{tables.INDEXED}:" not in text:
        return text
    return tables.substitute(text, indexed_type(observed))


def _same(current: main_cf.Parameter | None, desired: str | None, fold: bool) -> bool:
    if current is None or desired is None:
        return current is None and desired is None
    if _RESTRICTION_LIST.fullmatch(current.name):
        return restrictions.same_list(current.value, desired)
    return main_cf.same_value(current, desired, fold=fold)
