"""Conversations with one host over an open connection: plan it, apply to it, confirm.

Counts: planning is one exec, and so is proving something without applying it. Applying is
one exec, plus one on a new login that confirms and probes again; a package phase
adds one of its own, and so does a host that an earlier run left unfinished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from provisioner.errors import Failed
from provisioner.host import history as host_history
from provisioner.host import journal, probe, rehearsal, transaction
from provisioner.host.frames import FrameWatcher, split
from provisioner.host.program import Program
from provisioner.host.rehearsal import Rehearsal
from provisioner.host.transaction import Owner
from provisioner.planning import rollback
from provisioner.planning.generations import Generation
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired, plan_host
from provisioner.policy.conversation import PolicyTest
from provisioner.resources.observed import FileRequest, Observed, PathState
from provisioner.transport.base import Connection, Exchange, Limits

#: Called with the words of each step the host reports.
Progress = Callable[[tuple[str, ...]], None]

# A probe speaks at its end.
PROBE_LIMITS = Limits(seconds=120.0, silence=120.0)
APPLY_LIMITS = Limits(seconds=600.0, silence=180.0)
PACKAGE_LIMITS = Limits(seconds=1800.0, silence=600.0)


def _ignore(_words: tuple[str, ...]) -> None:
    return None


def plan(connection: Connection, desired: Desired, *, prune: bool = False) -> HostPlan:
    """Probe the host and plan it: one exec."""
    program = Program("journal.sh", "probe.sh")
    asked = _ask(program, desired)
    exchange = _run(connection, program, PROBE_LIMITS)
    return _planned(connection, desired, asked, exchange, program.nonce, prune)


def recover_and_plan(
    connection: Connection, desired: Desired, owner: str, *, prune: bool = False
) -> HostPlan:
    """Finish what an earlier run left, then plan: one exec. `owner` is the line that others
    see meanwhile. Raises `Locked` while the host waits for that run's confirmation,
    `Conflict` where it cannot be undone."""
    program = Program(*journal.UNDO, "probe.sh")
    program.call("recover_host", owner)
    asked = _ask(program, desired)
    exchange = _run(connection, program, APPLY_LIMITS)
    transaction.check_result(connection.target.name, exchange.stdout, program.nonce, "recover")
    return _planned(connection, desired, asked, exchange, program.nonce, prune)


def _ask(program: Program, desired: Desired) -> probe.ProbeRequests:
    asked = probe.ProbeRequests(desired.requests())
    asked.add_calls(program)
    return asked


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
    asked = _ask(program, desired)
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
        rehearsal.check(connection.target.name, found)
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
    program = Program("rehearse.sh", "copy.sh")
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
    """On a new login: confirm the run and plan again. The plan should be empty.

    Raises `RolledBack` where the host undid the change before it was confirmed.
    """
    program = transaction.confirm_program(owner)
    asked = _ask(program, desired)
    exchange = _run(connection, program, APPLY_LIMITS)
    journal.check_confirmed(connection.target.name, owner.run, exchange.stdout, program.nonce)
    return _planned(connection, desired, asked, exchange, program.nonce, prune=False)


def history(connection: Connection, *, manifests: bool = False) -> list[Generation]:
    """What the transactions of this host left: one exec."""
    program = host_history.program(manifests=manifests)
    exchange = _run(connection, program, PROBE_LIMITS)
    return host_history.parse(connection.target.name, exchange.stdout, program.nonce)


def plan_rollback(connection: Connection, undone: Sequence[Generation]) -> HostPlan:
    """The plan that takes these generations back, newest first: one exec."""
    program = Program("journal.sh", "probe.sh")
    asked = probe.ProbeRequests(rollback.requests(undone))
    asked.add_calls(program)
    exchange = _run(connection, program, PROBE_LIMITS)
    host = connection.target.name
    observed = _observed(connection, asked, exchange, program.nonce)
    return rollback.plan_rollback(host, undone, observed)


def confirm_paths(
    connection: Connection, wanted: Mapping[str, PathState], owner: Owner
) -> list[str]:
    """On a new login: confirm the run, and tell which paths are not as wanted. Raises as
    `confirm` does."""
    program = transaction.confirm_program(owner)
    asked = probe.ProbeRequests(FileRequest(path) for path in wanted)
    asked.add_calls(program)
    exchange = _run(connection, program, APPLY_LIMITS)
    journal.check_confirmed(connection.target.name, owner.run, exchange.stdout, program.nonce)
    observed = _observed(connection, asked, exchange, program.nonce)
    return [
        path for path, state in wanted.items() if observed.paths[path].signature != state.signature
    ]


def recover(connection: Connection, owner: Owner, *, progress: Progress = _ignore) -> None:
    """Finish what an earlier run left: one exec. Raises `Locked`, `Conflict`."""
    program = Program(*journal.UNDO)
    program.call("recover_host", owner.line)
    exchange = _run(connection, program, APPLY_LIMITS, progress)
    transaction.check_result(connection.target.name, exchange.stdout, program.nonce, "recover")


def unlock(connection: Connection, run: str, owner: Owner, *, progress: Progress = _ignore) -> None:
    """End that run now: one exec. Raises `Failed` where it is not the one that is open."""
    program = Program(*journal.UNDO, "unlock.sh")
    program.call("unlock", run, owner.line)
    exchange = _run(connection, program, APPLY_LIMITS, progress)
    transaction.check_result(connection.target.name, exchange.stdout, program.nonce, "unlock")


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
    observed = _observed(connection, asked, exchange, nonce)
    return plan_host(desired, observed, prune=prune)


def _observed(
    connection: Connection, asked: probe.ProbeRequests, exchange: Exchange, nonce: str
) -> Observed:
    host = connection.target.name
    if not split(exchange.stdout, nonce):
        said = exchange.stderr.decode("utf-8", "replace").strip()[-300:]
        raise Failed(host, "probe", said or f"the shell ended with status {exchange.status}")
    observed = probe.parse(host, asked, exchange.stdout, nonce)
    _check_tools(host, observed)
    return observed


def _check_tools(host: str, observed: Observed) -> None:
    missing = observed.facts.missing_tools
    if missing:
        raise Failed(
            host,
            "probe",
            f"the host lacks {', '.join(missing)}",
            help="they belong to coreutils, util-linux and gzip",
        )
