"""A control group for each host, where no systemd on this machine hands them out.

Hosts that shared one would share the groups of their services too, and a service that
is stopped on one host would wait for the other host's processes to end.
"""

from __future__ import annotations

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


def remove(machine: str) -> None:
    """Remove the groups of a machine that has ended."""
    for parent in _here():
        _remove_tree(parent / f"{_PREFIX}{machine}")


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
    for below in path.iterdir():
        if below.is_dir():
            _remove_tree(below)
    try:
        path.rmdir()
    except OSError:
        return  # a process of it is still ending; the group is used again or swept later
