"""A slow line between this machine and a lab's hosts.

Run as ``python -m provisioner.lab.line NAMESPACE MILLISECONDS``: the two ends of the line
are Ethernet interfaces of this process (/dev/net/tun), one here and one in the lab's network
namespace, and each frame waits for so long before it is handed on. Not every kernel can
delay packets itself (netem). The interfaces go when the process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from provisioner.lab import system
from provisioner.lab.system import LabError, end_processes, run

if TYPE_CHECKING:
    from provisioner.lab.state import LabState

#: The end inside the namespace, as `network` knows it.
UPLINK = "uplink"

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_READY = b"ready\n"
#: Longest frame: no offloading is asked for, so the kernel cuts to the interface's MTU.
_FRAME = 2048


def marker(lab: LabState) -> str:
    return f"{lab.name}/line"


def start(lab: LabState, milliseconds: float) -> subprocess.Popen[bytes]:
    """Start the line; both ends are there when this returns. Raises `LabError` where not."""
    log = lab.directory / "line.log"
    log.write_bytes(b"")
    argv = [sys.executable, "-m", "provisioner.lab.line", lab.namespace, str(milliseconds)]
    process = system.start(argv, log, marker(lab))
    end = time.monotonic() + 15
    while log.read_bytes() != _READY:
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text(errors="replace")[-500:]
            raise LabError(f"the lab's slow line did not start: {said}")
        time.sleep(0.02)
    return process


def stop(lab: LabState) -> None:
    end_processes(marker(lab))


def _interface(name: str) -> int:
    """A new Ethernet interface `name`, whose frames are read from and written to what returns."""
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return handle


def _pass_on(one: int, other: int, seconds: float) -> None:
    """Hand frames from each end to the other, each `seconds` after it came."""
    across = {one: other, other: one}
    waiting: deque[tuple[float, int, bytes]] = deque()
    while True:
        due = max(waiting[0][0] - time.monotonic(), 0) if waiting else None
        for end in select.select([one, other], [], [], due)[0]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    frame = os.read(end, _FRAME)
                    waiting.append((time.monotonic() + seconds, across[end], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, end, frame = waiting.popleft()
            with contextlib.suppress(OSError):  # an end that is down loses it, as a cable would
                os.write(end, frame)


def main(namespace: str, milliseconds: float) -> None:
    outer = _interface(namespace)
    made = f"{namespace}u"  # a name of its own until it is where the others are not
    inner = _interface(made)
    run(["ip", "link", "set", made, "netns", namespace])
    run(["ip", "-n", namespace, "link", "set", made, "name", UPLINK])
    os.write(sys.stdout.fileno(), _READY)
    _pass_on(outer, inner, milliseconds / 1000)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
