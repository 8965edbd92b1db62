"""`connection: local`: the same bootstrap on this machine, run by invoke."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import select
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from invoke.context import Context
from invoke.runners import Local

from provisioner.errors import HostError
from provisioner.transport.base import Counters, Exchange, Limits, Target
from provisioner.transport.collect import LINGER_SECONDS, Collected
from provisioner.transport.shell import Bootstrap, Dialogue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READ = 64 << 10


@dataclass
class LocalConnection:
    """The machine this program runs on. See `transport.base.Connection`."""

    target: Target
    host_key: str = ""
    counters: Counters = field(default_factory=lambda: Counters(connections=1))
    alive: bool = True

    def run(
        self,
        script: bytes,
        payload: bytes = b"",
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Exchange:
        needless = getpass.getuser() == self.target.become_user
        user = self.target.become_user if self.target.become and not needless else None
        dialogue = Dialogue(self.target, Bootstrap(script, user, alone=not payload))
        runner = _Runner(dialogue, payload, limits, on_stdout)
        self.counters.execs += 1
        try:
            return runner.exchange()
        finally:
            self.counters.bytes_sent += runner.sent
            self.counters.bytes_received += runner.collected.received

    def close(self) -> None:
        """Nothing is open between two runs."""


class LocalTransport:
    """Runs on this machine."""

    def connect(self, target: Target) -> LocalConnection:
        return LocalConnection(target)

    def close(self) -> None:
        """Nothing is shared."""


class _Runner(Local):
    """invoke's local runner on bytes, with our input, our limits and a process group."""

    def __init__(
        self,
        dialogue: Dialogue,
        payload: bytes,
        limits: Limits,
        on_stdout: Callable[[bytes], None] | None,
    ) -> None:
        super().__init__(Context())
        self.collected = Collected(dialogue, limits, on_stdout)
        self.sent = 0
        self._dialogue = dialogue
        self._payload = payload
        self._limits = limits
        self._turn = threading.Lock()
        self._moved_at = time.monotonic()
        self._failure: HostError | None = None
        self._wake = threading.Event()
        self._stop = os.pipe()
        self._sending = False

    def exchange(self) -> Exchange:
        """Run it all. Raises `Failed` and `Unreachable`."""
        me = pwd.getpwuid(os.geteuid())
        env = {"PATH": _PATH, "HOME": me.pw_dir, "USER": me.pw_name, "LOGNAME": me.pw_name}
        try:
            result = self.run(  # noqa: S604 - invoke's `shell` is the program to run
                self._dialogue.bootstrap.command,
                shell="/bin/sh",
                env=env,
                replace_env=True,
                hide=True,
                warn=True,
                in_stream=False,
            )
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure
        status = result.exited
        return self.collected.exchange(status if status >= 0 else 128 - status)

    # -- what invoke calls -----------------------------------------------------

    def start(self, command: str, shell: str, env: Mapping[str, Any]) -> None:
        self.process = subprocess.Popen(
            [shell, "-c", f"exec {command}"],
            env=dict(env),
            cwd=env["HOME"] if os.access(env["HOME"], os.X_OK) else "/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        threading.Thread(target=self._reap, name="reap", daemon=True).start()
        if not self._dialogue.must_wait:
            self._send()

    def handle_stdout(self, buffer_: list[str], hide: bool, output: IO[str]) -> None:
        self._drain(self.process.stdout, self.collected.take_stdout)

    def handle_stderr(self, buffer_: list[str], hide: bool, output: IO[str]) -> None:
        self._drain(self.process.stderr, self.collected.take_stderr)

    def wait(self) -> None:
        """Until the process has ended and its output is drained, or a limit is reached."""
        deadline = time.monotonic() + self._limits.seconds
        while self._failure is None and self.process.returncode is None:
            now = time.monotonic()
            if now >= deadline:
                self._fail(self.collected.timed_out(f"not done after {self._limits.seconds:g} s"))
            elif now >= self._moved_at + self._limits.silence:
                cause = f"nothing heard for {self._limits.silence:g} s"
                self._fail(self.collected.timed_out(cause))
            else:
                self._wake.wait(min(deadline, self._moved_at + self._limits.silence) - now)
        if self._failure is None:
            for thread in self.threads.values():
                while thread.is_alive() and time.monotonic() < self._moved_at + LINGER_SECONDS:
                    thread.join(self._moved_at + LINGER_SECONDS - time.monotonic())
        self._stop_draining()

    def kill(self) -> None:
        # What runs as another user cannot be signalled; it meets a closed pipe instead.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def returncode(self) -> int:
        return -signal.SIGKILL if self.process.returncode is None else self.process.returncode

    def send_interrupt(self, interrupt: KeyboardInterrupt) -> None:
        """The script is in a session of its own: it is ended, and we are interrupted."""
        self.kill()
        self._stop_draining()
        raise interrupt

    # -- our side --------------------------------------------------------------

    def _stop_draining(self) -> None:
        """Whoever still holds the output open is not waited for."""
        os.write(self._stop[1], b".")

    def _close(self) -> None:
        for descriptor in self._stop:
            os.close(descriptor)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _drain(self, stream: IO[bytes] | None, take: Callable[[bytes], None]) -> None:
        if stream is None:
            raise RuntimeError("the process was started without pipes")
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        poll.register(self._stop[0], select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if stream.fileno() not in ready:
                return
            data = os.read(stream.fileno(), _READ)
            if not data:
                return
            try:
                with self._turn:
                    self._moved_at = time.monotonic()
                    take(data)
                    self._answer()
            except HostError as error:
                self._fail(error)
                return

    def _answer(self) -> None:
        """Reply to sudo, and send the script once its shell is there."""
        stdin = self.process.stdin
        if self._dialogue.wants_password and stdin is not None:
            password = self._dialogue.password()
            stdin.write(password)
            stdin.flush()
            self.sent += len(password)
        if self._dialogue.must_wait and self._dialogue.is_ready:
            self._send()

    def _send(self) -> None:
        if not self._sending:
            self._sending = True
            threading.Thread(target=self._write_input, name="send", daemon=True).start()

    def _write_input(self) -> None:
        stdin = self.process.stdin
        if stdin is None:
            return
        # The script need not read its input: a broken pipe is no error here.
        with contextlib.suppress(BrokenPipeError, ValueError):
            for part in (self._dialogue.bootstrap.input, self._payload):
                view = memoryview(part)
                while view:
                    count = os.write(stdin.fileno(), view[:_READ])
                    view = view[count:]
                    self.sent += count
                    self._moved_at = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            stdin.close()

    def _reap(self) -> None:
        self.process.wait()
        self._wake.set()

    def _fail(self, error: HostError) -> None:
        self._failure = self._failure or error
        self.kill()
        self._wake.set()
