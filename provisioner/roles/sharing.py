"""Hosts with equal options share the work.

What a role gives is computed once for all hosts that have the same options, as long as it
looks at nothing that is one host's own (its name, groups and variables). The inventory gives
hosts with the same layers to whom templates give the same the same object, secrets excepted:
so options are told apart by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.diagnostics import Diagnostic
from provisioner.policy.conversation import PolicyTest
from provisioner.policy.strangers import Surroundings, placed
from provisioner.resources.base import Resource
from provisioner.resources.restriction import Contribution
from provisioner.roles.interface import HostContext, RoleOptions
from provisioner.roles.loading import Role
from provisioner.roles.options import validate

Composer = Callable[[Iterable[Contribution]], Sequence[Resource]]


class WatchedHost(HostContext):
    """A host that notices when a role looks at what is this host's own."""

    looked_at: bool = False

    def _own(self, name: str) -> Any:
        self.looked_at = True
        return self.__dict__[name]

    def _set(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    name = property(lambda s: s._own("name"), lambda s, v: s._set("name", v))
    groups = property(lambda s: s._own("groups"), lambda s, v: s._set("groups", v))
    variables = property(lambda s: s._own("variables"), lambda s, v: s._set("variables", v))


@dataclass(frozen=True, eq=False)
class Given:
    """What a role gives. `shared` says that it is the same for all hosts with these options."""

    contributions: tuple[Contribution, ...]
    tests: tuple[PolicyTest, ...]
    warnings: tuple[Diagnostic, ...]
    shared: bool


@dataclass
class Shared:
    """What was computed already. Each entry keeps the objects alive whose identity is its key."""

    _options: dict[tuple[Any, ...], tuple[Any, Any]] = field(default_factory=dict)
    _given: dict[tuple[Any, ...], tuple[Any, Given]] = field(default_factory=dict)
    _placed: dict[tuple[int, Surroundings], tuple[Given, tuple[PolicyTest, ...]]] = field(
        default_factory=dict
    )
    _composed: dict[tuple[int, ...], tuple[Any, tuple[Resource, ...]]] = field(default_factory=dict)

    def validated(
        self, model: type[RoleOptions], source: Any, label: str
    ) -> tuple[Any, list[Diagnostic]]:
        """As `validate`."""
        key = (model, id(source))
        if key not in self._options:
            self._options[key] = (source, validate(model, source, label))
        found: tuple[Any, list[Diagnostic]] = self._options[key][1]
        return found

    def known(self, role: Role, source: Any, mail: Any) -> Given | None:
        """What the role gives to every host with these options, if that is known."""
        found = self._given.get((role.name, id(source), id(mail)))
        return found[1] if found else None

    def keep(self, role: Role, source: Any, mail: Any, given: Given) -> None:
        if given.shared:
            self._given[role.name, id(source), id(mail)] = ((source, mail), given)

    def placed(self, given: Given, around: Surroundings) -> tuple[PolicyTest, ...]:
        """The role's tests on a host with these surroundings."""
        key = (id(given), around)
        if key in self._placed:
            return self._placed[key][1]
        tests = tuple(placed(test, around) for test in given.tests)
        if given.shared:
            self._placed[key] = (given, tests)
        return tests

    def composed(self, parts: Sequence[Given], compose: Composer) -> tuple[Resource, ...]:
        """The resources of a host whose roles gave `parts`."""
        key = tuple(map(id, parts))
        if key in self._composed:
            return self._composed[key][1]
        made = tuple(compose(each for part in parts for each in part.contributions))
        if all(part.shared for part in parts):
            self._composed[key] = (parts, made)
        return made
