"""SSH that waits no longer than the line makes it: for hosts far away.

Until a command runs, sshd holds each message back until its last one has been acknowledged
(Nagle's algorithm). So a kernel that acknowledges late costs time, and messages that could come
together come one by one if they are asked for one by one.
"""

from __future__ import annotations

import socket
import threading

from provisioner.transport.leanly import paramiko

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux alone has it


class PromptSocket(socket.socket):
    """Acknowledges at once whatever arrives (tcp(7): TCP_QUICKACK does not last)."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(size, flags)
        if _QUICKACK is not None:
            self.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return data


class _KeyHandler(paramiko.auth_handler.AuthHandler):
    """Asks for leave (RFC 4253, 10) and shows its key (RFC 4252, 7) in one go: a server takes
    one after the other, and one that gives no leave ends the connection either way."""

    def _request_auth(self) -> None:
        super()._request_auth()  # type: ignore[misc]
        leave = paramiko.Message()
        leave.add_string("ssh-userauth")
        leave.rewind()
        super()._parse_service_accept(leave)  # type: ignore[misc]

    def _parse_service_accept(self, _message: paramiko.Message) -> None:
        """The key was shown already."""


class PromptTransport(paramiko.Transport):
    """Logs in by key without waiting for leave to do so."""

    def auth_publickey(
        self, username: str, key: paramiko.PKey, event: threading.Event | None = None
    ) -> list[str]:
        if not self.is_active() or not self.initial_kex_done:
            raise paramiko.SSHException("No existing session")
        answered = event or threading.Event()
        self.auth_handler = _KeyHandler(self)
        self.auth_handler.auth_publickey(username, key, answered)
        return [] if event else self.auth_handler.wait_for_response(answered)
