"""One exec on an open SSH connection: a channel, bytes both ways, limits kept."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import paramiko

from provisioner.errors import Failed, HostError, Unreachable
from provisioner.transport.base import Exchange, Limits
from provisioner.transport.shell import Dialogue, with_last_words

_PIECE = 32 << 10
_READ = 256 << 10

#: Seconds allowed for opening the channel and starting the command.
_START_SECONDS = 20.0

#: Seconds to wait for more output after the exit status: background processes that
#: inherited the script's output keep the channel open for as long as they live.
_LINGER_SECONDS = 2.0


class _Bell:
    """What paramiko's buffers ring when something arrives.

    They also try to silence it when they run empty; that is ours to do, before
    looking, or what arrives in between would go unheard.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self.silence = self._event.clear
        self.wait = self._event.wait
        self.set = self._event.set

    def clear(self) -> None:
        """Ignored: see above."""


@dataclass
class Collected:
    """What has come out so far, and the bounds on it."""

    dialogue: Dialogue
    limits: Limits
    on_stdout: Callable[[bytes], None] | None
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    received: int = 0
    _complained: int = 0

    @property
    def host(self) -> str:
        return self.dialogue.target.name

    def take_stdout(self, data: bytes) -> None:
        self.received += len(data)
        passed = self.dialogue.stdout(data)
        self.stdout += passed
        if len(self.stdout) > self.limits.stdout_bytes:
            raise self._too_much("output")
        if passed and self.on_stdout:
            self.on_stdout(passed)

    def take_stderr(self, data: bytes) -> None:
        """The end of standard error is kept, and no more than the limit."""
        self.received += len(data)
        passed = self.dialogue.stderr(data)
        self._complained += len(passed)
        self.stderr += passed
        if len(self.stderr) > 2 * self.limits.stderr_bytes:
            del self.stderr[: -self.limits.stderr_bytes]
        if self._complained > self.limits.stdout_bytes:
            raise self._too_much("error output")

    def _too_much(self, what: str) -> Failed:
        message = f"more than {self.limits.stdout_bytes} bytes of {what}, ended"
        return Failed(self.host, "run", with_last_words(message, self.last))

    @property
    def last(self) -> bytes:
        """What was printed last, for messages."""
        return bytes(self.stderr[-4096:]) or bytes(self.stdout[-4096:]) or self.dialogue.held

    def timed_out(self, cause: str) -> HostError:
        if not self.dialogue.is_ready:
            what = "sudo" if self.dialogue.must_wait else "the login shell"
            cause = f"{cause}, and {what} has not started our shell"
            help_ = "a startup file (.bashrc, .profile) or PAM may wait for something"
            return Unreachable(
                self.host, "login shell", with_last_words(cause, self.last), help=help_
            )
        return Unreachable(self.host, "run", with_last_words(cause, self.last))

    def exchange(self, status: int) -> Exchange:
        """The result. Raises `Failed` if the script never ran."""
        self.dialogue.end(status, bytes(self.stdout[-64:]))
        stderr = bytes(self.stderr[-self.limits.stderr_bytes :])
        return Exchange(status, bytes(self.stdout), stderr)


class _Sender(threading.Thread):
    """Writes the input while the caller reads: neither waits for the other."""

    def __init__(self, channel: paramiko.Channel, parts: tuple[bytes, ...]) -> None:
        super().__init__(name="send", daemon=True)
        self._channel = channel
        self._parts = parts
        self.sent = 0
        self.moved_at = time.monotonic()

    def run(self) -> None:
        # The script need not read its input; a channel closed by it is no error here.
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            for part in self._parts:
                view = memoryview(part)
                while view:
                    count = self._channel.send(bytes(view[:_PIECE]))
                    if not count:
                        return
                    view = view[count:]
                    self.sent += count
                    self.moved_at = time.monotonic()
            self._channel.shutdown_write()


