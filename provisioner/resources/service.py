"""A master.cf service (master(5)), known by name and type."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from provisioner.diagnostics import printable
from provisioner.postfix import activation, master_cf, sensitive
from provisioner.postfix.master_cf import Service
from provisioner.resources.base import Action, Before, Change, Resource, SetService
from provisioner.resources.observed import Observed, Request
from provisioner.resources.parameter import with_real_types
from provisioner.secrets import MASK

#: The chroot column's value that means: as this host runs its `smtp inet` service.
HOST_CHROOT = ""

#: In `MasterService.hidden`: the arguments of the program.
ARGUMENTS = "arguments of the program"


@dataclass(frozen=True)
class MasterService(Resource):
    """One service entry; `service` None removes it.

    A `chroot` of `HOST_CHROOT` keeps what the entry has, and in a new entry follows
    the host's own `smtp inet` (distributions differ). A service that stands there
    under a synonym (smtps, submissions, 465) is the same service and keeps its name.
    `hidden` are names of options whose values are never shown; `ARGUMENTS` among them
    hides those of the program.
    """

    kind: ClassVar[str] = "service"
    service_name: str
    type: str
    service: Service | None
    hidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.service is not None:
            chroot = "-" if self.service.chroot == HOST_CHROOT else self.service.chroot
            master_cf.check(replace(self.service, chroot=chroot))

    @property
    def name(self) -> str:
        """By the port's official name: two spellings of one port are one resource."""
        return "/".join(master_cf.same_key(*self.key))

    @property
    def key(self) -> tuple[str, str]:
        return (self.service_name, self.type)

    @property
    def holds_secret(self) -> bool:
        return bool(self.hidden)

    def requests(self) -> Iterable[Request]:
        return ()

    def identity(self) -> object:
        return None if self.service is None else repr(master_cf.canonical(self.service))

    def diff(self, observed: Observed) -> Iterable[Change]:
        if observed.master_cf is None:
            raise ValueError(f"there is no {observed.master_cf_path}")
        current = observed.master_cf.get(*self.key)
        desired = self._resolved(observed, current)
        edit = master_cf.edit(observed.master_text or "", {self.key: desired})
        if not edit.splices:
            return ()
        level, reason = activation.for_service_change(current, desired)
        if desired is None:
            action = Action.DELETE
        else:
            action = Action.CREATE if current is None else Action.UPDATE
        return (
            Change(
                self.address,
                action,
                before=None if current is None else shown(current, self.hidden),
                after=None if desired is None else shown(desired, self.hidden),
                origin=self.origin,
                notes=edit.notes,
                effects=(SetService(self.key, desired),),
                activation=level,
                reason=reason,
            ),
        )

    def _resolved(self, observed: Observed, current: Service | None) -> Service | None:
        if self.service is None or observed.master_cf is None:
            return None
        chroot = self.service.chroot
        if chroot == HOST_CHROOT:
            like = current or observed.master_cf.get("smtp", "inet")
            chroot = like.chroot if like else "-"
        options = tuple(
            (name, with_real_types(value, observed)) for name, value in self.service.options
        )
        name = current.name if current else self.service.name
        return replace(self.service, name=name, chroot=chroot, options=options)

    def before(self, observed: Observed) -> Before:
        current = observed.master_cf.get(*self.key) if observed.master_cf else None
        if current is None:
            return Before(present=False)
        return Before(present=True, value=master_cf.render(current))


def shown(service: Service, hidden: Collection[str]) -> str:
    """The entry as it may be shown."""
    options = tuple(
        (name, MASK if name in hidden else sensitive.mask(name, value))
        for name, value in service.options
    )
    arguments = tuple(sensitive.mask_text(argument) for argument in service.arguments)
    if ARGUMENTS in hidden and arguments:
        arguments = (MASK,)
    text = master_cf.render(replace(service, options=options, arguments=arguments))
    return "\n".join(printable(line) for line in text.split("\n"))
