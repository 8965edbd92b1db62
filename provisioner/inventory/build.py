"""Groups and hosts while sources are being read: Ansible's rules for how they combine.

Sources call `add_group`, `add_host`, `add_child` and `set_variable` in the order in
which they read; `finish` applies what holds for the whole: every group descends from
`all`, hosts in no other group are `ungrouped`, depths, and who is in what.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from provisioner.diagnostics import Diagnostic, Severity, printable
from provisioner.errors import InputError
from provisioner.inventory.yamlfile import overlay
from provisioner.marks import Map, Mark

PRIORITY_VARIABLE = "ansible_group_priority"


@dataclass(eq=False, slots=True)
class GroupDraft:
    name: str
    mark: Mark | None = None
    priority: int = 1
    depth: int = 0
    vars: Map = field(default_factory=Map)
    children: list[GroupDraft] = field(default_factory=list)
    parents: list[GroupDraft] = field(default_factory=list)
    hosts: dict[str, HostDraft] = field(default_factory=dict)

    def ancestors(self) -> dict[str, GroupDraft]:
        """Every group above this one, by name."""
        found: dict[str, GroupDraft] = {}
        pending = list(self.parents)
        while pending:
            group = pending.pop()
            if group.name not in found:
                found[group.name] = group
                pending.extend(group.parents)
        return found


@dataclass(eq=False, slots=True)
class HostDraft:
    name: str
    mark: Mark | None = None
    vars: Map = field(default_factory=Map)
    direct: dict[str, GroupDraft] = field(default_factory=dict)


class Builder:
    """What the sources read so far say together."""

    def __init__(self) -> None:
        self.groups: dict[str, GroupDraft] = {}
        self.hosts: dict[str, HostDraft] = {}
        self.warnings: list[Diagnostic] = []
        self.add_group("all", None)
        self.add_group("ungrouped", None)
        self._link(self.groups["all"], self.groups["ungrouped"])

    def warn(self, message: str, mark: Mark | None, advice: str = "") -> None:
        self.warnings.append(Diagnostic(message, mark, advice, Severity.WARNING))

    def add_group(self, name: Any, mark: Mark | None) -> GroupDraft:
        """The group of that name, new if need be. Raises InputError: no usable name."""
        group = self.groups.get(name) if isinstance(name, str) else None
        if group is not None:
            if group.mark is None:
                group.mark = mark
            return group
        if not isinstance(name, str) or not name:
            raise InputError(
                f"a group's name is text; this is {_kind(name)}", mark=mark, help="quote the name"
            )
        group = self.groups[name] = GroupDraft(name, mark)
        return group

    def add_host(
        self, name: str, group: GroupDraft, mark: Mark | None, port: int | None = None
    ) -> HostDraft:
        """The host of that name, put into `group`. Only its first mention sets the port."""
        if not name:
            raise InputError("a host needs a name", mark=mark, help="remove the empty name")
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = HostDraft(name, mark)
            if port:
                put(host.vars, "ansible_port", port, mark, mark)
        elif port and host.vars.get("ansible_port") != port:
            self.warn(
                f'the port {port} is ignored: "{printable(name)}" was named before without it',
                mark,
                "give the port where the host is first named, or set ansible_port",
            )
        if name not in group.hosts:
            group.hosts[name] = host
            host.direct[group.name] = group
        return host

    def add_child(self, parent: GroupDraft, child: GroupDraft, mark: Mark | None) -> None:
        """Make `child` part of `parent`. Raises InputError where that closes a loop."""
        if child in parent.children:
            return
        if child is parent or child.name in parent.ancestors():
            raise InputError(
                f'group "{printable(child.name)}" would contain itself through'
                f' "{printable(parent.name)}"',
                mark=mark,
                help="every group is in all by itself; take it out of the children"
                if "all" in (child.name, parent.name)
                else "take one of the two out of the other's children",
            )
        self._link(parent, child)

    def _link(self, parent: GroupDraft, child: GroupDraft) -> None:
        parent.children.append(child)
        child.parents.append(parent)

    def set_variable(
        self,
        entity: str,
        key: Any,
        value: Any,
        mark: Mark | None,
        key_mark: Mark | None,
    ) -> None:
        """Set an inline variable of the group or host named `entity` (a group first)."""
        group = self.groups.get(entity)
        if group is not None and key == PRIORITY_VARIABLE:
            group.priority = _priority(value, mark)
            return
        target = group.vars if group is not None else self.hosts[entity].vars
        if not (isinstance(key, str) and key.isidentifier()):
            self.warn(
                f'"{printable(str(key))}" cannot be used as a variable\'s name in templates',
                key_mark,
                "use letters, digits and underscores",
            )
        put(target, key, value, mark, key_mark)

    def set_variables(self, host: str, variables: Map) -> None:
        """Set all inline variables of one line about `host`; as `set_variable`, but quicker.

        `variables` are given away: nobody else may hold them.
        """
        if host in self.groups or not all(map(str.isidentifier, variables)):
            for key, value in variables.items():
                self.set_variable(
                    host, key, value, variables.marks.get(key), variables.key_marks.get(key)
                )
            return
        draft = self.hosts[host]
        if draft.vars:
            overlay(draft.vars, variables)
        else:
            draft.vars = variables

    def finish(self) -> None:
        """Apply the rules for the whole. Raises InputError: `all` inside another group."""
        everything, ungrouped = self.groups["all"], self.groups["ungrouped"]
        known: dict[tuple[str, ...], dict[str, GroupDraft]] = {}
        for group in self.groups.values():
            if group is not everything and not group.parents:
                self.add_child(everything, group, group.mark)
        for host in self.hosts.values():
            direct = tuple(host.direct)
            member_of = known.get(direct) or known.setdefault(direct, self.memberships(host))
            others = member_of.keys() - {"all", "ungrouped"}
            if "ungrouped" in member_of:
                if others and host.name in ungrouped.hosts:
                    del ungrouped.hosts[host.name]
                    del host.direct["ungrouped"]
            elif not others:
                ungrouped.hosts[host.name] = host
                host.direct["ungrouped"] = ungrouped
        for name in self.groups.keys() & self.hosts.keys():
            self.warn(
                f'"{printable(name)}" is the name of a group and of a host;'
                " the host's inline variables went to the group",
                self.hosts[name].mark,
                "rename one of them",
            )
        self._set_depths()

    def memberships(self, host: HostDraft) -> dict[str, GroupDraft]:
        """Every group that contains `host`, directly or through children."""
        found: dict[str, GroupDraft] = {}
        for group in host.direct.values():
            found[group.name] = group
            found.update(group.ancestors())
        return found

    def _set_depths(self) -> None:
        """Each group's depth is its longest way down from `all`."""
        waiting = {group.name: len(group.parents) for group in self.groups.values()}
        ready = [group for group in self.groups.values() if not group.parents]
        while ready:
            group = ready.pop()
            for child in group.children:
                child.depth = max(child.depth, group.depth + 1)
                waiting[child.name] -= 1
                if not waiting[child.name]:
                    ready.append(child)


def put(target: Map, key: Any, value: Any, mark: Mark | None, key_mark: Mark | None) -> None:
    """Set `key` in `target`, with the marks that are known."""
    target[key] = value
    if mark is not None:
        target.marks[key] = mark
    if key_mark is not None:
        target.key_marks[key] = key_mark


def _priority(value: Any, mark: Mark | None) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{PRIORITY_VARIABLE} is a whole number; this is {_kind(value)}",
            mark=mark,
            help="groups of one depth apply in the order of this number, 1 if not given",
        ) from None


def _kind(value: Any) -> str:
    if value is None or value == "":
        return "empty"
    return f'{type(value).__name__} "{printable(str(value))}"'
