"""The jobs that prove: a plan before it is applied, a live policy, one mail."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.fleet.jobs import planned
from provisioner.fleet.outcome import Outcome, Status
from provisioner.fleet.pool import HostJob, Work
from provisioner.host import session
from provisioner.host.rehearsal import Disproved, Rehearsal
from provisioner.host.transaction import Owner
from provisioner.planning.planner import Desired


def verifying(desired: Mapping[str, Desired], *, live_policy: bool = False) -> Work:
    """Hold its tests with a copy of each host's live files: one connection, one exec."""

    def work(job: HostJob) -> Outcome:
        host = job.target.name
        connection = job.connect()
        job.step("verify")
        found = session.verify(
            connection, desired[host].tests, live_policy=live_policy, progress=job.progress
        )
        status = Status.FAILING if found.failed or found.findings else Status.OK
        return Outcome(host, status, rehearsal=found)

    return work


def rehearsing(
    desired: Mapping[str, Desired],
    owner: Owner,
    *,
    prune: bool = False,
    live_policy: bool = False,
    prove: bool = True,
) -> Work:
    """Plan each host and rehearse the plan without applying it, on one connection: two execs.

    A host where nothing would change is asked as it is. To `prove` is to fail the host where
    something is wrong.
    """

    def work(job: HostJob) -> Outcome:
        host = job.target.name
        connection = job.connect()
        job.step("plan")
        plan = session.plan(connection, desired[host], prune=prune)
        outcome = planned(host, plan)
        if outcome.error:
            return outcome
        wanted = desired[host].tests
        job.step("rehearse")
        if plan.packages:
            note = "not rehearsed: packages are installed first, the rest is planned after that"
            return Outcome(host, outcome.status, plan, rehearsal=Rehearsal(notes=(note,)))
        if plan.steps:
            found = session.rehearse(
                connection,
                plan,
                owner,
                tests=wanted,
                live_policy=live_policy,
                progress=job.progress,
            )
        else:
            found = session.verify(
                connection, wanted, live_policy=live_policy, progress=job.progress
            )
        wrong = prove and (found.failed or found.findings)
        error = Disproved(host, found) if wrong else None
        return Outcome(host, Status.FAILED if error else outcome.status, plan, error, found)

    return work
