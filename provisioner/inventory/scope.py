"""What a host's templates can name: its variables, and Ansible's names for what is around."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from provisioner.inventory.markers import touch
from provisioner.inventory.sealed import SealedMap
from provisioner.marks import Map
from provisioner.secrets import SecretText, remember

if TYPE_CHECKING:
    from provisioner.inventory.model import Host, Inventory
    from provisioner.inventory.reading import Reader


class Parts(Mapping[str, Any]):
    """A mapping with templates in it: each item is rendered when asked for, so that one
    item may name another."""

    def __init__(self, reader: Reader, host: Host, path: str, raw: Map) -> None:
        self._reader = reader
        self._host = host
        self._path = path
        self.raw = raw

    def __getitem__(self, key: str) -> Any:
        return self._reader.part(
            self._host, f"{self._path}.{key}", self.raw[key], self.raw.marks.get(key)
        )

    def __contains__(self, key: object) -> bool:
        return key in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)


class Variables(Mapping[str, Any]):
    """One host's variables, each read when asked for."""

    def __init__(self, reader: Reader, host: Host) -> None:
        self._reader = reader
        self._host = host

    def __getitem__(self, name: str) -> Any:
        return self._reader.variable(self._host, name)

    def __contains__(self, name: object) -> bool:
        return name in self._host.vars

    def __iter__(self) -> Iterator[str]:
        return iter(self._host.vars)

    def __len__(self) -> int:
        return len(self._host.vars)


class Scope(Mapping[str, Any]):
    """What templates of one host can name: its variables, and Ansible's own about it."""

    def __init__(self, reader: Reader, host: Host, *, outside: bool = False) -> None:
        from provisioner.inventory.templates import FUNCTIONS

        self._reader = reader
        self._host = host
        own: dict[str, Callable[[], Any]] = {
            "inventory_hostname": lambda: host.name,
            "inventory_hostname_short": lambda: host.name.split(".")[0],
            "group_names": lambda: sorted(host.groups),
        }
        if not outside:
            own["groups"] = lambda: Groups(reader.inventory)
            own["hostvars"] = lambda: HostVars(reader)
            own |= {name: partial(FUNCTIONS.__getitem__, name) for name in FUNCTIONS}
        self._own = own

    def __contains__(self, name: object) -> bool:
        if name in self._own or name in self._host.vars:
            return True
        return self._reader.secrets.missing(self._host, str(name)) is not None

    def __getitem__(self, name: str) -> Any:
        # As in Ansible, nothing in an inventory overrides these names.
        if name in self._own:
            return self._own[name]()
        if name not in self._host.vars:
            stand_in = self._reader.secrets.missing(self._host, name)
            if stand_in is None:
                raise KeyError(name)
            remember(stand_in)
            touch()
            return SecretText(stand_in)
        raw = self._host.vars[name]
        if name in self._reader.merged and isinstance(raw, Map):
            raw = self._host.merged(name)
        value = self._reader.part(self._host, name, raw)
        if isinstance(value, SecretText) or (_is_number(value) and self._is_sealed(name)):
            remember(str.__str__(value) if isinstance(value, str) else str(value))
            touch()
        return value

    def _is_sealed(self, name: str) -> bool:
        winner = next(layer for layer in reversed(self._host.layers) if name in layer)
        return isinstance(winner, SealedMap)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._own, **self._host.vars})

    def __len__(self) -> int:
        return len({**self._own, **self._host.vars})


class HostVars(Mapping[str, Any]):
    """`hostvars`: the variables of every host, read when asked for."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __getitem__(self, name: str) -> Any:
        return Scope(self._reader, self._reader.inventory.hosts[name], outside=True)

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader.inventory.hosts)

    def __len__(self) -> int:
        return len(self._reader.inventory.hosts)


class Groups(Mapping[str, Any]):
    """`groups`: the hosts of every group, those of groups below it included."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def __getitem__(self, name: str) -> list[str]:
        if name not in self._inventory.groups:
            raise KeyError(name)
        return [host.name for host in self._inventory.members(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inventory.groups)

    def __len__(self) -> int:
        return len(self._inventory.groups)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
