"""One transport for all targets: it goes by each target's `connection`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provisioner.transport.base import Connection, Target, Transport


def open_transport(
    known_hosts: Sequence[Path] | None = None,
    config_file: Path | None = Path("~/.ssh/config"),
    *,
    connect_seconds: float = 10.0,
    auth_seconds: float = 15.0,
) -> Transport:
    """A transport for `connection: ssh` and `local`; options as for `SshTransport`.

    What a kind of connection needs is loaded when the first target asks for it.
    """

    def ssh() -> Transport:
        from provisioner.transport.ssh import SshTransport

        return SshTransport(
            known_hosts,
            config_file,
            connect_seconds=connect_seconds,
            auth_seconds=auth_seconds,
        )

    def local() -> Transport:
        from provisioner.transport.local import LocalTransport

        return LocalTransport()

    return Dispatch({"ssh": ssh, "local": local})


class Dispatch:
    """Hands each target to the transport of its kind, made when first needed."""

    def __init__(self, makers: dict[str, Callable[[], Transport]]) -> None:
        self._makers = makers
        self._made: dict[str, Transport] = {}
        self._lock = threading.Lock()

    def connect(self, target: Target) -> Connection:
        """Raises `InputError` for a kind of connection there is no transport for."""
        with self._lock:
            if target.connection not in self._makers:
                raise InputError(
                    f"{target.name}: there is no connection {target.connection!r}",
                    help=f"one of: {', '.join(self._makers)}",
                )
            if target.connection not in self._made:
                self._made[target.connection] = self._makers[target.connection]()
            transport = self._made[target.connection]
        return transport.connect(target)

    def close(self) -> None:
        with self._lock:
            for transport in self._made.values():
                transport.close()
            self._made.clear()
