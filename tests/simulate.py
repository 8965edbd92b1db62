"""A host in memory: what a probe would see of it, and what a transaction would do to it.

It carries steps out as the host program does, on bytes, so that pure tests can apply a
plan and plan again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from provisioner.host.probe import ProbeRequests
from provisioner.planning import manifest as manifests
from provisioner.planning.plan import (
    Compile,
    Control,
    Drop,
    Firewall,
    HostPlan,
    Keep,
    MakeDirectory,
    Remove,
    Restore,
    SetAttributes,
    Step,
    Write,
)
from provisioner.planning.planner import Desired
from provisioner.postfix import main_cf, master_cf, tables
from provisioner.postfix.activation import Activation
from provisioner.postfix.splice import apply_splices
from provisioner.resources.base import Attributes, Resource
from provisioner.resources.observed import (
    CompiledState,
    Facts,
    FirewallState,
    Observed,
    PackageRequest,
    PathKind,
    PathState,
    UnitRequest,
    UnitState,
)
from provisioner.resources.requirement import Requirement

MAIN = "/etc/postfix/main.cf"
MASTER = "/etc/postfix/master.cf"

FACTS = Facts(
    postfix_version="3.7.11",
    daemon_directory="/usr/lib/postfix/sbin",
    queue_directory="/var/spool/postfix",
    default_database_type="hash",
    map_types=frozenset(
        ["btree", "cidr", "hash", "inline", "pcre", "regexp", "static", "texthash"]
    ),
    postfix_unit="postfix.service",
    postfix_running=True,
    package_manager="dpkg-query",
    system="debian 12",
)


@dataclass
class Node:
    """One path."""

    content: bytes = b""
    kind: PathKind = PathKind.FILE
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644

    @property
    def digest(self) -> str:
        return sha256(self.content) if self.kind is PathKind.FILE else ""


@dataclass
class Compiled:
    """A compiled table: of which source, with which entries."""

    source: str
    dump: str


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class MemoryHost:
    """The whole of a host that this program touches."""

    facts: Facts = FACTS
    nodes: dict[str, Node] = field(default_factory=dict)
    compiled: dict[tuple[str, str], Compiled] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=lambda: {"postfix": "3.7.11-1"})
    units: dict[str, UnitState] = field(
        default_factory=lambda: {"postfix": UnitState("loaded", "active", "enabled")}
    )
    #: What filters, and the open ports as `587 live`.
    filter: str = "none"
    ports: set[str] = field(default_factory=set)
    manifest: dict[str, Any] | None = None
    pending: str = ""
    kept: dict[str, Node] = field(default_factory=dict)
    activations: list[Activation] = field(default_factory=list)

    @classmethod
    def with_postfix(cls, main: str, master: str = "", **more: Any) -> MemoryHost:
        host = cls(**more)
        host.nodes[MAIN] = Node(main.encode("utf-8", "surrogateescape"))
        host.nodes[MASTER] = Node(master.encode("utf-8", "surrogateescape"))
        return host

    @classmethod
    def stock(cls, wanted: Desired) -> MemoryHost:
        """A host with every package and requirement, Postfix running, and nothing of ours on it."""
        host = cls.with_postfix(
            "compatibility_level = 3.6\nmydestination = localhost\n", "smtp inet n - y - - smtpd\n"
        )
        for request in wanted.requests():
            if isinstance(request, PackageRequest):
                host.packages[request.name] = "1"
            elif isinstance(request, UnitRequest):
                host.units.setdefault(request.name, UnitState("loaded", "active", "enabled"))
        for each in wanted.resources:
            if isinstance(each, Requirement):  # somebody has provided it
                host.nodes.setdefault(each.path, Node(kind=PathKind.OTHER))
        return host

    def remember(self, entries: Mapping[str, Any] | None = None) -> None:
        """As if an earlier run had activated what stands here now."""
        observed = self.observe(())
        self.manifest = {
            "version": manifests.VERSION,
            "inventory": {},
            "resources": dict(entries or {}),
            "activated": manifests.activated(observed.main_text, observed.master_text, ()),
        }

    # ---- the probe -------------------------------------------------------------------

    def observe(self, resources: Iterable[Resource]) -> Observed:
        asked = ProbeRequests(r for each in resources for r in each.requests())
        paths = {each.path: self._state(each.path) for each in asked.files}
        for file in asked.files:
            state = paths[file.path]
            if file.content and state.kind is PathKind.FILE and state.digest != file.known:
                paths[file.path] = replace(state, content=self.nodes[file.path].content)
        for address in (self.manifest or {}).get("resources", {}):
            kind, _, path = address.partition(":")
            if kind in ("file", "table"):
                paths.setdefault(path, self._state(path))
        found = Observed(
            facts=self.facts,
            paths=paths,
            compiled={each.path: self._compiled(each.path, each.type) for each in asked.tables},
            packages={
                name: self.packages[name] for name in asked.packages if name in self.packages
            },
            units={name: self._unit(name) for name in asked.units},
            firewall={
                each: FirewallState(
                    self.filter,
                    f"{each.port} live" in self.ports,
                    f"{each.port} kept" in self.ports,
                )
                for each in asked.ports
            },
            manifest=self.manifest,
            pending=self.pending,
        )
        main, master = found.main_text, found.master_text
        return replace(
            found,
            main_cf=None if main is None else main_cf.parse(main),
            master_cf=None if master is None else master_cf.parse(master),
        )

    def _state(self, path: str) -> PathState:
        node = self.nodes.get(path)
        if node is None:
            return PathState(path)
        size = len(node.content)
        return PathState(
            path, node.kind, path, node.mode, node.owner, node.group, size, node.digest
        )

    def _compiled(self, path: str, type_: str) -> CompiledState:
        plain = type_.removeprefix("alias-")
        real = self.facts.default_database_type if plain == "indexed" else plain
        found = self.compiled.get((path, real))
        if found is None:
            return CompiledState(real, present=False)
        source = self.nodes.get(path)
        if source is not None and found.source == source.digest:
            return CompiledState(real, present=True, verified=True)
        return CompiledState(real, present=True, dump=found.dump)

    def _unit(self, name: str) -> UnitState:
        found = self.units.get(name, UnitState())
        if name == "postfix":
            return replace(found, active="active" if self.facts.postfix_running else "inactive")
        return found

    # ---- the transaction -------------------------------------------------------------

    def apply(self, plan: HostPlan) -> None:
        """Raises AssertionError where the host would refuse."""
        assert not plan.errors
        for name in plan.packages:
            self.packages[name] = "1.0"
        if plan.packages:
            return
        for condition in plan.preconditions:
            assert self._state(condition.path).signature == condition.signature
        for step in plan.steps:
            if not isinstance(step, Control | Firewall):
                self._carry_out(step)
        if plan.activation is not Activation.NONE:
            assert self.facts.postfix_running
            self.activations.append(plan.activation)
        for step in plan.steps:
            if isinstance(step, Control):
                self._control(step.unit, step.verb)
            if isinstance(step, Firewall):
                change = self.ports.add if step.verb == "open" else self.ports.discard
                for part in ("live", "kept") if self.filter == "ufw" else (step.part,):
                    change(f"{step.rule.split()[1]} {part}")
        self.pending = ""
        if plan.manifest is not None:
            self.manifest = dict(plan.manifest)

    def _carry_out(self, step: Step) -> None:
        match step:
            case Write(path, digest, content, splices, attributes, type_, keep):
                if keep:
                    self._keep(path)
                old = self.nodes.get(path)
                whole = apply_splices(old.content, splices) if content is None and old else content
                assert whole is not None
                assert sha256(whole) == digest
                self.nodes[path] = _with(replace(old or Node(), content=whole), attributes)
                self._compile(path, type_, ours=True)
            case Restore(path, digest, attributes, type_):
                assert digest in self.kept, f"no kept copy for {path}"
                self.nodes[path] = _with(replace(self.kept[digest]), attributes)
                self._compile(path, type_)
            case Compile(path, type_):
                self._compile(path, type_)
            case Drop(path, type_):
                del self.compiled[path, type_.removeprefix("alias-")]
            case Keep(path):
                self._keep(path)
            case Remove(path, keep, type_):
                if keep:
                    self._keep(path)
                self._remove(path, type_)
            case MakeDirectory(path, attributes):
                assert path not in self.nodes
                self.nodes[path] = _with(Node(kind=PathKind.DIRECTORY, mode=0o755), attributes)
            case SetAttributes(path, attributes):
                self.nodes[path] = _with(self.nodes[path], attributes)
            case Control() | Firewall():
                raise AssertionError("after the activation")

    def _keep(self, path: str) -> None:
        node = self.nodes[path]
        self.kept[node.digest] = replace(node)

    def _remove(self, path: str, type_: str) -> None:
        node = self.nodes[path]
        if node.kind is PathKind.DIRECTORY:
            inside = [each for each in self.nodes if each.startswith(f"{path}/")]
            if inside:
                return
        del self.nodes[path]
        self.compiled.pop((path, type_), None)

    def _compile(self, path: str, type_: str, *, ours: bool = False) -> None:
        if not type_:
            return
        type_ = type_.removeprefix("alias-")
        assert type_ in tables.COMPILED
        node = self.nodes[path]
        table = tables.parse(node.content.decode("utf-8", "surrogateescape"))
        assert not (ours and table.problems), table.problems
        dump = sha256(tables.dump(table.entries).encode("utf-8", "surrogateescape"))
        self.compiled[path, type_] = Compiled(node.digest, dump)

    def _control(self, unit: str, verb: str) -> None:
        if verb in ("start", "stop", "restart"):
            if unit == self.facts.postfix_unit:
                self.facts = replace(self.facts, postfix_running=verb != "stop")
                return
            state = "inactive" if verb == "stop" else "active"
            self.units[unit] = replace(self.units[unit], active=state)
            return
        # Debian up to 12 answers for `postfix`, whatever becomes of `postfix@-.service`.
        plain = unit.removesuffix(".service")
        if plain in self.units:
            self.units[plain] = replace(self.units[plain], enabled=f"{verb}d")


def _with(node: Node, wanted: Attributes) -> Node:
    return replace(
        node,
        owner=wanted.owner or node.owner,
        group=wanted.group or node.group,
        mode=node.mode if wanted.mode is None else wanted.mode,
    )


def desire(*resources: Resource, inventory: str = "here") -> Desired:
    return Desired("mx1", tuple(resources), {"id": inventory, "name": inventory})
