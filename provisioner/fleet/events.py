"""What happens on the way, as values: renderers turn them into lines or a live display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provisioner.fleet.outcome import Outcome


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The hosts of a run, before the first is contacted. `run` is the run's ID."""

    verb: str
    hosts: tuple[str, ...]
    run: str = ""


@dataclass(frozen=True, slots=True)
class HostStarted:
    host: str


@dataclass(frozen=True, slots=True)
class HostStep:
    """A host reached a step: `connect`, `plan`, and those the host reports itself."""

    host: str
    step: str


@dataclass(frozen=True, slots=True)
class HostNote:
    """Something a person should know of a host, whatever becomes of it."""

    host: str
    text: str


@dataclass(frozen=True, slots=True)
class HostEnded:
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RunEnded:
    """`interrupted`: the user stopped it; hosts without an outcome were not finished."""

    interrupted: bool = False
    seconds: float = 0.0


Event = RunStarted | HostStarted | HostStep | HostNote | HostEnded | RunEnded
Listener = Callable[[Event], None]
