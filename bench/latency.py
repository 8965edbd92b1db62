"""Plan lab hosts that are far away: `inv latency --hosts 20 --delay 50`.

Between this program and the hosts is a line that holds every packet for DELAY milliseconds each
way (`provisioner lab delay`). What is printed is the time from the first connection to the last
plan; the start of the program is not in it.
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import time
from pathlib import Path
from statistics import median

from tools import BENCH

import provisioner.transport.ssh  # noqa: F401 - its import is part of the start
from provisioner.cli import workspace
from provisioner.cli.options import Common
from provisioner.fleet import jobs, pool
from provisioner.fleet.outcome import Status
from provisioner.lab import HostSpec
from provisioner.lab.lab import Lab


def plan(inventory: Path, code: Status) -> tuple[float, int]:
    """Seconds that planning all hosts takes, and how many there are."""
    space = workspace.load(Common((str(inventory),), site=BENCH / "site.yml"))
    with space.logins() as logins:
        started = time.perf_counter()
        work = jobs.planning(space.desired)
        done = pool.run(
            "plan", space.targets, logins, work, forks=Common.forks, listener=lambda _: None
        )
        seconds = time.perf_counter() - started
    wrong = [each for each in done if each.status is not code]
    if wrong:
        raise SystemExit(f"{wrong[0].host}: {wrong[0].status} {wrong[0].error}")
    return seconds, len(done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--delay", type=float, default=50.0, help="milliseconds each way")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    specs = [HostSpec() for _ in range(options.hosts)]
    with tempfile.TemporaryDirectory() as folder, Lab.up(f"far-{os.getpid()}", specs) as lab:
        inventory = lab.write_inventory(Path(folder) / "lab.yml")
        plan(inventory, Status.PENDING)
        times: dict[str, list[float]] = {"near": [], "far": []}
        for _ in range(options.repeat):
            for name, seconds in times.items():
                lab.delay(options.delay if name == "far" else 0)
                for host in lab.hosts:  # a far host's hardware address is a router's business
                    socket.create_connection((host.address, 22)).close()
                seconds.append(plan(inventory, Status.PENDING)[0])
        for name, seconds in times.items():
            print(f"{name}: {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
        trips = (min(times["far"]) - min(times["near"])) / (2 * options.delay / 1000)
        print(f"{options.hosts} hosts, {2 * options.delay:g} ms a round trip: {trips:.1f} of them")


if __name__ == "__main__":
    main()
