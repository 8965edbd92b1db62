"""Removing labs, whole ones and what crashed ones left behind."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from typing import TYPE_CHECKING

from provisioner.errors import InputError
from provisioner.lab import cgroups, network, state
from provisioner.lab.system import LabError, end_processes, marked_processes

if TYPE_CHECKING:
    from pathlib import Path


def down(name: str) -> None:
    """Remove the lab `name`: its processes, network and files. A lab that is gone is fine.

    Raises `LabError` where something of it cannot be removed.
    """
    state.check_name(name, "lab")
    block = _block_of(name)
    end_processes(name)
    if block is not None:
        network.remove(f"provlab{block}")
        for machine in cgroups.leftovers():
            if machine.startswith(f"lab{block}h"):
                cgroups.remove(machine)
    _remove_tree(state.disks_directory() / name)
    _remove_tree(state.run_directory() / name)
    _tidy_machine()


def sweep() -> list[str]:
    """Remove disks and control groups of labs that are not up; returns what was removed.

    A reboot of this machine ends labs without taking them down. Call with the machine
    lock held.
    """
    used = {_block_of(name) for name in state.names()}
    alive = {value.partition("/")[2] for value in marked_processes("").values()}
    machines = set(cgroups.leftovers()) - alive
    dead = sorted(each for each in machines if int(each[3:].partition("h")[0]) not in used)
    if None in used:
        dead = []  # a torn lab: whose they are cannot be told
    for machine in dead:
        cgroups.remove(machine)
    return [f"disks of lab {name}" for name in _sweep_disks()] + [
        f"control group of {machine}" for machine in dead
    ]


def _sweep_disks() -> list[str]:
    directory = state.disks_directory()
    if not directory.is_dir():
        return []
    unknown = sorted({path.name for path in directory.iterdir()} - set(state.names()))
    dead = [name for name in unknown if not marked_processes(name)]
    for name in dead:
        _remove_tree(directory / name)
    return dead


def down_all() -> list[str]:
    """Remove every lab of this machine and all leftovers; returns what was removed."""
    removed = []
    for name in state.names():
        down(name)
        removed.append(f"lab {name}")
    for value in sorted({each.split("/")[0] for each in marked_processes("").values()}):
        end_processes(value)
        removed.append(f"processes of lab {value}")
    for namespace in sorted(network.leftovers()):
        network.remove(namespace)
        removed.append(f"network {namespace}")
    with state.machine_lock():
        removed += sweep()
    _tidy_machine()
    return removed


def _block_of(name: str) -> int | None:
    """The lab's block of addresses: written down, or told by a machine that still runs."""
    try:
        return state.load(name).block
    except (InputError, LabError):
        for value in marked_processes(name).values():
            found = re.fullmatch(r"lab(\d+)h\d+", value.partition("/")[2])
            if found:
                return int(found[1])
    return None


def _remove_tree(path: Path) -> None:
    for _ in range(20):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.1)  # an overlay that its dying mount namespace still holds
        else:
            return
    shutil.rmtree(path)


def _tidy_machine() -> None:
    """After the last lab: the shared route, the limits, the directory."""
    directory = state.run_directory()
    if not directory.is_dir():
        return
    with state.machine_lock():
        if state.names():
            return
        with contextlib.suppress(OSError):
            state.disks_directory().rmdir()  # unless a broken lab's are in it
        network.restore_machine()
        (directory / ".lock").unlink(missing_ok=True)
        directory.rmdir()
