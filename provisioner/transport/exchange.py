"""One exec on an open SSH connection: a channel, bytes both ways, limits kept."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from provisioner.errors import Unreachable
from provisioner.transport.collect import LINGER_SECONDS, Collected
from provisioner.transport.leanly import paramiko
from provisioner.transport.shell import Dialogue, with_last_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provisioner.transport.base import Exchange, Limits

_PIECE = 32 << 10
_READ = 256 << 10

#: Seconds allowed for opening the channel and starting the command.
_START_SECONDS = 20.0


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
        except BaseException:
            self._transport.close()
            raise

    def _start(self) -> paramiko.Channel:
        seconds = min(_START_SECONDS, self._limits.seconds, self._limits.silence)
        try:
            with _cut(self._transport, seconds):
                channel = self._transport.open_session(timeout=seconds)
                channel.in_buffer.set_event(self._bell)  # type: ignore[arg-type]
                channel.in_stderr_buffer.set_event(self._bell)  # type: ignore[arg-type]
                if not self._dialogue.must_wait:
                    self._send_before_answer(channel)
                channel.exec_command(self._dialogue.bootstrap.command)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost(f"no session: {error or 'connection closed'}") from error
        return channel

    def _send_before_answer(self, channel: paramiko.Channel) -> None:
        """Send the input right behind the command: to wait for the answer to that would cost
        a round trip. paramiko waits where it has sent the command."""
        wait = channel._wait_for_event  # type: ignore[attr-defined]

        def send_and_wait() -> None:
            self._send(channel)
            wait()

        channel._wait_for_event = send_and_wait  # type: ignore[attr-defined]

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
            until = min(until, self._moved_at + LINGER_SECONDS)
        # An exit status rings no bell; a script whose output stays open is looked at now and then.
        return max(0.001, min(until - now, LINGER_SECONDS))

    def _lingered(self, channel: paramiko.Channel) -> bool:
        ended = channel.status_event.is_set() and channel.exit_status >= 0
        return ended and time.monotonic() >= self._moved_at + LINGER_SECONDS

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
