"""What a role is given: its validated options, and the host they are for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from provisioner.diagnostics import Diagnostic
from provisioner.errors import InputError
from provisioner.marks import find_mark
from provisioner.postfix.own import own_domain, own_network
from provisioner.resources.base import Origin


class RoleOptions(BaseModel):
    """Base of every role's `Options`: unknown keys are errors, values are not coerced
    behind the author's back, docstrings of attributes are the documentation (`described`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=False)


class MailFacts(RoleOptions):
    """Facts every role needs, said once under `mail:`."""

    hostname: str | None = None
    """The name the mail system calls itself (`myhostname`). Not set: what the host has."""

    domains: list[Annotated[str, AfterValidator(own_domain)]] = []
    """The domains mail is accepted for as final destination (`mydestination`)."""

    networks: list[Annotated[str, AfterValidator(own_network)]] = []
    """The networks whose clients are our own (`mynetworks`), loopback included."""


def _no_files(path: str) -> bytes:
    raise OSError(f"there is nothing to read {path} from")


@dataclass
class HostContext:
    """One host, as a role sees it. Pure data, and helpers that only read it.

    `source` is the role's options as written (with marks), `folder` the role's own.
    `today` comes from outside: roles have no clock. `read` answers with the content
    of a file beside the site file; raises OSError. `warnings` are what the role found
    worth saying (`warn`).
    """

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Any]
    mail: MailFacts
    role: str
    source: Any
    folder: Path
    mail_source: Any = None
    today: date = date.min
    read: Callable[[str], bytes] = _no_files
    warnings: list[Diagnostic] = field(default_factory=list)
    last_origin: Origin = field(init=False)

    def __post_init__(self) -> None:
        self.last_origin = Origin(self.role, "", find_mark(self.source, ()))

    def origin(self, *path: Any) -> Origin:
        """Where the option at `path` was written; the role's default if it was not."""
        return self._origin(self.source, ".".join(str(step) for step in path), path)

    def mail_origin(self, *path: Any) -> Origin:
        """The same for a fact under `mail:`."""
        return self._origin(self.mail_source, ".".join(("mail", *map(str, path))), path)

    def _origin(self, source: Any, label: str, path: tuple[Any, ...]) -> Origin:
        mark = find_mark(source, path) if _written(source, path) else None
        self.last_origin = Origin(self.role, label, mark)
        return self.last_origin

    def template(self, name: str, **values: Any) -> bytes:
        """The role's `templates/NAME`, rendered with Jinja2 (undefined names are errors)."""
        from provisioner.roles import templates

        return templates.render(self.folder / "templates", name, {"host": self, **values})

    def file(self, name: str, *path: Any) -> bytes:
        """The file `name` beside the site file, as the option at `path` asks for it.

        Raises `InputError` where it cannot be read.
        """
        try:
            return self.read(name)
        except (OSError, ValueError) as error:  # ValueError: NUL, or no text, in the name
            why = getattr(error, "strerror", None) or "that is no name of a file"
            raise self.error(
                f"{name} cannot be read: {why}",
                *path,
                help="paths are relative to the folder of the site file",
            ) from error

    def warn(self, message: str, *path: Any, help: str = "") -> None:  # noqa: A002
        """Say something that is no error, about the option at `path`."""
        mark = find_mark(self.source, path)
        self.warnings.append(Diagnostic(f"{self.role}: {message}", mark, help))

    def error(self, message: str, *path: Any, help: str = "") -> InputError:  # noqa: A002
        """An error that points at the option at `path`; the role raises it."""
        mark = find_mark(self.source, path)
        return InputError(f"{self.role}: {message}", mark=mark, help=help)


def _written(source: Any, path: tuple[Any, ...]) -> bool:
    """Whether somebody wrote the value at `path` (it is no default)."""
    node = source
    for step in path:
        if (isinstance(node, Mapping) and step in node) or (
            isinstance(node, list) and isinstance(step, int) and step < len(node)
        ):
            node = node[step]
        else:
            return False
    return True
