"""main.cf as a whole: what nobody declares is drift."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from provisioner.postfix import main_cf
from provisioner.resources.base import Before, Change, Resource
from provisioner.resources.observed import Observed, Request
from provisioner.resources.parameter import Parameter


@dataclass(frozen=True)
class StrictMainCf(Resource):
    """Every parameter that is not `declared` is removed from main.cf.

    Who composes a host's resources fills `declared` in; `keep` are further names.
    """

    kind: ClassVar[str] = "strict"
    keep: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return "main.cf"

    def requests(self) -> Iterable[Request]:
        return ()

    def identity(self) -> object:
        return sorted(self.keep)

    def diff(self, observed: Observed) -> Iterable[Change]:
        for name in self._strays(observed):
            yield from Parameter(self.origin, name, None).diff(observed)

    def _strays(self, observed: Observed) -> list[str]:
        if observed.main_cf is None:
            return []
        allowed = self.keep | self.declared
        return [name for name in observed.main_cf.parameters if name not in allowed]

    def before(self, observed: Observed) -> Before:
        """A first line to be shown, and behind it the strays as main.cf has them."""
        strays = self._strays(observed)
        lines = [f"{len(strays)} parameters that nobody declares"]
        if observed.main_cf is not None:
            values = observed.main_cf.parameters
            lines += [main_cf.render(name, main_cf.Value(values[name].value)) for name in strays]
        return Before(present=bool(strays), value="\n".join(lines))
