"""What became of each host. Outcomes are values; exceptions do not cross hosts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from provisioner.errors import Conflict, ExitCode, HostError, Locked, RolledBack, Stale, Unreachable
from provisioner.host.rehearsal import Rehearsal
from provisioner.planning.plan import HostPlan
from provisioner.transport.base import Counters


class Status(StrEnum):
    OK = "ok"
    CHANGED = "changed"
    PENDING = "pending"
    FAILING = "failing"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    ROLLED_BACK = "rolled_back"
    SKIPPED = "skipped"
    STALE = "stale"
    LOCKED = "locked"
    CONFLICT = "conflict"


_BY_ERROR: tuple[tuple[type[HostError], Status], ...] = (
    (Unreachable, Status.UNREACHABLE),
    (Stale, Status.STALE),
    (Locked, Status.LOCKED),
    (Conflict, Status.CONFLICT),
    (RolledBack, Status.ROLLED_BACK),
    (HostError, Status.FAILED),
)

_EXIT = {
    Status.OK: ExitCode.OK,
    Status.CHANGED: ExitCode.OK,
    Status.SKIPPED: ExitCode.OK,
    Status.PENDING: ExitCode.PENDING,
    Status.FAILING: ExitCode.PENDING,
    Status.FAILED: ExitCode.HOST_FAILED,
    Status.ROLLED_BACK: ExitCode.HOST_FAILED,
    Status.UNREACHABLE: ExitCode.UNREACHABLE,
    Status.STALE: ExitCode.STALE,
    Status.LOCKED: ExitCode.STALE,
    Status.CONFLICT: ExitCode.NEEDS_HUMAN,
}


@dataclass(frozen=True)
class Outcome:
    """One host's end: its status, its plan if there is one, its error if there was one.

    `rehearsal` is what a throw-away Postfix there answered, where one was asked. `seconds` is
    wall time; `counters` what its connections cost; `host_key` the
    fingerprint of the key the host showed, empty without SSH.
    """

    host: str
    status: Status
    plan: HostPlan | None = None
    error: HostError | None = None
    rehearsal: Rehearsal | None = None
    seconds: float = 0.0
    counters: Counters = field(default_factory=Counters)
    host_key: str = ""

    @property
    def exit_code(self) -> ExitCode:
        if self.error is not None:
            return self.error.exit_code
        return _EXIT[self.status]


def status_of(error: HostError) -> Status:
    return next(status for kind, status in _BY_ERROR if isinstance(error, kind))
