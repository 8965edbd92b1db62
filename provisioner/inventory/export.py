"""An inventory as `ansible-inventory` prints it: `--list`, `--host`, `--graph`."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from provisioner.inventory.sealed import SealedMap
from provisioner.inventory.values import SecretReference, UnsafeText, VaultValue
from provisioner.marks import Map
from provisioner.secrets import MASK, SecretText

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from provisioner.inventory.model import Host, Inventory, Origin

#: Variables that Ansible itself sets; what an inventory says about them is not printed.
_INTERNAL = frozenset(
    {f"ansible_{name}" for name in (
        "async_path", "collection_name", "config_file", "dependent_role_names", "diff_mode",
        "facts", "forks", "inventory_sources", "limit", "play_batch", "play_hosts",
        "play_hosts_all", "play_role_names", "playbook_python", "role_name", "role_names",
        "run_tags", "skip_tags", "verbosity", "version",
    )}
    | {
        "inventory_dir", "inventory_file", "inventory_hostname", "inventory_hostname_short",
        "group_names", "groups", "hostvars", "play_hosts", "playbook_dir",
        "role_name", "role_names", "role_path", "role_uuid",
    }
)  # fmt: skip

_JSON_SCALARS = frozenset((str, int, float, bool, type(None)))


def to_list(inventory: Inventory, hosts: Iterable[Host] | None = None) -> dict[str, Any]:
    """What `ansible-inventory --list` prints, as plain JSON values.

    Only `hosts` are shown where given; groups that then hold nothing are left out.
    """
    shown = {host.name: host for host in (inventory.members("all") if hosts is None else hosts)}
    result: dict[str, Any] = {}
    for name in _reachable(inventory, "all"):
        group = inventory.groups[name]
        entry: dict[str, list[str]] = {}
        members = [host for host in group.hosts if host in shown] if name != "all" else []
        if members:
            entry["hosts"] = members
        if group.children:
            entry["children"] = list(group.children)
        if entry:
            result[name] = entry
    seen: dict[int, Any] = {}
    variables = {name: _variables(host, seen, marked=True) for name, host in shown.items()}
    result["_meta"] = {
        "hostvars": {name: values for name, values in variables.items() if values},
        "profile": "inventory_legacy",
    }
    return result


def host_variables(host: Host) -> dict[str, Any]:
    """What `ansible-inventory --host` prints, as plain JSON values.

    Variables that Ansible sets itself are left out. Encrypted values stay as they are
    written; what is out of an encrypted file is `***`.
    """
    return _variables(host, {}, marked=False)


def _variables(host: Host, seen: dict[int, Any], *, marked: bool) -> dict[str, Any]:
    """`marked`: with Ansible's mark on text that is no template, as only `--list` has it.

    `seen` holds by their identity what became of values that hosts share.
    """
    values: dict[Any, Any] = {}
    sealed: set[Any] = set()
    for layer in host.layers:
        values.update(layer)
        if isinstance(layer, SealedMap):
            sealed |= layer.keys()
        elif sealed:
            sealed -= layer.keys()
    result: dict[str, Any] = {}
    for key, value in values.items():
        if key in _INTERNAL:
            continue
        if key in sealed:
            shown = MASK
        elif type(value) in _JSON_SCALARS:
            shown = value
        elif id(value) in seen:
            shown = seen[id(value)]
        else:
            shown = seen[id(value)] = plain(value, marked=marked)
        result[key if type(key) is str else json_key(key)] = shown
    return result


def origins(host: Host, merged: Collection[str] = ()) -> dict[str, Any]:
    """Each variable of `host` with the place it comes from and what it overrode.

    Variables named in `merged` hold role options: they are merged along all places, and
    `origins` gives the place of each value inside.
    """
    result: dict[str, Any] = {}
    for name in host.vars:
        first, *rest = host.origins(name)
        entry: dict[str, Any] = {"value": _shown(first), "origin": str(first.mark or "")}
        overridden = [{"value": _shown(each), "origin": str(each.mark or "")} for each in rest]
        if name in merged and isinstance(first.value, Map):
            options = host.merged(name)
            entry["value"] = plain(options)
            entry["origins"] = dict(_leaves(options, ""))
        elif overridden:
            entry["overrides"] = overridden
        result[json_key(name)] = entry
    return result


def _shown(origin: Origin) -> Any:
    return MASK if origin.sealed else plain(origin.value)


def _leaves(options: Map, path: str) -> Iterator[tuple[str, str]]:
    for key, value in options.items():
        here = f"{path}.{json_key(key)}" if path else json_key(key)
        if isinstance(value, Map) and value:
            yield from _leaves(value, here)
        else:
            yield here, str(options.marks.get(key, ""))


def graph_lines(inventory: Inventory, group: str = "all", depth: int = 0) -> Iterator[str]:
    """The lines of `ansible-inventory --graph`."""
    yield _branch(f"@{group}:", depth)
    for child in inventory.groups[group].children:
        yield from graph_lines(inventory, child, depth + 1)
    if group != "all":
        for host in inventory.groups[group].hosts:
            yield _branch(host, depth + 1)


def _branch(name: str, depth: int) -> str:
    return "  |" * depth + f"--{name}" if depth else name


def _reachable(inventory: Inventory, top: str) -> Iterator[str]:
    seen = {top}
    pending = [top]
    while pending:
        name = pending.pop()
        yield name
        new = [each for each in inventory.groups[name].children if each not in seen]
        seen.update(new)
        pending += new


def plain(value: Any, *, marked: bool = True) -> Any:
    """`value` in the types of JSON, secrets closed, as Ansible spells them."""
    if type(value) in _JSON_SCALARS:
        return value
    if isinstance(value, dict):
        return {json_key(key): plain(item, marked=marked) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, marked=marked) for item in value]
    if isinstance(value, VaultValue):
        return {"__ansible_vault": value.ciphertext}
    if isinstance(value, (SecretText, SecretReference)):
        return MASK
    if isinstance(value, UnsafeText):
        return {"__ansible_unsafe": str(value)} if marked else str(value)
    if isinstance(value, datetime.date):  # datetime is one, too
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


def json_key(key: Any) -> str:
    """A mapping's key as JSON writes it."""
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else str(key)
