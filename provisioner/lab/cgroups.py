"""A control group for each host, where no systemd on this machine hands them out.

Hosts that shared one would share the groups of their services too, and a service that
is stopped on one host would wait for the other host's processes to end.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

_PREFIX = "provisioner-"


def hierarchies(mountinfo: str) -> list[Path]:
    """Where groups of processes are kept, out of the text of /proc/self/mountinfo.

    That is every unified hierarchy and systemd's own among the old ones (proc(5),
    cgroups(7)); the others are for limits and can be shared.
    """
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        words = after.split()
        if not words:
            continue
        named = words[0] == "cgroup" and "name=systemd" in words[-1].split(",")
        if words[0] == "cgroup2" or named:
            found.append(Path(before.split()[4]))
    return list(dict.fromkeys(found))


def _here() -> list[Path]:
    return hierarchies(Path("/proc/self/mountinfo").read_text())


def create(machine: str) -> list[Path]:
    """Groups for the machine, one a hierarchy; its supervisor is to enter them."""
    made = [parent / f"{_PREFIX}{machine}" for parent in _here()]
    for path in made:
        path.mkdir(exist_ok=True)
    return made


def remove(machine: str, seconds: float = 5) -> None:
    """Remove the groups of a machine that has ended.

    A process leaves its group a little after it was last seen; one that stays longer
    than `seconds` keeps its group, which the next sweep finds.
    """
    end = time.monotonic() + seconds
    for parent in _here():
        path = parent / f"{_PREFIX}{machine}"
        while path.exists():
            _remove_tree(path)
            if time.monotonic() > end:
                break
            time.sleep(0.02)


def leftovers() -> list[str]:
    """Machines of labs that have a group on this machine."""
    found = {
        path.name.removeprefix(_PREFIX)
        for parent in _here()
        for path in parent.glob(f"{_PREFIX}lab*h*")
    }
    return sorted(found)


def _remove_tree(path: Path) -> None:
    if not path.is_dir():
        return
    for below in list(path.iterdir()):
        if below.is_dir():
            _remove_tree(below)
    with contextlib.suppress(OSError):  # in use, or gone meanwhile
        path.rmdir()
