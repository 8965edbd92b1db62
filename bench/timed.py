"""Run a command and print, as JSON, what it and everything it started cost.

`timed.py [--sample] [--seconds N] -- COMMAND…`. Processes that the command leaves behind (an
ssh that keeps a connection open) are ended and counted. `--sample` adds the largest memory of
them all together (PSS, looked at ten times a second), which costs processor time itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def children(pid: int) -> list[int]:
    """Of a process, by all of its threads; none if it is gone."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            found += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def below(pid: int) -> list[int]:
    """All descendants."""
    found: list[int] = []
    for child in children(pid):
        found += [child, *below(child)]
    return found


def memory(pid: int) -> int:
    """Its share of memory in KiB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


class Sampler(threading.Thread):
    """The largest sum of what all descendants hold."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            self.peak = max(self.peak, sum(map(memory, below(os.getpid()))))


def end_all() -> None:
    """End what is left, and wait for it, so that its cost is counted."""
    deadline = time.monotonic() + 3
    while left := below(os.getpid()):
        hard = time.monotonic() > deadline
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL if hard else signal.SIGTERM)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                return


def main() -> None:
    words, command = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    limit = float(words[words.index("--seconds") + 1]) if "--seconds" in words else None
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sampler = Sampler()
    if "--sample" in words:
        sampler.start()
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr
    )
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        status = -1
    wall = time.perf_counter() - started
    sampler.over.set()
    end_all()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps({"status": status, "wall": wall, "cpu": cpu, "memory": sampler.peak}))


if __name__ == "__main__":
    main()
