"""Variables that were surely meant for a role: their options would silently have no effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from provisioner.diagnostics import Diagnostic, Severity, nearest
from provisioner.inventory import Host
from provisioner.inventory.site import RoleRef
from provisioner.roles.desired import UMBRELLA
from provisioner.roles.policy import VARIABLE

#: How alike (0 to 1) a variable and a role are named where it is a slip: `postfx`, `hardning`.
_LIKENESS = 0.88


@cache
def _near(name: str, wanted: tuple[str, ...]) -> str | None:
    """Remembered, for hosts have the same few names and roles."""
    return nearest(name, wanted, likeness=_LIKENESS)


def misspelt(
    hosts: Iterable[Host], assigned: Mapping[str, Sequence[RoleRef]], roles: Iterable[str]
) -> Iterator[Diagnostic]:
    """A warning for each variable named nearly as a role of a host for which nothing is said.

    `roles` are the names of all roles. An inventory may hold any variable, so it is no error.
    """
    known = {*roles, "mail", VARIABLE, UMBRELLA}
    seen: set[int] = set()
    told: set[str] = set()
    for host in hosts:
        for layer in host.layers:
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            wanted = [role.name for role in assigned[host.name]]
            for name in layer.keys() - known - told:
                near = _near(str(name), (*wanted, "mail", VARIABLE))
                if near and not {near, UMBRELLA} & host.vars.keys():
                    told.add(name)
                    yield Diagnostic(
                        f'the variable "{name}" has no effect on any role',
                        layer.key_marks.get(name),
                        f"did you mean {near}?",
                        Severity.WARNING,
                    )