class RemoteExec:
    """One exec. `run` may be called once; `sent` and `received` count channel bytes."""

    def __init__(
        self,
        transport: paramiko.Transport,
        dialogue: Dialogue,
        payload: bytes,
        limits: Limits,
        on_stdout: Callable[[bytes], None] | None,
    ) -> None:
        self._transport = transport
        self._dialogue = dialogue
        self._payload = payload
        self._limits = limits
        self._collected = Collected(dialogue, limits, on_stdout)
        self._bell = _Bell()
        self._deadline = 0.0
        self._moved_at = 0.0
        self._answered = 0
        self._sender: _Sender | None = None

    @property
    def sent(self) -> int:
        return self._answered + (self._sender.sent if self._sender else 0)

    @property
    def received(self) -> int:
        return self._collected.received

    def run(self) -> Exchange:
        """Raises `Unreachable` and `Failed`, after which the connection is closed."""
        self._moved_at = time.monotonic()
        self._deadline = self._moved_at + self._limits.seconds
        try:
            # Whatever blocks inside paramiko is freed by closing its connection.
            with _cut(self._transport, self._limits.seconds + 1):
                channel = self._start()
                try:
                    status = self._converse(channel)
                finally:
                    channel.close()
            return self._collected.exchange(status)
        except BaseException as error:
            if not (isinstance(error, Failed) and self._dialogue.is_ready is False):
                self._transport.close()
            raise

    def _start(self) -> paramiko.Channel:
        try:
            with _cut(self._transport, _START_SECONDS):
                channel = self._transport.open_session(timeout=_START_SECONDS)
                channel.in_buffer.set_event(self._bell)  # type: ignore[arg-type]
                channel.in_stderr_buffer.set_event(self._bell)  # type: ignore[arg-type]
                channel.exec_command(self._dialogue.bootstrap.command)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost(f"no session: {error or 'connection closed'}") from error
        if not self._dialogue.must_wait:
            self._send(channel)
        return channel

    def _send(self, channel: paramiko.Channel) -> None:
        parts = (self._dialogue.bootstrap.input, self._payload)
        self._sender = _Sender(channel, parts)
        self._sender.start()

    def _converse(self, channel: paramiko.Channel) -> int:
        while True:
            self._bell.silence()
            over = channel.eof_received or channel.closed
            if self._read(channel):
                self._moved_at = time.monotonic()
                continue
            if over or self._lingered(channel):
                return self._status(channel)
            self._bell.wait(self._patience(channel))

    def _read(self, channel: paramiko.Channel) -> bool:
        """Take what has arrived; whether there was anything."""
        moved = False
        try:
            if channel.recv_stderr_ready():
                self._collected.take_stderr(channel.recv_stderr(_READ))
                moved = True
            if channel.recv_ready():
                self._collected.take_stdout(channel.recv(_READ))
                moved = True
            if self._dialogue.wants_password:
                password = self._dialogue.password()
                channel.sendall(password)
                self._answered += len(password)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost(str(error)) from error
        if self._sender is None and self._dialogue.is_ready:
            self._send(channel)
        return moved

    def _patience(self, channel: paramiko.Channel) -> float:
        """Seconds to wait for the next byte. Raises `Unreachable` when there are none left."""
        now = time.monotonic()
        moved_at = max(self._moved_at, self._sender.moved_at if self._sender else 0.0)
        if now >= self._deadline:
            raise self._collected.timed_out(f"not done after {self._limits.seconds:g} s")
        if now >= moved_at + self._limits.silence:
            raise self._collected.timed_out(f"nothing heard for {self._limits.silence:g} s")
        until = min(self._deadline, moved_at + self._limits.silence)
        if channel.status_event.is_set():
            until = min(until, self._moved_at + _LINGER_SECONDS)
        # An exit status rings no bell; a script whose output stays open is looked at now and then.
        return max(0.001, min(until - now, _LINGER_SECONDS))

    def _lingered(self, channel: paramiko.Channel) -> bool:
        ended = channel.status_event.is_set() and channel.exit_status >= 0
        return ended and time.monotonic() >= self._moved_at + _LINGER_SECONDS

    def _status(self, channel: paramiko.Channel) -> int:
        channel.status_event.wait(max(0.0, min(self._deadline - time.monotonic(), 5.0)))
        if channel.exit_status >= 0:
            return channel.exit_status
        if self._transport.is_active():
            raise self._lost("the remote shell was killed by a signal, or its session was ended")
        if time.monotonic() >= self._deadline:
            raise self._collected.timed_out(f"not done after {self._limits.seconds:g} s")
        raise self._lost("no exit status arrived")

    def _lost(self, cause: str) -> Unreachable:
        message = with_last_words(f"connection lost: {cause}", self._collected.last)
        return Unreachable(self._dialogue.target.name, "run", message)


@contextlib.contextmanager
def _cut(transport: paramiko.Transport, seconds: float) -> Iterator[None]:
    """Close `transport` if the block takes longer than `seconds`."""
    timer = threading.Timer(seconds, transport.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
