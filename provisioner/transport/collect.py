"""What one exec prints, gathered and bounded. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provisioner.errors import Failed, HostError, Unreachable
from provisioner.transport.base import Exchange, Limits
from provisioner.transport.shell import Dialogue, with_last_words

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds to wait for more output after the exit status: background processes that
#: inherited the script's output keep it open for as long as they live.
LINGER_SECONDS = 2.0


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
        if not self.dialogue.is_ready:
            return self.dialogue.held
        return bytes(self.stderr[-4096:]) or bytes(self.stdout[-4096:])

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
