"""What a resource is, and the vocabulary its differences are told in.

A resource is one thing with an address (`parameter:myhostname`). It is data plus
pure functions: `requests()` says what to probe, `diff()` compares what is desired
with what was observed and returns changes. A change says what a person is shown and
the `effects` that carry it out; planning folds the effects of all changes into steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from provisioner.marks import Mark
from provisioner.postfix.activation import Activation
from provisioner.postfix.master_cf import Service
from provisioner.resources.observed import Observed, Request


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wants a value: the role, its option, and where that option was written.

    Without a role, `option` says in words why the value is wanted.
    """

    role: str
    option: str = ""
    mark: Mark | None = None

    def __str__(self) -> str:
        if self.mark:
            return str(self.mark)
        return f"default of role {self.role}" if self.role else self.option


class Action(StrEnum):
    """What happens to a resource, in the words of the plan."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    COMPILE = "compile"
    INSTALL = "install"
    START = "start"
    STOP = "stop"
    ENABLE = "enable"
    DISABLE = "disable"
    ACTIVATE = "activate"
    ADOPT = "adopt"


# ---- effects: what carries a change out -------------------------------------------


@dataclass(frozen=True, slots=True)
class SetParameter:
    """Give a main.cf parameter its one logical value; None removes it. `written` as in
    `main_cf.Value`."""

    name: str
    value: str | None
    fold: bool = False
    written: str = ""


@dataclass(frozen=True, slots=True)
class SetService:
    """Give master.cf this service entry; None removes the one called `key`."""

    key: tuple[str, str]
    service: Service | None


@dataclass(frozen=True, slots=True)
class Attributes:
    """Owner, group and mode of a path. None: keep it, or root, root, 0644 (directory
    0755) where the path is new."""

    owner: str | None = None
    group: str | None = None
    mode: int | None = None

    def as_list(self) -> list[str | int | None]:
        return [self.owner, self.group, self.mode]


KEEP = Attributes()


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Replace a whole file."""

    path: str
    content: bytes
    attributes: Attributes = KEEP


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Change owner, group or mode of an existing file or directory in place."""

    path: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    path: str
    attributes: Attributes = KEEP


@dataclass(frozen=True, slots=True)
class RemovePath:
    """Remove a file, and the compiled form of a table of type `type`."""

    path: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class RestorePath:
    """Put back the copy kept from before the path was first managed, with the attributes it
    had (the copy goes by its content, which another path may have had too)."""

    path: str
    digest: str
    attributes: Attributes = KEEP


@dataclass(frozen=True, slots=True)
class CompileTable:
    """Compile an indexed table's source with postmap. `type` is real, never `indexed`;
    with `alias-` before it, it is postalias that compiles."""

    path: str
    type: str


@dataclass(frozen=True, slots=True)
class DropCompiled:
    """Remove the compiled form alone; `type` as in `CompileTable`."""

    path: str
    type: str


@dataclass(frozen=True, slots=True)
class InstallPackages:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ControlUnit:
    """Start, stop, enable or disable a unit; `verb` is systemctl's word for it."""

    unit: str
    verb: str


@dataclass(frozen=True, slots=True)
class OpenPort:
    """Open a port in the firewall, or close it. `rule` is what `FirewallPort.how` says,
    `parts` are `live` and `kept`."""

    rule: str
    parts: tuple[str, ...]
    close: bool = False


Effect = (
    SetParameter
    | SetService
    | WriteFile
    | SetAttributes
    | MakeDirectory
    | RemovePath
    | RestorePath
    | CompileTable
    | DropCompiled
    | InstallPackages
    | ControlUnit
    | OpenPort
)


# ---- changes: what a person is shown ----------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyedDiff:
    """A lookup table's difference by key, in source order."""

    added: tuple[tuple[str, str], ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
    changed: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TextDiff:
    """A unified diff, as lines without line ends."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference and how it is removed.

    `before` and `after` are for display only (masked where they hold secrets; None
    means absent). `activation` is what makes the change take effect, `reason` why.
    """

    address: str
    action: Action
    before: str | None = None
    after: str | None = None
    origin: Origin | None = None
    notes: tuple[str, ...] = ()
    diff: KeyedDiff | TextDiff | None = None
    effects: tuple[Effect, ...] = ()
    activation: Activation = Activation.NONE
    reason: str = ""


@dataclass(frozen=True)
class Resource(ABC):
    """One desired thing. Subclasses are frozen dataclasses; `kind` begins the address."""

    kind: ClassVar[str]
    origin: Origin

    @property
    @abstractmethod
    def name(self) -> str:
        """What stands behind the kind in the address."""

    @property
    def address(self) -> str:
        return f"{self.kind}:{self.name}"

    @abstractmethod
    def requests(self) -> Iterable[Request]:
        """What the probe must bring back for `diff` to work on."""

    @abstractmethod
    def diff(self, observed: Observed) -> Iterable[Change]:
        """The changes that make the host as desired; none when it is.

        Raises ValueError when this host cannot hold the resource; the message is
        for the user.
        """

    @abstractmethod
    def before(self, observed: Observed) -> Before:
        """What stood here before us, to be remembered when it is first managed."""

    def activated(self, observed: Observed) -> Mapping[str, str]:
        """Digests, by path, of what running Postfix processes hold of this in memory."""
        return {}

    def how(self, observed: Observed) -> str:
        """What of this host has to be remembered for taking it away again."""
        return ""

    @property
    def managed(self) -> bool:
        """Whether the host remembers it as ours, and what stood there before."""
        return True

    @property
    def provides(self) -> tuple[str, ...]:
        """Paths that are there once this is as desired."""
        return ()

    @property
    def holds_secret(self) -> bool:
        """Whether the desired value itself must not be shown or written down."""
        return False

    @abstractmethod
    def identity(self) -> object:
        """All that is desired, as a JSON value: equal when the desire is equal."""


@dataclass(frozen=True, slots=True)
class Before:
    """What an address held before it was first managed; None: nothing was there.

    `value` is a parameter's value, a service's master.cf line, a unit's state;
    for files `digest`, `owner`, `group` and `mode` say what the kept copy is, and for
    tables the value is the type they were compiled as. `written` is how a parameter
    stood in the file.
    """

    present: bool
    value: str | None = None
    digest: str | None = None
    owner: str | None = None
    group: str | None = None
    mode: int | None = None
    written: str | None = None
