"""What a host's transactions left: a record each, the committed ones numbered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.postfix.activation import Activation
from provisioner.resources.observed import PathState

#: Where a host keeps copies of what it replaced, by their SHA-256.
COPIES = "/var/lib/provisioner/before"


@dataclass(frozen=True, slots=True)
class Touched:
    """A path that a transaction changed: what it was, and what it became. `type` is that of
    a compiled table, or empty."""

    path: str
    type: str
    before: PathState
    after: PathState


@dataclass(frozen=True)
class Generation:
    """One transaction. `number` counts those that were committed on this host, from 1; it is
    0 for one that was not. `state` is the last of its journal.

    `units` are the verbs that take back what was done to services, in the order it was done;
    `ports` the same of the firewall: verb, rule and part as in `plan.Firewall`.
    `manifest` is what the host remembered before; None where it remembered nothing, or was
    not asked. `trouble` says why it did not end well.
    """

    run: str
    state: str
    number: int = 0
    owner: str = ""
    activation: Activation = Activation.NONE
    trouble: str = ""
    touched: tuple[Touched, ...] = ()
    units: tuple[tuple[str, str], ...] = ()
    ports: tuple[tuple[str, str, str], ...] = ()
    manifest: Mapping[str, Any] | None = None


def committed(found: Iterable[Generation]) -> list[Generation]:
    """Those that changed the host for good, oldest first."""
    return sorted((each for each in found if each.number), key=lambda each: each.number)


def since(
    found: Iterable[Generation], *, run: str | None = None, to: int | None = None
) -> Sequence[Generation]:
    """The generations that a rollback takes back, newest first: all after number `to`, or
    `run` and all after it, or just the newest.

    Raises ValueError where the host has no record of them any more.
    """
    every = committed(found)
    if not every:
        raise ValueError("no run has changed this host yet")
    oldest, newest = every[0].number, every[-1].number
    if run is not None:
        numbers = [each.number for each in every if each.run == run]
        if not numbers:
            raise ValueError(f"run {run} changed nothing here, or its record is gone")
        to = numbers[0] - 1
    elif to is None:
        to = newest - 1
    if to >= newest:
        raise ValueError(f"generation {to} is no earlier one: the newest is {newest}")
    if to < oldest - 1:
        raise ValueError(f"the records reach back to generation {oldest - 1} only")
    return [each for each in reversed(every) if each.number > to]
