"""A read inventory: hosts, groups, and the variables of each host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provisioner.inventory.patterns import PatternMatcher
from provisioner.inventory.sealed import SealedMap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provisioner.diagnostics import Diagnostic
    from provisioner.inventory.layers import LayerBook, Layers
    from provisioner.marks import Map, Mark


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """A group: `hosts` directly in it and names of `children`, in the order given."""

    name: str
    hosts: tuple[str, ...]
    children: tuple[str, ...]
    depth: int = 0
    priority: int = 1
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """One place that gives a variable a value; `sealed`: it is in an encrypted file."""

    value: Any
    mark: Mark | None
    sealed: bool = False


class Host:
    """One host. `groups` are all it is in (without `all`), lowest precedence first."""

    __slots__ = ("_book", "_layers", "_shared", "_vars", "groups", "mark", "name")

    def __init__(
        self,
        name: str,
        groups: tuple[str, ...],
        layers: Layers,
        shared: int,
        book: LayerBook,
        mark: Mark | None = None,
    ) -> None:
        self.name = name
        self.groups = groups
        self.mark = mark
        self._layers = layers
        self._shared = shared
        self._book = book
        self._vars: Map | None = None

    def __repr__(self) -> str:
        return f"Host({self.name})"

    @property
    def layers(self) -> Layers:
        """The mappings that give this host variables, lowest precedence first.

        Opens the encrypted files among them, as everything that reads variables does:
        raises InputError where that cannot be done.
        """
        return self._book.ready(self._layers)

    @property
    def vars(self) -> Map:
        """The host's variables: of each, the value from the highest layer that has it.

        Shared between hosts: not to be changed.
        """
        if self._vars is None:
            self._vars = self._book.flat(self.layers, self._shared)
        return self._vars

    def merged(self, variable: str) -> Map:
        """Role options under `variable`, merged per key along the layers.

        Empty where no layer has the variable. Shared between hosts: not to be changed.
        Raises InputError as `merge_options` does.
        """
        return self._book.merged(variable, self.layers)

    def origins(self, variable: str) -> tuple[Origin, ...]:
        """Every place that sets `variable`, the one that wins first."""
        return tuple(
            Origin(
                layer[variable],
                layer.key_marks.get(variable) or layer.marks.get(variable),
                isinstance(layer, SealedMap),
            )
            for layer in reversed(self.layers)
            if variable in layer
        )


@dataclass(eq=False)
class Inventory:
    """Hosts and groups by name, in the order in which the sources give them."""

    hosts: Mapping[str, Host]
    groups: Mapping[str, Group]
    warnings: list[Diagnostic] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._matcher = PatternMatcher(
            tuple(self.hosts),
            {name: group.hosts for name, group in self.groups.items()},
            {name: group.children for name, group in self.groups.items()},
        )

    def select(self, pattern: str) -> list[Host]:
        """The hosts that `pattern` (as in Ansible's `--limit`) means, each once.

        Raises InputError where it, or one of the names it adds, matches nothing.
        """
        return [self.hosts[name] for name in self._matcher.select(pattern)]

    def match(self, pattern: str) -> list[Host]:
        """As `select`, but matching nothing is no error (a play for hosts not here)."""
        return [self.hosts[name] for name in self._matcher.match(pattern)]

    def members(self, group: str) -> list[Host]:
        """Every host in the group of that name or in a group below it."""
        return [self.hosts[name] for name in self._matcher.members(group)]
