"""A service unit: running and enabled, or not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from provisioner.resources.base import Action, Before, Change, ControlUnit, Resource
from provisioner.resources.observed import Observed, Request, UnitRequest

_NAME = re.compile(r"[A-Za-z0-9_.@:-]+")
#: systemctl's words for a unit that can be neither enabled nor disabled.
_FIXED = frozenset({"static", "generated", "transient", "alias", "indirect"})
_ENABLED = frozenset({"enabled", "enabled-runtime"})


@dataclass(frozen=True)
class Unit(Resource):
    """A service by its plain name (`postfix`, `cron`). None: leave that side alone.
    `sockets` are paths that are there while it runs.

    The name `postfix` is the mail system itself: it runs when its master process
    does, whatever unit the distribution wraps it in.
    """

    kind: ClassVar[str] = "unit"
    unit: str
    running: bool | None = True
    enabled: bool | None = True
    sockets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.unit) or self.unit.startswith("-"):
            raise ValueError(f"{self.unit!r} is not the name of a service")

    @property
    def name(self) -> str:
        return self.unit

    @property
    def provides(self) -> tuple[str, ...]:
        return self.sockets if self.running else ()

    def requests(self) -> Iterable[Request]:
        return (UnitRequest(self.unit),)

    def identity(self) -> object:
        return [self.running, self.enabled]

    @property
    def wanted(self) -> str:
        """What is desired, in words."""
        words = {True: ("running", "enabled"), False: ("stopped", "disabled")}
        sides = enumerate((self.running, self.enabled))
        return ", ".join(words[side][n] for n, side in sides if side is not None) or "as it is"

    def diff(self, observed: Observed) -> Iterable[Change]:
        state = observed.units[self.unit]
        if state.load == "masked" and (self.running or self.enabled):
            raise ValueError(f"the unit {self.unit} is masked on this host")
        if state.load == "not-found" and not (self.running or self.enabled):
            return
        if state.load == "not-found":
            raise ValueError(f"there is no service {self.unit} on this host")
        enabled = self.enabled if state.enabled in _FIXED else state.enabled in _ENABLED
        if self.enabled is not None and enabled is not self.enabled:
            verb = "enable" if self.enabled else "disable"
            yield self._change(Action(verb), verb, state.enabled, f"{verb}d")
        if self.running is not None and (state.active == "active") is not self.running:
            verb = "start" if self.running else "stop"
            after = "active" if self.running else "inactive"
            yield self._change(Action(verb), verb, state.active, after)

    def _change(self, action: Action, verb: str, before: str, after: str) -> Change:
        return Change(
            self.address,
            action,
            before=before,
            after=after,
            origin=self.origin,
            effects=(ControlUnit(self.unit, verb),),
        )

    def before(self, observed: Observed) -> Before:
        state = observed.units[self.unit]
        return Before(present=state.load != "not-found", value=f"{state.active} {state.enabled}")
