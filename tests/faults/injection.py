"""The faults: what is done to a host or its controller while an apply stands still, and
how it is put right afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from controller import REACHED

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from rig import Rig

    Process = subprocess.Popen[str]

ETC, STATE = "/etc/postfix", "/var/lib/provisioner"

#: Seconds of silence after which the controller gives a host up, where that is the fault.
SILENCE = 8


class Fault:
    """One kind of fault. `prepare` before the run, `strike` while it stands still at the
    boundary (the run goes on afterwards), `heal` when the controller has ended."""

    name = ""
    says = ""
    silence = 120

    def prepare(self, rig: Rig) -> None:
        """Nothing to prepare."""

    def strike(self, rig: Rig, controller: Process | None) -> None:
        raise NotImplementedError

    def heal(self, rig: Rig) -> None:
        """Nothing to put right."""


class Controller(Fault):
    name = "controller"
    says = "kill -9 of the controller"

    def strike(self, rig: Rig, controller: Process | None) -> None:
        if controller:
            os.killpg(controller.pid, signal.SIGKILL)


class Shell(Fault):
    name = "shell"
    says = "kill -9 of the shell on the host"

    def strike(self, rig: Rig, controller: Process | None) -> None:
        rig.sh(f"kill -9 $(cat {REACHED})")


class Group(Fault):
    name = "group"
    says = "kill -9 of that shell and all that it started"

    def strike(self, rig: Rig, controller: Process | None) -> None:
        rig.sh(f"pkill -9 -s $(ps -o sid= -p $(cat {REACHED}))")


class Cut(Fault):
    name = "network"
    says = "the host's network cable is pulled"
    silence = SILENCE

    def strike(self, rig: Rig, controller: Process | None) -> None:
        rig.lab.cut(rig.host)

    def heal(self, rig: Rig) -> None:
        rig.lab.restore(rig.host)


class _OwnDisk(Fault):
    """A small file system of its own for one directory."""

    directory = ETC

    def prepare(self, rig: Rig) -> None:
        rig.sh(
            f"mkdir -p {self.directory} && rm -rf /root/aside && "
            f"cp -a {self.directory} /root/aside && "
            f"mount -t tmpfs -o size=8m,mode=0755 small {self.directory} && "
            f"cp -a /root/aside/. {self.directory}/"
        )

    def heal(self, rig: Rig) -> None:
        self.mend(rig)

    def mend(self, rig: Rig) -> None:
        raise NotImplementedError

    def leave(self, rig: Rig) -> None:
        """Back to the host's own disk, with what stands there now."""
        rig.sh(
            f"rm -rf /root/aside && cp -a {self.directory} /root/aside && "
            f"umount -l {self.directory} && "
            f"find {self.directory} -mindepth 1 -delete && "
            f"cp -a /root/aside/. {self.directory}/ && rm -rf /root/aside"
        )


class Full(_OwnDisk):
    name = "full"
    says = "the disk below /etc/postfix is full"

    def strike(self, rig: Rig, controller: Process | None) -> None:
        rig.sh(f"cat /dev/zero >{self.directory}/filler 2>/dev/null; true")

    def mend(self, rig: Rig) -> None:
        rig.sh(f"rm -f {self.directory}/filler")


class FullState(Full):
    name = "full-state"
    says = "the disk below /var/lib/provisioner is full"
    directory = STATE


class ReadOnly(_OwnDisk):
    name = "read-only"
    says = "the file system of /etc/postfix turns read-only"

    def strike(self, rig: Rig, controller: Process | None) -> None:
        rig.sh(f"mount -o remount,ro {self.directory} || mount -o remount,bind,ro {self.directory}")

    def mend(self, rig: Rig) -> None:
        rig.sh(f"mount -o remount,rw {self.directory}; mount -o remount,bind,rw {self.directory}")


class Power(Fault):
    name = "power"
    says = "power cut, and boot"
    silence = SILENCE

    def strike(self, rig: Rig, controller: Process | None) -> None:
        rig.lab.kill(rig.host)
        rig.lab.start(rig.host)


class Reboot(Fault):
    name = "reboot"
    says = "the host is rebooted in order while the run goes on"
    silence = SILENCE

    def strike(self, rig: Rig, controller: Process | None) -> None:
        self._booting = threading.Thread(target=rig.lab.reboot, args=(rig.host,))
        self._booting.start()
        time.sleep(0.2)

    def heal(self, rig: Rig) -> None:
        self._booting.join()


FAULTS: dict[str, Callable[[], Fault]] = {
    kind.name: kind
    for kind in (
        Controller,
        Shell,
        Group,
        Cut,
        Full,
        FullState,
        ReadOnly,
        Power,
        Reboot,
    )
}
