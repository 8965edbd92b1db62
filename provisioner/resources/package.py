"""A distribution package that must be installed. Packages are never removed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from provisioner.resources.base import Action, Before, Change, InstallPackages, Resource
from provisioner.resources.observed import Observed, PackageRequest, Request

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")


@dataclass(frozen=True)
class Package(Resource):
    """A package by the name its package manager knows. Raises ValueError for no name.

    With `table_type`, it is wanted for that type of table, and not where Postfix has the type
    already (some distributions build it in).
    """

    kind: ClassVar[str] = "package"
    package: str
    table_type: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.package):
            raise ValueError(f"{self.package!r} is not the name of a package")

    @property
    def name(self) -> str:
        return self.package

    def requests(self) -> Iterable[Request]:
        return (PackageRequest(self.package),)

    def identity(self) -> object:
        return "installed"

    def diff(self, observed: Observed) -> Iterable[Change]:
        if observed.packages.get(self.package) or self.table_type in observed.facts.map_types:
            return ()
        return (
            Change(
                self.address,
                Action.INSTALL,
                after="installed",
                origin=self.origin,
                effects=(InstallPackages((self.package,)),),
            ),
        )

    def before(self, observed: Observed) -> Before:
        version = observed.packages.get(self.package)
        return Before(present=bool(version), value=version or None)
