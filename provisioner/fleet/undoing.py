"""The jobs that go back: history, rollback, recovery, unlocking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provisioner.errors import Conflict, Failed, HostError
from provisioner.fleet import jobs
from provisioner.fleet.outcome import Outcome, Status
from provisioner.fleet.pool import HostJob, Work
from provisioner.host import session
from provisioner.host.transaction import Owner
from provisioner.planning import generations
from provisioner.planning.generations import Generation
from provisioner.planning.plan import HostPlan
from provisioner.planning.rollback import targets


class History:
    """Reads hosts' histories; `found` holds them afterwards."""

    def __init__(self) -> None:
        self.found: dict[str, list[Generation]] = {}

    def __call__(self, job: HostJob) -> Outcome:
        """One connection, one exec."""
        connection = job.connect()
        job.step("history")
        self.found[job.target.name] = session.history(connection)
        return Outcome(job.target.name, Status.OK)


class Rollback:
    """Takes generations back: `plan` finds them (one connection, two execs), `applying` does
    as the plans say.

    All after number `to`; or `run` and all after it; or the newest. With `run`, a host that
    this run did not change has nothing to do.
    """

    def __init__(self, *, run: str | None = None, to: int | None = None) -> None:
        self._run, self._to = run, to
        self._undone: dict[str, Sequence[Generation]] = {}

    def plan(self, job: HostJob) -> Outcome:
        host = job.target.name
        connection = job.connect()
        job.step("history")
        found = session.history(connection, manifests=True)
        if self._run and not any(each.run == self._run and each.number for each in found):
            return Outcome(host, Status.OK, HostPlan(host))
        try:
            undone = generations.since(found, run=self._run, to=self._to)
        except ValueError as error:
            raise Failed(
                host, "rollback", str(error), help=f"provisioner history {host}"
            ) from error
        job.step("plan")
        plan = session.plan_rollback(connection, undone)
        if plan.errors:
            return Outcome(host, Status.CONFLICT, plan, _conflict(host, plan))
        if plan.empty:
            return Outcome(host, Status.OK, plan)
        self._undone[host] = undone
        job.keep()
        return Outcome(host, Status.PENDING, plan)

    def applying(self, plans: Mapping[str, HostPlan], owner: Owner) -> Work:
        """Apply each host's plan: one exec, one more on a new login that confirms and looks."""

        def work(job: HostJob) -> Outcome:
            host = job.target.name
            job.step("apply")
            session.apply(job.connect(), plans[host], owner, progress=job.progress)
            job.disconnect()
            job.step("confirm")
            wanted = targets(self._undone[host])
            left = jobs.confirm(
                job, owner, lambda login: session.confirm_paths(login, wanted, owner)
            )
            if left:
                error = Conflict(
                    host,
                    "re-probe",
                    f"went back, but the host still differs: {', '.join(left)}",
                    help="something else manages these; look at what it changed",
                )
                return Outcome(host, Status.FAILED, plans[host], error)
            return Outcome(host, Status.CHANGED, plans[host])

        return work


def _conflict(host: str, plan: HostPlan) -> HostError:
    first = plan.errors[0]
    more = f" (and {len(plan.errors) - 1} more)" if plan.errors[1:] else ""
    return Conflict(host, "rollback", f"{first.message}{more}", help=first.help)


def recovering(owner: Owner) -> Work:
    """Finish what an earlier run left: one connection, one exec."""

    def work(job: HostJob) -> Outcome:
        connection = job.connect()
        job.step("recover")
        session.recover(connection, owner, progress=job.progress)
        return Outcome(job.target.name, Status.OK)

    return work


def unlocking(run: str, owner: Owner) -> Work:
    """End that run on the host now: one connection, one exec."""

    def work(job: HostJob) -> Outcome:
        connection = job.connect()
        job.step("unlock")
        session.unlock(connection, run, owner, progress=job.progress)
        return Outcome(job.target.name, Status.CHANGED)

    return work
