"""Time planning alone, without a network: `inv bench-planning`.

A fleet with the options of the company example is read and composed, as every command does
first, and each host planned twice: against a stock host that has the packages and nothing
else, and against one that has all of it. What a host would answer is made outside the clock.
Done for a tenth of the hosts, too: twice the hosts should cost twice the time.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from simulate import MemoryHost  # noqa: E402 - found on the path above

from provisioner.cli.main import collect_seldom  # noqa: E402
from provisioner.cli.options import Common  # noqa: E402
from provisioner.cli.workspace import load  # noqa: E402
from provisioner.planning.planner import plan_host  # noqa: E402

#: One host in ten sends, one in ten takes mail from people, the others receive.
GROUPS = ("inbound",) * 8 + ("outbound", "submit")
Result = TypeVar("Result")


def write_fleet(folder: Path, hosts: int) -> None:
    """The company example, with as many hosts as that."""
    shutil.copytree(ROOT / "examples/company", folder)
    lines = [
        f"    host{number:05}.example.com: "
        f"{{ansible_host: 10.1.{number >> 8}.{number & 255}, rack: r{number % 40}}}"
        for number in range(hosts)
    ]
    text = "".join(
        f"{group}:\n  hosts:\n"
        + "\n".join(line for n, line in enumerate(lines) if GROUPS[n % len(GROUPS)] == group)
        + "\n"
        for group in dict.fromkeys(GROUPS)
    )
    (folder / "inventory/hosts.yml").write_text(text, "utf-8")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What it gives, and how many seconds of processor time that took."""
    start = time.process_time()
    return work(), time.process_time() - start


def measure(folder: Path, hosts: int) -> tuple[float, float, float]:
    """Seconds of processor time to read and compose, to plan all from nothing, to plan none."""
    write_fleet(folder, hosts)
    os.chdir(folder)
    space, reading = timed(lambda: load(Common()))
    first = unchanged = 0.0
    for name, wanted in space.desired.items():
        host = MemoryHost.stock(wanted)
        plan, seconds = timed(partial(plan_host, wanted, host.observe(wanted.resources)))
        first += seconds
        if plan.errors:
            sys.exit(f"{name}: {plan.errors[0]}")
        host.apply(plan)
        again, seconds = timed(partial(plan_host, wanted, host.observe(wanted.resources)))
        unchanged += seconds
        if again.changes or again.errors or not plan.changes:
            sys.exit(f"{name}: {again.errors or again.changes or 'nothing to do'}")
    return reading, first, unchanged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=10_000)
    hosts = parser.parse_args().hosts
    collect_seldom()
    print("| hosts | read and composed | planned from nothing | planned, no change | memory |")
    print("| --- | --- | --- | --- | --- |")
    for number in (hosts // 10, hosts):
        with tempfile.TemporaryDirectory() as name:
            reading, first, unchanged = measure(Path(name) / "fleet", number)
            os.chdir(ROOT)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        times = " | ".join(f"{each:.2f} s" for each in (reading, first, unchanged))
        print(f"| {number} | {times} | {memory:.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
