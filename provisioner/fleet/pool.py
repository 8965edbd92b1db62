"""A pool of workers over hosts: one job a host, bounded forks, one outcome each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from provisioner.diagnostics import printable
from provisioner.errors import Failed, HostError, InputError, Unreachable
from provisioner.fleet.events import (
    HostEnded,
    HostNote,
    HostStarted,
    HostStep,
    Listener,
    RunEnded,
    RunStarted,
)
from provisioner.fleet.outcome import Outcome, status_of
from provisioner.transport.base import Connection, Counters, Target, Transport


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; `outcomes` are those that were finished by then."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__("interrupted")
        self.outcomes = outcomes


class Logins:
    """A transport, and the logins that jobs left open for the next run.

    A context manager: closes what is left.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.kept: dict[str, Connection] = {}

    def __enter__(self) -> Logins:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.kept.values():
            connection.close()
        self.kept.clear()
        self.transport.close()


class HostJob:
    """What a job may use: connections that are counted and closed, and progress."""

    def __init__(self, target: Target, logins: Logins, listener: Listener) -> None:
        self.target = target
        self.counters = Counters()
        self.host_key = ""
        self._logins = logins
        self._listener = listener
        self._open: list[Connection] = []

    def connect(self) -> Connection:
        """The login an earlier job kept, or a new one; closed with the job."""
        connection = self._logins.kept.pop(self.target.name, None)
        if connection is None:
            self.step("connect")
            connection = self._logins.transport.connect(self.target)
        self._open.append(connection)
        self.host_key = getattr(connection, "host_key", "")
        return connection

    def keep(self) -> None:
        """Leave the open login to the next job on this host instead of closing it."""
        self._logins.kept[self.target.name] = self._open.pop()

    def disconnect(self) -> None:
        """Close every connection of the job and add up what they cost."""
        for connection in self._open:
            connection.close()
            self.counters.add(connection.counters)
        self._open.clear()

    def step(self, name: str) -> None:
        self._listener(HostStep(self.target.name, name))

    def progress(self, words: tuple[str, ...]) -> None:
        """Turns the host's own step and note frames into events."""
        if len(words) > 1 and words[0] == "step":
            self.step(" ".join(words[1:3]))
        elif len(words) > 1 and words[0] == "note":
            self._listener(HostNote(self.target.name, printable(" ".join(words[1:]))))


Work = Callable[[HostJob], Outcome]


def run(
    verb: str,
    targets: Sequence[Target],
    logins: Logins,
    work: Work,
    *,
    forks: int,
    listener: Listener,
    run_id: str = "",
) -> list[Outcome]:
    """Run `work` for every target, at most `forks` at once. Outcomes in the targets' order.

    A host's failure is its outcome and costs the others nothing. Raises `Interrupted`
    on Ctrl-C: waiting hosts are not started, running ones are let go (what a host has
    received whole it completes by itself, anything else it discards).
    """
    started = time.monotonic()
    heard = _Serialised(listener)
    heard(RunStarted(verb, tuple(target.name for target in targets), run_id))
    outcomes: dict[str, Outcome] = {}
    executor = ThreadPoolExecutor(max_workers=max(1, min(forks, len(targets) or 1)))
    interrupted = False
    try:
        pending: set[Future[Outcome]] = {
            executor.submit(_one, target, logins, work, heard) for target in targets
        }
        while pending:
            # A time limit keeps the main thread able to hear Ctrl-C.
            done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = future.result()
                outcomes[outcome.host] = outcome
                heard(HostEnded(outcome))
    except KeyboardInterrupt:
        interrupted = True
        executor.shutdown(wait=False, cancel_futures=True)
    else:
        executor.shutdown()
    ordered = [outcomes[target.name] for target in targets if target.name in outcomes]
    heard(RunEnded(interrupted, time.monotonic() - started))
    if interrupted:
        raise Interrupted(ordered)
    return ordered


def _one(target: Target, logins: Logins, work: Work, listener: Listener) -> Outcome:
    started = time.monotonic()
    listener(HostStarted(target.name))
    job = HostJob(target, logins, listener)
    try:
        outcome = work(job)
    except HostError as error:
        outcome = Outcome(target.name, status_of(error), error=error)
    except InputError as error:  # a broken ~/.ssh/config, a key that cannot be read
        where = f"{error.mark}: " if error.mark else ""
        refusal = Unreachable(target.name, "connect", f"{where}{error.message}", help=error.help)
        outcome = Outcome(target.name, status_of(refusal), error=refusal)
    except Exception as error:  # noqa: BLE001 - one host's accident must not end the others
        failure = Failed(
            target.name, "provisioner", f"a fault of this program: {type(error).__name__}: {error}"
        )
        failure.__cause__ = error
        outcome = Outcome(target.name, status_of(failure), error=failure)
    finally:
        job.disconnect()
    return replace(
        outcome,
        seconds=time.monotonic() - started,
        counters=job.counters,
        host_key=job.host_key,
    )


class _Serialised:
    """One event at a time: renderers need no locks."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._lock = threading.Lock()

    def __call__(self, event: object) -> None:
        with self._lock:
            self._listener(event)  # type: ignore[arg-type]
