"""Conversations with one host over an open connection: plan it, apply to it, confirm.

Counts: planning is one exec, and so is proving something without applying it. Applying is
one exec, plus one on a new login that confirms and probes again; a package phase
adds one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from provisioner.errors import Failed
from provisioner.host import probe, rehearsal, transaction
from provisioner.host.frames import FrameWatcher, split
from provisioner.host.program import Program
from provisioner.host.rehearsal import Rehearsal
from provisioner.host.transaction import Owner
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired, plan_host
from provisioner.policy.conversation import PolicyTest
from provisioner.resources.observed import Observed
from provisioner.transport.base import Connection, Exchange, Limits

#: Called with the words of each step the host reports.
Progress = Callable[[tuple[str, ...]], None]

PROBE_LIMITS = Limits(seconds=120.0, silence=60.0)
APPLY_LIMITS = Limits(seconds=600.0, silence=180.0)
PACKAGE_LIMITS = Limits(seconds=1800.0, silence=600.0)


def _ignore(_words: tuple[str, ...]) -> None:
    return None


def plan(connection: Connection, desired: Desired, *, prune: bool = False) -> HostPlan:
    """Probe the host and plan it: one exec."""
    program = Program("probe.sh")
    asked = probe.ProbeRequests(desired.requests())
    asked.add_calls(program)
    exchange = _run(connection, program, PROBE_LIMITS)
    return _planned(connection, desired, asked, exchange, program.nonce, prune)


def install_packages(
    connection: Connection,
    desired: Desired,
    before: HostPlan,
    owner: Owner,
    *,
    prune: bool = False,
    progress: Progress = _ignore,
) -> HostPlan:
    """Install what `before` found missing, probe again and plan the rest: one exec."""
    program = transaction.packages_program(before.packages, owner)
    asked = probe.ProbeRequests(desired.requests())
    asked.add_calls(program)
    exchange = _run(connection, program, PACKAGE_LIMITS, progress)
    host = connection.target.name
    transaction.check_result(host, exchange.stdout, program.nonce, "packages")
    after = _planned(connection, desired, asked, exchange, program.nonce, prune)
    if after.packages:
        raise Failed(host, "packages", f"still missing: {', '.join(after.packages)}")
    return after


def apply(
    connection: Connection,
    plan: HostPlan,
    owner: Owner,
    *,
    tests: Sequence[PolicyTest] = (),
    live_policy: bool = False,
    progress: Progress = _ignore,
) -> Rehearsal | None:
    """Carry out the plan: one exec. Returns what its rehearsal found, None if there was none.
    Raises `Stale`, `Locked`, `Failed` (as where a policy test fails)."""
    program = transaction.apply_program(plan, owner, tests, live_policy=live_policy)
    exchange = _run(connection, program, APPLY_LIMITS, progress)
    found = rehearsal.read(exchange.stdout, program.nonce, tests)
    if found:
        rehearsal.check(connection.target.name, found, tests)
    transaction.check_result(connection.target.name, exchange.stdout, program.nonce)
    return found


def rehearse(
    connection: Connection,
    plan: HostPlan,
    owner: Owner,
    *,
    tests: Sequence[PolicyTest] = (),
    live_policy: bool = False,
    progress: Progress = _ignore,
) -> Rehearsal:
    """Prove a plan without applying it: stage, compile, rehearse, throw away; one exec. A
    rehearsal that finds faults is an answer, not an error. Raises `Stale`, `Locked`, `Failed`."""
    program = transaction.rehearsal_program(plan, owner, tests, live_policy=live_policy)
    exchange = _run(connection, program, APPLY_LIMITS, progress)
    return _rehearsed(connection, program, exchange, tests)


def verify(
    connection: Connection,
    tests: Sequence[PolicyTest],
    *,
    live_policy: bool = False,
    progress: Progress = _ignore,
) -> Rehearsal:
    """Hold the tests with a copy of the host's live files, changing nothing there: one exec.
    Raises `Failed` where the host cannot."""
    program = Program("rehearse.sh")
    rehearsal.add_live(program, tests, live_policy=live_policy)
    exchange = _run(connection, program, APPLY_LIMITS, progress)
    return _rehearsed(connection, program, exchange, tests)


def _rehearsed(
    connection: Connection, program: Program, exchange: Exchange, tests: Sequence[PolicyTest]
) -> Rehearsal:
    found = rehearsal.read(exchange.stdout, program.nonce, tests)
    if found is None or not (found.findings or found.failed):
        transaction.check_result(
            connection.target.name, exchange.stdout, program.nonce, "rehearsal"
        )
    return found or Rehearsal(notes=("not rehearsed: nothing in this plan concerns Postfix",))


def confirm(connection: Connection, desired: Desired, owner: Owner) -> HostPlan:
    """On a new login: confirm the run and plan again. The plan should be empty."""
    program = Program("apply.sh", "probe.sh")
    program.call("confirm", owner.run)
    asked = probe.ProbeRequests(desired.requests())
    asked.add_calls(program)
    exchange = _run(connection, program, PROBE_LIMITS)
    return _planned(connection, desired, asked, exchange, program.nonce, prune=False)


def _run(
    connection: Connection, program: Program, limits: Limits, progress: Progress = _ignore
) -> Exchange:
    watcher = FrameWatcher(program.nonce, progress)
    return connection.run(program.script(), program.payload(), limits=limits, on_stdout=watcher)


def _planned(
    connection: Connection,
    desired: Desired,
    asked: probe.ProbeRequests,
    exchange: Exchange,
    nonce: str,
    prune: bool,
) -> HostPlan:
    host = connection.target.name
    if not split(exchange.stdout, nonce):
        said = exchange.stderr.decode("utf-8", "replace").strip()[-300:]
        raise Failed(host, "probe", said or f"the shell ended with status {exchange.status}")
    observed = probe.parse(host, asked, exchange.stdout, nonce)
    _check_tools(host, observed)
    return plan_host(desired, observed, prune=prune)


def _check_tools(host: str, observed: Observed) -> None:
    missing = observed.facts.missing_tools
    if missing:
        raise Failed(
            host,
            "probe",
            f"the host lacks {', '.join(missing)}",
            help="they belong to coreutils, util-linux and gzip",
        )
