"""A plan: the changes a person is shown, and the steps that `apply` carries out.

The actions during apply are described entirely by the steps; nothing is decided on
the host but whether the world is still the one that was planned for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from provisioner.diagnostics import Diagnostic
from provisioner.planning.listeners import Listener
from provisioner.postfix.activation import Activation
from provisioner.postfix.splice import Splice
from provisioner.resources.base import KEEP, Attributes, Change, Origin


@dataclass(frozen=True, slots=True)
class Precondition:
    """What a touched path was when it was planned for (`PathState.signature`)."""

    path: str
    signature: str


@dataclass(frozen=True, slots=True)
class Write:
    """Put new content at `path`: `content` whole, or `splices` into what stands there.

    `digest` is that of the result. `compile` names the table type to make of it;
    `keep` has the host keep a copy of what stood there before us.
    """

    path: str
    digest: str
    content: bytes | None = None
    splices: tuple[Splice, ...] = ()
    attributes: Attributes = KEEP
    compile: str = ""
    keep: bool = False
    op: Literal["write"] = "write"


@dataclass(frozen=True, slots=True)
class Restore:
    """Put back the kept copy with this digest; `compile` as in `Write`."""

    path: str
    digest: str
    attributes: Attributes = KEEP
    compile: str = ""
    op: Literal["restore"] = "restore"


@dataclass(frozen=True, slots=True)
class Compile:
    """Compile a table whose source stays as it is."""

    path: str
    type: str
    op: Literal["compile"] = "compile"


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove the compiled form of a table alone."""

    path: str
    type: str
    op: Literal["drop"] = "drop"


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep a copy of what stands there: it is from before us and stays for now."""

    path: str
    op: Literal["keep"] = "keep"


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, and the compiled form of a table of type `type`."""

    path: str
    keep: bool = False
    type: str = ""
    op: Literal["remove"] = "remove"


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    path: str
    attributes: Attributes = KEEP
    op: Literal["directory"] = "directory"


@dataclass(frozen=True, slots=True)
class SetAttributes:
    path: str
    attributes: Attributes = KEEP
    op: Literal["attributes"] = "attributes"


@dataclass(frozen=True, slots=True)
class Control:
    """One verb (start, stop, enable, disable) to one unit."""

    unit: str
    verb: str
    op: Literal["control"] = "control"


@dataclass(frozen=True, slots=True)
class Firewall:
    """Open or close (`verb`) a port in the host's firewall; `rule` is `FirewallPort.how`,
    `part` is `live` or `kept`."""

    verb: str
    rule: str
    part: str
    op: Literal["firewall"] = "firewall"


Step = Annotated[
    Write
    | Restore
    | Compile
    | Drop
    | Keep
    | Remove
    | MakeDirectory
    | SetAttributes
    | Control
    | Firewall,
    Field(discriminator="op"),
]


#: JSON in JSON: a value from before us may hold bytes that are no text, which Python's
#: JSON can carry and pydantic's cannot.
Manifest = Annotated[
    Mapping[str, object],
    PlainSerializer(json.dumps, when_used="json"),
    BeforeValidator(lambda found: json.loads(found) if isinstance(found, str) else found),
]


@dataclass(frozen=True, slots=True)
class Orphan:
    """An address we managed and nobody declares any more. `before` is for display."""

    address: str
    before: str
    absent_before: bool = False


@dataclass(frozen=True, slots=True)
class ComposedList:
    """A restriction list as it will stand, each entry with its origin."""

    name: str
    entries: tuple[tuple[str, Origin], ...]


@dataclass(frozen=True)
class HostPlan:
    """Everything one host's apply needs, and everything a person wants to see first.

    `packages` not empty: these are installed first, and the rest is planned again
    after that (`known_after_install` names what cannot be known before).
    `errors` not empty: the host cannot hold what is desired; nothing is applied.
    """

    host: str
    changes: tuple[Change, ...] = ()
    steps: tuple[Step, ...] = ()
    packages: tuple[str, ...] = ()
    known_after_install: tuple[str, ...] = ()
    activation: Activation = Activation.NONE
    reasons: tuple[str, ...] = ()
    preconditions: tuple[Precondition, ...] = ()
    lists: tuple[ComposedList, ...] = ()
    orphans: tuple[Orphan, ...] = ()
    warnings: tuple[str, ...] = ()
    errors: tuple[Diagnostic, ...] = ()
    manifest: Manifest | None = None
    desired_digest: str = ""
    postfix_unit: str = "postfix"
    queue_directory: str = ""
    daemon_directory: str = ""
    config_directory: str = "/etc/postfix"
    unchanged: int = 0
    #: Addresses whose new content is a secret.
    secrets: tuple[str, ...] = ()
    #: Name of the other inventory that manages this host, if one does.
    rival: str = ""
    #: The TCP listeners that must answer after the change.
    listeners: tuple[Listener, ...] = ()
    #: Policy servers that this change makes Postfix ask, and that must answer.
    asked: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    #: The run whose change of this host is not finished, if there is one.
    open_run: str = ""

    @property
    def empty(self) -> bool:
        """Nothing to do on this host."""
        return not self.changes
