"""Which variables apply to a host, in which order.

Ansible's order, lowest first: inline variables of `all`; of the other groups by depth,
priority and name; `group_vars/all` beside each inventory, then beside the site file;
`group_vars/` of the other groups likewise; the host's inline variables; `host_vars/`
beside each inventory, then beside the site file. So `group_vars/all` beats an inline
variable of a child group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioner.inventory.merge import flatten, merge_options
from provisioner.inventory.sealed import SealedMap
from provisioner.inventory.yamlfile import overlay
from provisioner.marks import Map

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from provisioner.inventory.build import Builder, HostDraft
    from provisioner.inventory.varsfiles import VarsFiles

Layers = tuple[Map, ...]


class LayerBook:
    """Computes layers and what they merge to; hosts with equal layers share the results.

    Layers are told apart by identity: the inventory keeps every one alive, and nobody
    may change one.
    """

    def __init__(self, builder: Builder, bases: Sequence[Path], files: VarsFiles) -> None:
        self._groups = builder.groups
        self._files = files
        self._group_bases = [base for base in bases if files.has_any(base, "group_vars")]
        self._host_bases = [base for base in bases if files.has_any(base, "host_vars")]
        self._by_groups: dict[tuple[str, ...], Layers] = {}
        self._flat: dict[tuple[int, ...], Map] = {}
        self._merged: dict[tuple[str, tuple[int, ...]], Map] = {}

    def order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Group names from lowest to highest precedence, without `all`."""
        groups = [self._groups[name] for name in names if name != "all"]
        groups.sort(key=lambda group: (group.depth, group.priority, group.name))
        return tuple(group.name for group in groups)

    def of_groups(self, names: tuple[str, ...]) -> Layers:
        """The layers of everything in `all` and `names` (in order of precedence)."""
        if names not in self._by_groups:
            inline = [self._groups[name].vars for name in ("all", *names)]
            for group in (("all",), names):
                inline += [
                    layer
                    for base in self._group_bases
                    for name in group
                    for layer in self._files.layers(base, "group_vars", name)
                ]
            self._by_groups[names] = tuple(layer for layer in inline if layer)
        return self._by_groups[names]

    def of_host(self, host: HostDraft) -> list[Map]:
        """The host's own layers, on top of those of its groups."""
        own = [host.vars] if host.vars else []
        for base in self._host_bases:
            own += self._files.layers(base, "host_vars", host.name)
        return own

    def ready(self, layers: Layers) -> Layers:
        """`layers` with encrypted files opened. Raises InputError where one cannot be."""
        if self._files.sealed:
            for layer in layers:
                if isinstance(layer, SealedMap):
                    layer.unseal()
        return layers

    def flat(self, layers: Layers, shared: int) -> Map:
        """All variables of `layers`; the first `shared` of them are common to many hosts."""
        if shared < len(layers):
            below = self.flat(layers[:shared], shared)
            result = Map(below, marks=below.marks, key_marks=below.key_marks)
            for layer in layers[shared:]:
                overlay(result, layer)
            return result
        key = tuple(map(id, layers))
        if key not in self._flat:
            self._flat[key] = flatten(layers)
        return self._flat[key]

    def merged(self, variable: str, layers: Layers) -> Map:
        """The options under `variable`; see `merge_options`."""
        having = [layer for layer in layers if variable in layer]
        key = (variable, tuple(map(id, having)))
        if key not in self._merged:
            self._merged[key] = merge_options(variable, having)
        return self._merged[key]
