"""The site file: which hosts get which roles.

A list of plays, each `hosts: PATTERN` and `roles: [NAME, ...]`. Strict, unlike
inventories: what is not known here is an error, and all errors of a file come at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from provisioner.diagnostics import Diagnostic, Severity, nearest, printable
from provisioner.errors import InputError
from provisioner.inventory.readfile import read_text
from provisioner.inventory.yamlfile import parse_yaml
from provisioner.marks import Map, Mark, Seq

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.inventory.model import Host, Inventory

#: Names a site file is looked for under, in this order.
SITE_NAMES = ("site.yml", "site.yaml")

_ROLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_KEYS = ("hosts", "roles", "name")
_ANSIBLE_KEYS = ("become", "gather_facts", "tasks", "vars", "vars_files", "pre_tasks", "handlers")


@dataclass(frozen=True, slots=True)
class RoleRef:
    """A role named in a play. `options` is reserved: options live in the inventory."""

    name: str
    mark: Mark
    options: Map | None = None


@dataclass(frozen=True, slots=True)
class Play:
    """The hosts of `hosts` (a pattern) get `roles`."""

    hosts: str
    roles: tuple[RoleRef, ...]
    mark: Mark


@dataclass(frozen=True, eq=False)
class Site:
    """A read site file."""

    path: Path
    plays: tuple[Play, ...]
    _assigned: WeakKeyDictionary[Inventory, dict[str, tuple[RoleRef, ...]]] = field(
        default_factory=WeakKeyDictionary, repr=False
    )

    def roles_for(self, host: Host, inventory: Inventory) -> tuple[RoleRef, ...]:
        """The roles of `host` in the order of the site file, each where it first stands.

        Raises InputError where a play's pattern is none.
        """
        return self.assign(inventory).get(host.name, ())

    def assign(self, inventory: Inventory) -> dict[str, tuple[RoleRef, ...]]:
        """The roles of every host that has some, by host name; each pattern matched once."""
        if inventory not in self._assigned:
            self._assigned[inventory] = self._assign(inventory)
        return self._assigned[inventory]

    def _assign(self, inventory: Inventory) -> dict[str, tuple[RoleRef, ...]]:
        found: dict[str, dict[str, RoleRef]] = {}
        for play in self.plays:
            for host in _matched(play, inventory):
                roles = found.setdefault(host.name, {})
                for role in play.roles:
                    roles.setdefault(role.name, role)
        return {name: tuple(roles.values()) for name, roles in found.items()}

    def idle(self, inventory: Inventory) -> list[Diagnostic]:
        """A warning for each play whose pattern matches no host of `inventory`."""
        return [
            Diagnostic(
                f'no host of this inventory matches "{printable(play.hosts)}"',
                play.mark,
                _suggestion(play.hosts, inventory),
                Severity.WARNING,
            )
            for play in self.plays
            if not _matched(play, inventory)
        ]


def _matched(play: Play, inventory: Inventory) -> list[Host]:
    try:
        return inventory.match(play.hosts)
    except InputError as error:
        raise InputError(error.message, mark=play.mark, help=error.help) from None


def _suggestion(pattern: str, inventory: Inventory) -> str:
    known = [name for name in (*inventory.groups, *inventory.hosts) if name != "ungrouped"]
    guess = nearest(pattern, known)
    return f'did you mean "{guess}"?' if guess and guess != pattern else ""


def find_site(start: Path, given: Path | None = None) -> Path:
    """The site file: `given`, or `site.yml` in the directory `start`. Raises InputError."""
    if given is not None:
        return given
    for name in SITE_NAMES:
        if (start / name).is_file():
            return start / name
    raise InputError(
        f"no {SITE_NAMES[0]} in {start.absolute()}",
        help="change into the directory that holds it, or name one with --site FILE",
    )


def default_inventory(site_path: Path) -> Path:
    """Where the inventory is when none is named: `inventory/` beside the site file."""
    path = site_path.parent / "inventory"
    if not path.exists():
        raise InputError(
            f"no inventory named, and no {path}", help="name one with -i, or create the directory"
        )
    return path


def load_site(path: Path) -> Site:
    """Read the site file. Raises InputError with everything that is wrong in it."""
    document = parse_yaml(read_text(path), str(path), duplicates=Severity.ERROR)
    reader = _Reader(str(path))
    plays = reader.plays(document.value)
    if reader.errors:
        raise InputError.of(sorted(reader.errors, key=lambda found: found.mark or Mark("")))
    return Site(path, tuple(plays))


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[Diagnostic] = []

    def fail(self, message: str, mark: Mark | None, advice: str) -> None:
        self.errors.append(Diagnostic(message, mark or Mark(self.file), advice))

    def plays(self, value: Any) -> list[Play]:
        if not isinstance(value, Seq) or not value:
            self.fail(
                "a site file is a list of plays",
                getattr(value, "mark", None) or Mark(self.file, 1, 1),
                'start with "- hosts: all", below it "  roles: [postfix]"',
            )
            return []
        plays = (self.play(item, mark) for item, mark in zip(value, value.marks, strict=True))
        return [play for play in plays if play is not None]

    def play(self, value: Any, mark: Mark) -> Play | None:
        if not isinstance(value, Map):
            self.fail("a play is a mapping", mark, 'write "- hosts: PATTERN" and "  roles: [...]"')
            return None
        for key in value:
            if key not in _KEYS:
                self.unknown(key, value)
        for key in ("hosts", "roles"):
            if key not in value:
                self.fail(f'the play has no "{key}"', mark, f'add "{key}:" to it')
        roles = self.roles(value["roles"], value.marks["roles"]) if "roles" in value else []
        hosts = self.hosts(value["hosts"], value.marks["hosts"]) if "hosts" in value else ""
        return Play(hosts, tuple(roles), value.marks.get("hosts", mark))

    def unknown(self, key: Any, play: Map) -> None:
        guess = nearest(str(key), _KEYS)
        if key in _ANSIBLE_KEYS:
            advice = "a play here has hosts and roles only; it is no Ansible playbook"
        else:
            advice = f'did you mean "{guess}"?' if guess else "a play has hosts, roles and name"
        self.fail(f'unknown key "{printable(str(key))}" in a play', play.key_marks.get(key), advice)

    def hosts(self, value: Any, mark: Mark) -> str:
        if isinstance(value, Seq) and value and all(isinstance(item, str) for item in value):
            return ",".join(value)
        if isinstance(value, str) and value.strip():
            if "{{" in value:
                self.fail("templates are not expanded here", mark, "write the pattern itself")
            return value
        self.fail('"hosts" is a host pattern', mark, "a host, a group, all, or a pattern of them")
        return ""

    def roles(self, value: Any, mark: Mark) -> list[RoleRef]:
        if isinstance(value, str):
            self.fail('"roles" is a list of names', mark, f"write [{value}]")
            return []
        if not isinstance(value, Seq) or not value:
            self.fail('"roles" is a list of names', mark, "name at least one role: [postfix]")
            return []
        found = [self.role(item, at) for item, at in zip(value, value.marks, strict=True)]
        names: set[str] = set()
        for role in found:
            if role is not None and role.name in names:
                self.fail(f'the role "{role.name}" is named twice', role.mark, "remove one")
            elif role is not None:
                names.add(role.name)
        return [role for role in found if role is not None]

    def role(self, value: Any, mark: Mark) -> RoleRef | None:
        if isinstance(value, Map):
            name = value.get("role", value.get("name", "ROLE"))
            self.fail(
                "a role is given by its name alone, not with options or tags",
                mark,
                f'write "- {name}"; its options are variables: "{name}:" in group_vars',
            )
        elif not isinstance(value, str) or not _ROLE_NAME.fullmatch(value):
            self.fail(
                f'"{printable(str(value))}" is no name of a role',
                mark,
                "a role's name has letters, digits and underscores",
            )
        else:
            return RoleRef(value, mark)
        return None
