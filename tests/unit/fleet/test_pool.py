"""The pool: outcomes in order, forks bounded, failures and Ctrl-C contained."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import pytest

from provisioner.errors import (
    Conflict,
    ExitCode,
    Failed,
    HostError,
    InputError,
    Locked,
    RolledBack,
    Stale,
    Unreachable,
    worst,
)
from provisioner.fleet import pool
from provisioner.fleet.events import Event, HostEnded, HostNote, HostStarted, HostStep, RunEnded
from provisioner.fleet.outcome import Outcome, Status
from provisioner.fleet.pool import HostJob, Logins
from provisioner.marks import Mark
from provisioner.transport.base import Connection, Exchange, FakeConnection, Target
from provisioner.transport.fake import FakeTransport

Work = Callable[[HostJob], Outcome]


def fine(_script: bytes, _payload: bytes) -> Exchange:
    return Exchange(0, b"", b"")


def named(*names: str) -> list[Target]:
    return [Target(name, name) for name in names]


def connecting(job: HostJob) -> Outcome:
    job.connect().run(b"true")
    return Outcome(job.target.name, Status.OK)


def run(
    work: Work,
    targets: Sequence[Target],
    transport: FakeTransport | None = None,
    *,
    forks: int = 4,
    heard: list[Event] | None = None,
) -> list[Outcome]:
    transport = transport or FakeTransport({target.name: fine for target in targets})
    listener = (lambda _event: None) if heard is None else heard.append
    with Logins(transport) as logins:
        return pool.run("plan", targets, logins, work, forks=forks, listener=listener)


# ---- outcomes --------------------------------------------------------------------------


def test_outcomes_come_in_the_targets_order() -> None:
    """The first host ends last."""
    others = threading.Barrier(2)

    def work(job: HostJob) -> Outcome:
        if job.target.name == "a" or job.target.name == "c":
            others.wait(10)
        return connecting(job)

    assert [o.host for o in run(work, named("a", "b", "c"), forks=3)] == ["a", "b", "c"]


def test_no_hosts() -> None:
    heard: list[Event] = []
    assert run(connecting, [], heard=heard) == []
    assert [type(event).__name__ for event in heard] == ["RunStarted", "RunEnded"]


ERRORS: list[tuple[HostError, Status, int]] = [
    (Unreachable("x", "connect", "no route"), Status.UNREACHABLE, 5),
    (Failed("x", "probe", "what"), Status.FAILED, 4),
    (RolledBack("x", "apply", "undone"), Status.ROLLED_BACK, 4),
    (Stale("x", "apply", "moved"), Status.STALE, 7),
    (Locked("x", "apply", "held"), Status.LOCKED, 7),
    (Conflict("x", "apply", "rival"), Status.CONFLICT, 8),
]


@pytest.mark.parametrize(("error", "status", "code"), ERRORS, ids=[s.value for _, s, _ in ERRORS])
@pytest.mark.parametrize("when", ["connecting", "running"])
def test_an_error_is_one_hosts_outcome(
    error: HostError, status: Status, code: int, when: str
) -> None:
    def fails(_script: bytes, _payload: bytes) -> Exchange:
        raise error

    transport = FakeTransport({"a": fine, "x": error if when == "connecting" else fails, "z": fine})
    outcomes = run(connecting, named("a", "x", "z"), transport)
    assert [o.status for o in outcomes] == [Status.OK, status, Status.OK]
    assert outcomes[1].error is error
    assert outcomes[1].exit_code == code


def test_a_host_that_the_transport_does_not_know() -> None:
    (outcome,) = run(connecting, named("a"), FakeTransport({}))
    assert outcome.status is Status.UNREACHABLE


def test_a_broken_ssh_configuration_is_told_with_its_place() -> None:
    def work(_job: HostJob) -> Outcome:
        raise InputError("no such key", mark=Mark("/root/.ssh/config", 3), help="make one")

    (outcome,) = run(work, named("a"))
    assert outcome.status is Status.UNREACHABLE
    assert outcome.error is not None
    assert "/root/.ssh/config:3: no such key" in outcome.error.message
    assert outcome.error.help == "make one"


@pytest.mark.parametrize("accident", [KeyError("x"), RecursionError(), SystemExit(3)])
def test_an_accident_costs_the_others_nothing(accident: BaseException) -> None:
    def work(job: HostJob) -> Outcome:
        if job.target.name == "b":
            raise accident
        return connecting(job)

    outcomes = run(work, named("a", "b", "c"))
    assert [o.status for o in outcomes] == [Status.OK, Status.FAILED, Status.OK]
    error = outcomes[1].error
    assert error is not None
    assert "a fault of this program" in error.message
    assert type(accident).__name__ in error.message
    assert error.__cause__ is accident


class Clinging(FakeConnection):
    """A login that cannot be closed."""

    def close(self) -> None:
        raise OSError("already gone")


def test_a_login_that_cannot_be_closed_costs_nothing() -> None:
    transport = FakeTransport({})
    transport.connect = lambda target: Clinging(target, fine)  # type: ignore[method-assign]

    def keeping(job: HostJob) -> Outcome:
        connecting(job)
        if job.target.name == "kept":
            job.keep()
        return Outcome(job.target.name, Status.CHANGED)

    outcomes = run(keeping, named("kept", "b"), transport)
    assert [o.status for o in outcomes] == [Status.CHANGED] * 2


def test_exit_codes_in_the_documented_order() -> None:
    order = [130, 1, 3, 8, 4, 6, 7, 5, 2, 0]
    for number, code in enumerate(order):
        rest = [ExitCode(each) for each in order[number:]]
        assert worst(rest) == worst(reversed(rest)) == code
    assert worst([]) == 0


def test_every_status_has_an_exit_code() -> None:
    codes = {status.value: int(Outcome("a", status).exit_code) for status in Status}
    assert codes == {
        "ok": 0, "changed": 0, "skipped": 0, "pending": 2,
 "failing": 2, "failed": 4, "rolled_back": 4,
        "unreachable": 5, "stale": 7, "locked": 7, "conflict": 8,
    }  # fmt: skip


# ---- forks and logins ------------------------------------------------------------------


@pytest.mark.parametrize("forks", [1, 3, 100])
def test_no_more_than_so_many_at_once(forks: int) -> None:
    lock = threading.Lock()
    now: set[str] = set()
    most = 0

    def work(job: HostJob) -> Outcome:
        nonlocal most
        with lock:
            now.add(job.target.name)
            most = max(most, len(now))
        connecting(job)
        with lock:
            now.discard(job.target.name)
        return Outcome(job.target.name, Status.OK)

    assert len(run(work, named(*(f"h{n}" for n in range(12))), forks=forks)) == 12
    assert 1 <= most <= forks


def test_hosts_are_worked_on_at_the_same_time() -> None:
    together = threading.Barrier(3)

    def work(job: HostJob) -> Outcome:
        together.wait(10)
        return Outcome(job.target.name, Status.OK)

    assert len(run(work, named("a", "b", "c"), forks=3)) == 3


def test_connections_are_counted_and_closed() -> None:
    transport = FakeTransport({"a": fine})

    def work(job: HostJob) -> Outcome:
        connecting(job)
        job.disconnect()
        connecting(job)
        return Outcome("a", Status.OK)

    (outcome,) = run(work, named("a"), transport)
    assert (outcome.counters.connections, outcome.counters.execs) == (2, 2)
    assert [c.closed for c in transport.connections] == [True, True]
    assert transport.closed


def test_a_kept_login_is_used_by_the_next_job_and_closed_with_it() -> None:
    transport = FakeTransport({"a": fine, "b": fine})
    logins = Logins(transport)

    def keeping(job: HostJob) -> Outcome:
        outcome = connecting(job)
        job.keep()
        return outcome

    def quiet(_event: Event) -> None: ...

    with logins:
        pool.run("plan", named("a", "b"), logins, keeping, forks=2, listener=quiet)
        assert set(logins.kept) == {"a", "b"}
        (outcome,) = pool.run("apply", named("a"), logins, connecting, forks=2, listener=quiet)
        assert (outcome.counters.connections, outcome.counters.execs) == (1, 2)
        assert set(logins.kept) == {"b"}
        closed = {c.target.name: c.closed for c in transport.connections}
        assert closed == {"a": True, "b": False}
    assert all(c.closed for c in transport.connections)
    assert len(transport.connections) == 2


def test_a_kept_login_that_died_meanwhile_is_replaced() -> None:
    transport = FakeTransport({"a": fine})

    def keeping(job: HostJob) -> Outcome:
        outcome = connecting(job)
        job.keep()
        return outcome

    def quiet(_event: Event) -> None: ...

    with Logins(transport) as logins:
        pool.run("plan", named("a"), logins, keeping, forks=1, listener=quiet)
        transport.connections[0].close()
        (outcome,) = pool.run("apply", named("a"), logins, connecting, forks=1, listener=quiet)
    assert outcome.status is Status.OK
    assert (outcome.counters.connections, outcome.counters.execs) == (1, 1)
    assert len(transport.connections) == 2


# ---- events ----------------------------------------------------------------------------


def test_events_tell_the_story() -> None:
    heard: list[Event] = []

    def work(job: HostJob) -> Outcome:
        job.progress(("step", "stage", "extra", "more"))
        job.progress(("note", "not", "rehearsed"))
        job.progress(("result", "ok"))
        job.progress(())
        return connecting(job)

    (outcome,) = run(work, named("a"), heard=heard)
    assert heard[1:-1] == [
        HostStarted("a"),
        HostStep("a", "stage extra"),
        HostNote("a", "not rehearsed"),
        HostStep("a", "connect"),
        HostEnded(outcome),
    ]
    assert isinstance(heard[-1], RunEnded)
    assert not heard[-1].interrupted


def test_what_a_host_reports_cannot_move_the_cursor() -> None:
    heard: list[Event] = []

    def work(job: HostJob) -> Outcome:
        job.progress(("step", "\x1b[2J", "\x9b1m"))
        job.progress(("note", "\x1b]0;x\x07"))
        return Outcome("a", Status.OK)

    run(work, named("a"), heard=heard)
    told = [getattr(e, "step", "") + getattr(e, "text", "") for e in heard]
    assert "\\x1b[2J \\x9b1m" in told
    assert not any("\x1b" in text or "\x9b" in text for text in told)


def test_one_event_at_a_time() -> None:
    inside = threading.Lock()
    overlaps = 0

    def listener(_event: Event) -> None:
        nonlocal overlaps
        if not inside.acquire(blocking=False):
            overlaps += 1
            return
        inside.release()

    targets = named(*(f"h{n}" for n in range(40)))
    with Logins(FakeTransport({t.name: fine for t in targets})) as logins:
        pool.run("plan", targets, logins, connecting, forks=16, listener=listener)
    assert overlaps == 0


# ---- Ctrl-C ----------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_finished_and_starts_no_more() -> None:
    started: list[str] = []
    over = threading.Event()
    heard: list[Event] = []

    def work(job: HostJob) -> Outcome:
        started.append(job.target.name)
        if job.target.name == "slow":
            over.wait(30)
        return Outcome(job.target.name, Status.CHANGED)

    def listener(event: Event) -> None:
        heard.append(event)
        if isinstance(event, HostEnded):
            raise KeyboardInterrupt  # as a signal would in the main thread

    targets = named("quick", "slow", "later1", "later2")
    with Logins(FakeTransport({})) as logins, pytest.raises(pool.Interrupted) as stopped:
        pool.run("apply", targets, logins, work, forks=1, listener=listener)
    over.set()
    hosts = [outcome.host for outcome in stopped.value.outcomes]
    assert hosts[:1] == ["quick"]
    assert "later2" not in started
    assert isinstance(heard[-1], RunEnded)
    assert heard[-1].interrupted


_HANGING = """
import os, signal, sys, threading
from provisioner.fleet import pool
from provisioner.fleet.outcome import Outcome, Status
from provisioner.transport.base import Target
from provisioner.transport.fake import FakeTransport

def work(job):
    if job.target.name == "hangs":
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait()
    return Outcome(job.target.name, Status.CHANGED)

targets = [Target("done", "done"), Target("hangs", "hangs")]
with pool.Logins(FakeTransport({})) as logins:
    try:
        pool.run("apply", targets, logins, work, forks=1, listener=lambda event: None)
    except pool.Interrupted as stopped:
        print([outcome.host for outcome in stopped.outcomes])
        sys.exit(130)
"""


def test_a_host_that_hangs_does_not_keep_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HANGING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "['done']\n", "")


def test_protocols_hold_for_the_fake() -> None:
    transport = FakeTransport({"a": fine})
    connection: Connection = transport.connect(Target("a", "a"))
    seen: list[bytes] = []
    assert connection.run(b"x", b"yz", on_stdout=seen.append).status == 0
    assert connection.counters.bytes_sent == 3
    assert transport.calls[0].payload == b"yz"
