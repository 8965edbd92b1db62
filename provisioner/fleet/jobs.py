"""The jobs: plan one host, apply to one host."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from provisioner.errors import Conflict, Failed, HostError, Stale, Unreachable
from provisioner.fleet.outcome import Outcome, Status
from provisioner.fleet.pool import HostJob, Work
from provisioner.host import session
from provisioner.host.transaction import Owner
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired
from provisioner.transport.base import Connection

Answer = TypeVar("Answer")

#: Seconds between two tries to log in again for the confirmation.
PAUSE = 2.0


def planning(
    desired: Mapping[str, Desired], *, prune: bool = False, apply_as: str | None = None
) -> Work:
    """Plan a host: one connection, one exec.

    `apply_as` is said by who is about to apply, as the line that others see: what an earlier
    run left is finished first, and the login stays open where there is something to do.
    """

    def work(job: HostJob) -> Outcome:
        connection = job.connect()
        job.step("plan")
        wanted = desired[job.target.name]
        plan = session.plan(connection, wanted, prune=prune)
        if apply_as is not None and plan.open_run:
            job.step("recover")
            plan = session.recover_and_plan(connection, wanted, apply_as, prune=prune)
        if apply_as is not None and not plan.empty and not plan.errors:
            job.keep()
        return planned(job.target.name, plan)

    return work


def planned(host: str, plan: HostPlan) -> Outcome:
    if plan.errors:
        return Outcome(host, Status.FAILED, plan, _refusal(host, plan))
    return Outcome(host, Status.OK if plan.empty else Status.PENDING, plan)


def _refusal(host: str, plan: HostPlan) -> HostError:
    first = plan.errors[0]
    more = f" (and {len(plan.errors) - 1} more)" if len(plan.errors) > 1 else ""
    where = f"{first.mark}: " if first.mark else ""
    return Failed(host, "plan", f"{where}{first.message}{more}", help=first.help)


def applying(
    desired: Mapping[str, Desired],
    plans: Mapping[str, HostPlan],
    owner: Owner,
    *,
    prune: bool = False,
    take_over: bool = False,
    live_policy: bool = False,
    host_keys: Mapping[str, str] | None = None,
) -> Work:
    """Apply each host's plan: one connection and exec, one more of each to confirm.

    `live_policy`: the rehearsal asks policy services and milters themselves. `host_keys` are
    those of a saved plan: a host that shows another is stale.
    """

    def work(job: HostJob) -> Outcome:
        host = job.target.name
        plan = plans[host]
        if plan.rival and not take_over:
            raise Conflict(
                host,
                "apply",
                f"another inventory manages this host: {plan.rival}",
                help="apply from there, or take the host over with --take-over",
            )
        expected = (host_keys or {}).get(host, "")
        connection = job.connect()
        _check_key(job, expected)
        ready = _with_packages(job, connection, desired[host], plan, owner, prune)
        if ready:
            job.step("apply")
            session.apply(
                connection,
                ready,
                owner,
                tests=desired[host].tests,
                live_policy=live_policy,
                progress=job.progress,
            )
        job.disconnect()
        job.step("confirm")
        if ready:
            rest = confirm(job, owner, lambda new: session.confirm(new, desired[host], owner))
        else:
            rest = session.plan(job.connect(), desired[host])
        if not rest.empty or rest.errors:
            left = ", ".join(dict.fromkeys(change.address for change in rest.changes))
            error: HostError = Conflict(
                host,
                "re-probe",
                f"the change stands, but the host still differs: {left or rest.errors}",
                help="something else manages these; plan again and look at what it changed",
            )
            return Outcome(host, Status.FAILED, replace(rest, host=host), error)
        return Outcome(host, Status.CHANGED, plan)

    return work


def confirm(job: HostJob, owner: Owner, ask: Callable[[Connection], Answer]) -> Answer:
    """Confirm over a new login, tried again for as long as the host waits."""
    ends = time.monotonic() + owner.window
    while True:
        try:
            return ask(job.connect())
        except Unreachable as error:
            job.disconnect()
            if time.monotonic() + PAUSE > ends:
                when = f"{datetime.now(UTC):%H:%M:%S} UTC"
                raise Unreachable(
                    job.target.name,
                    "confirm",
                    f"{error.message}; the change was made and is not confirmed, and by about "
                    f"{when} the host undoes it by itself",
                    help=f"when it can be reached again: provisioner history {job.target.name}",
                ) from error
        time.sleep(PAUSE)


def _check_key(job: HostJob, host_key: str) -> None:
    """Raises `Stale` where the host shows another key than the one it was planned with."""
    if host_key and job.host_key != host_key:
        raise Stale(
            job.target.name,
            "apply",
            f"the host shows another key ({job.host_key}) than when it was planned ({host_key})",
            help="plan again",
        )


def _with_packages(
    job: HostJob,
    connection: Connection,
    desired: Desired,
    plan: HostPlan,
    owner: Owner,
    prune: bool,
) -> HostPlan | None:
    """What is left to apply once the packages are there; None if that was all."""
    if not plan.packages:
        return plan
    job.step("packages")
    plan = session.install_packages(
        connection, desired, plan, owner, prune=prune, progress=job.progress
    )
    if plan.errors:
        raise _refusal(job.target.name, plan)
    return None if plan.empty else plan
