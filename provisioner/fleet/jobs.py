"""The jobs: plan one host, apply to one host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from provisioner.errors import Conflict, Failed, HostError, Stale
from provisioner.fleet.outcome import Outcome, Status
from provisioner.fleet.pool import HostJob, Work
from provisioner.host import session
from provisioner.host.transaction import Owner
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired


def planning(desired: Mapping[str, Desired], *, prune: bool = False, keep: bool = False) -> Work:
    """Plan a host: one connection, one exec. `keep` leaves the login open where there is
    something to apply."""

    def work(job: HostJob) -> Outcome:
        connection = job.connect()
        job.step("plan")
        plan = session.plan(connection, desired[job.target.name], prune=prune)
        if keep and not plan.empty and not plan.errors:
            job.keep()
        return _planned(job.target.name, plan)

    return work


def _planned(host: str, plan: HostPlan) -> Outcome:
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
    host_keys: Mapping[str, str] | None = None,
) -> Work:
    """Apply each host's plan: one connection and exec, one more of each to confirm.

    `host_keys` are those of a saved plan: a host that shows another is stale.
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
        _apply(job, desired[host], plan, owner, prune, expected)
        job.disconnect()
        job.step("confirm")
        rest = session.confirm(job.connect(), desired[host], owner)
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


def _apply(
    job: HostJob, desired: Desired, plan: HostPlan, owner: Owner, prune: bool, host_key: str
) -> None:
    connection = job.connect()
    if host_key and job.host_key != host_key:
        raise Stale(
            job.target.name,
            "apply",
            f"the host shows another key ({job.host_key}) than when it was planned ({host_key})",
            help="plan again",
        )
    if plan.packages:
        job.step("packages")
        plan = session.install_packages(
            connection, desired, plan, owner, prune=prune, progress=job.progress
        )
        if plan.errors:
            raise _refusal(job.target.name, plan)
        if plan.empty:
            return
    job.step("apply")
    session.apply(connection, plan, owner, progress=job.progress)
