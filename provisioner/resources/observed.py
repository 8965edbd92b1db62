"""What a probe found on a host, and what a probe can be asked.

Requests are made by resources and answered by the host program; `Observed` is what
the rest of the program knows of a host. All of it is plain data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from provisioner.postfix.main_cf import MainCf
from provisioner.postfix.master_cf import MasterCf


@dataclass(frozen=True, slots=True, order=True)
class FileRequest:
    """State of a path; with `content`, its bytes too unless its digest is `known`."""

    path: str
    content: bool = False
    known: str = ""


@dataclass(frozen=True, slots=True, order=True)
class TableRequest:
    """Whether the compiled form of `path` agrees with its source. `type` may be indexed."""

    path: str
    type: str


@dataclass(frozen=True, slots=True, order=True)
class PackageRequest:
    name: str


@dataclass(frozen=True, slots=True, order=True)
class UnitRequest:
    name: str


@dataclass(frozen=True, slots=True, order=True)
class FirewallRequest:
    """Whether a TCP port is open in the host's firewall; `where` and `file` as in
    `FirewallPort`."""

    port: int
    where: str = ""
    file: str = ""


Request = FileRequest | TableRequest | PackageRequest | UnitRequest | FirewallRequest


class PathKind(StrEnum):
    MISSING = "missing"
    FILE = "file"
    DIRECTORY = "directory"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PathState:
    """One path as found, symlinks followed; `real` is where they lead.

    `digest` is the SHA-256 in hex of a regular file; `content` is there when it was
    asked for and differs from what the asker knew.
    """

    path: str
    kind: PathKind = PathKind.MISSING
    real: str = ""
    mode: int = 0
    owner: str = ""
    group: str = ""
    size: int = 0
    digest: str = ""
    content: bytes | None = None

    @property
    def signature(self) -> str:
        """The state as the host program writes it; equal when nothing moved."""
        if self.kind is PathKind.MISSING:
            return "missing"
        about = f"{self.mode:o} {self.owner} {self.group} {self.digest or '-'} {self.size}"
        return f"{self.kind.value} {about} {self.real}"


@dataclass(frozen=True, slots=True)
class CompiledState:
    """A table's compiled form: the resolved type, and how it compares with the source.

    `verified`: it is byte for byte what was compiled from this very source.
    Otherwise `dump` is the SHA-256 of its sorted entries, or empty where this type
    cannot be listed.
    """

    type: str
    present: bool
    verified: bool = False
    dump: str = ""


@dataclass(frozen=True, slots=True)
class UnitState:
    """A service unit: `load` (loaded, not-found, masked), `active`, `enabled`."""

    load: str = "not-found"
    active: str = "inactive"
    enabled: str = "disabled"


@dataclass(frozen=True, slots=True)
class FirewallState:
    """What filters (`firewalld`, `ufw`, `nftables`; `none`; or why nftables cannot: `missing`,
    `unkept`), and whether the port is open in it now, and kept open across a reboot."""

    filter: str = "none"
    live: bool = False
    kept: bool = False

    @property
    def closed(self) -> tuple[str, ...]:
        """The parts that are to be opened."""
        if self.filter == "none":
            return ()
        parts = (("live", self.live), ("kept", self.kept))
        closed = tuple(name for name, is_open in parts if not is_open)
        return closed[:1] if self.filter == "ufw" else closed  # one command does both


@dataclass(frozen=True, slots=True)
class Facts:
    """What only the host knows, and what planning resolves symbolic values with."""

    postfix_version: str = ""
    config_directory: str = "/etc/postfix"
    daemon_directory: str = ""
    queue_directory: str = ""
    default_database_type: str = ""
    map_types: frozenset[str] = frozenset()
    init: str = "systemd"
    postfix_unit: str = "postfix"
    postfix_running: bool = False
    package_manager: str = ""
    system: str = ""
    missing_tools: tuple[str, ...] = ()
    #: Why postconf cannot read the configuration as it stands; empty where it can.
    broken: str = ""


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A change that is not finished: the run that made it, by whom, how far it came.

    `until` is when the host stops waiting for a confirmation (seconds since 1970, 0 where
    it does not wait); `trouble` is why it could not be undone.
    """

    run: str
    state: str
    until: int = 0
    owner: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Observed:
    """One host, as one exec found it."""

    facts: Facts
    main_cf: MainCf | None = None
    master_cf: MasterCf | None = None
    paths: Mapping[str, PathState] = field(default_factory=dict)
    compiled: Mapping[str, CompiledState] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, UnitState] = field(default_factory=dict)
    firewall: Mapping[FirewallRequest, FirewallState] = field(default_factory=dict)
    manifest: Mapping[str, Any] | None = None
    pending: str = ""
    #: A run died after its first rename; its memory is merged into `manifest`.
    unfinished: bool = False
    open: OpenTransaction | None = None

    @property
    def main_cf_path(self) -> str:
        return f"{self.facts.config_directory}/main.cf"

    @property
    def master_cf_path(self) -> str:
        return f"{self.facts.config_directory}/master.cf"

    @property
    def main_text(self) -> str | None:
        return self._text(self.main_cf_path)

    @property
    def master_text(self) -> str | None:
        return self._text(self.master_cf_path)

    def _text(self, path: str) -> str | None:
        state = self.paths.get(path)
        if state is None or state.content is None:
            return None
        return state.content.decode("utf-8", "surrogateescape")

    def how(self, address: str) -> str:
        """What the host remembers of how we made it (`Resource.how`); empty if nothing."""
        remembered = (self.manifest or {}).get("resources", {})
        return str(remembered.get(address, {}).get("type", ""))

    def path(self, path: str) -> PathState:
        """The state of a path that was asked for. Raises KeyError when it was not."""
        return self.paths[path]
