"""A pool of workers over hosts: one job a host, bounded forks, one outcome each."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue

from provisioner.diagnostics import brief, printable
from provisioner.errors import Failed, HostError, InputError, Unreachable
from provisioner.fleet.events import (
    Event,
    HostEnded,
    HostNote,
    HostStarted,
    HostStep,
    Listener,
    RunEnded,
    RunStarted,
)
from provisioner.fleet.outcome import Outcome, status_of
from provisioner.postfix.sensitive import mask_text
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
            _close(connection)
        self.kept.clear()
        self.transport.close()


def _close(connection: Connection) -> None:
    """A login that ends badly has ended, too, and must not cost its host the outcome."""
    with suppress(Exception):
        connection.close()


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
        """The login an earlier job kept, if it outlived the user's thinking, or a new one;
        closed with the job."""
        connection = self._logins.kept.pop(self.target.name, None)
        if connection is not None and not connection.alive:
            _close(connection)
            connection = None
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
            _close(connection)
            self.counters.add(connection.counters)
        self._open.clear()

    def step(self, name: str) -> None:
        self._listener(HostStep(self.target.name, name))

    def progress(self, words: tuple[str, ...]) -> None:
        """Turns the host's own step and note frames into events."""
        if len(words) > 1 and words[0] == "step":
            self.step(printable(brief(" ".join(words[1:3]))))
        elif len(words) > 1 and words[0] == "note":
            self._listener(
                HostNote(self.target.name, printable(brief(mask_text(" ".join(words[1:])))))
            )


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
    waiting = deque(enumerate(targets))
    ended: SimpleQueue[tuple[int, Outcome]] = SimpleQueue()

    def worker() -> None:
        with suppress(IndexError):  # nobody is waiting any more
            while True:
                number, target = waiting.popleft()
                ended.put((number, _one(target, logins, work, heard)))

    outcomes: dict[int, Outcome] = {}
    interrupted = False
    try:
        # Daemons: after Ctrl-C a host that hangs does not keep the program from ending.
        for _ in range(min(forks, len(targets))):
            threading.Thread(target=worker, daemon=True).start()
        while len(outcomes) < len(targets):
            with suppress(Empty):  # a time limit keeps the main thread able to hear Ctrl-C
                _collect(ended, outcomes, heard, timeout=0.5)
    except KeyboardInterrupt:
        interrupted = True
        waiting.clear()
        with suppress(Empty):
            while True:
                _collect(ended, outcomes, heard, timeout=0)
    heard(RunEnded(interrupted, time.monotonic() - started))
    ordered = [outcomes[number] for number in sorted(outcomes)]
    if interrupted:
        raise Interrupted(ordered)
    return ordered


def _collect(
    ended: SimpleQueue[tuple[int, Outcome]],
    outcomes: dict[int, Outcome],
    heard: Listener,
    *,
    timeout: float,
) -> None:
    """Take one outcome. Raises `Empty` where none comes within `timeout` seconds."""
    number, outcome = ended.get(timeout=timeout)
    outcomes[number] = outcome
    heard(HostEnded(outcome))


def _one(target: Target, logins: Logins, work: Work, listener: Listener) -> Outcome:
    started = time.monotonic()
    job = HostJob(target, logins, listener)
    try:
        listener(HostStarted(target.name))
        outcome = work(job)
    except HostError as error:
        outcome = Outcome(
            target.name, status_of(error), error=error, rehearsal=getattr(error, "found", None)
        )
    except InputError as error:  # a broken ~/.ssh/config, a key that cannot be read
        where = f"{error.mark}: " if error.mark else ""
        refusal = Unreachable(target.name, "connect", f"{where}{error.message}", help=error.help)
        outcome = Outcome(target.name, status_of(refusal), error=refusal)
    except BaseException as error:  # noqa: BLE001 - one host's accident must not end the others
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
    """One event at a time: renderers need no locks. None after the end of the run, even
    where hosts that were let go have more to say."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._over = False

    def __call__(self, event: Event) -> None:
        with self._lock:
            if not self._over:
                self._listener(event)
            self._over |= isinstance(event, RunEnded)
