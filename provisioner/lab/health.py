"""Whether a lab host is up: sshd answers, Postfix greets, the unit is active."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from provisioner.lab.system import LabError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

    from provisioner.lab.machine import Machine

#: Ports of a healthy host, and how what listens there begins to speak.
GREETINGS = {22: b"SSH-", 25: b"220 "}
PORTS = tuple(GREETINGS)

#: Longest boot, in seconds, on a machine that is busy booting others too.
BOOT_SECONDS = 60.0


def greets(address: str, port: int, seconds: float = 3) -> bool:
    """Whether `port` at `address` answers as it should, in `seconds` once connected.

    Connecting is given a moment only: a packet that came too early is not sent again
    for a second, a new attempt is.
    """
    wanted = GREETINGS[port]
    try:
        with socket.create_connection((address, port), timeout=0.3) as connection:
            connection.settimeout(seconds)
            said = b""
            while len(said) < len(wanted):
                piece = connection.recv(64)
                if not piece:
                    return False
                said += piece
            return said.startswith(wanted)
    except OSError:
        return False


def wait(
    machine: Machine,
    process: subprocess.Popen[bytes],
    expect: Sequence[int] = PORTS,
    abandoned: Callable[[], bool] = lambda: False,
) -> str | None:
    """Wait until the host is healthy: None, or what is wrong with it after `BOOT_SECONDS`.

    `abandoned` is asked meanwhile whether to wait on.
    """
    end = time.monotonic() + BOOT_SECONDS
    missing = "it has not begun to boot"
    while time.monotonic() < end and not abandoned():
        if process.poll() is not None:
            return f"its container ended with status {process.returncode}"
        silent = next((port for port in expect if not greets(machine.host.address, port)), None)
        if silent:
            missing = f"port {silent} does not answer"
        elif 25 in expect and not _unit_is_active(machine):
            missing = "the postfix unit is not active"
        else:
            return None
        time.sleep(0.1)
    return f"{missing} after {BOOT_SECONDS:g} s"


def _unit_is_active(machine: Machine) -> bool:
    if machine.host.variant != "systemd":
        return True  # the greeting is all there is to see
    try:
        return machine.exec(["systemctl", "is-active", "postfix"], seconds=10).returncode == 0
    except LabError:
        return False
