"""Where the controller's processor time goes: `inv profile -- plan -i lab.yml …`.

Runs the program with these arguments in this process, every thread profiled by its own
processor time, and prints what was spent by package and by function. Numbers are larger than
without a profile, by a factor of two or so: compare them with each other.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import threading
import time
from collections import Counter
from pathlib import Path


def main() -> None:
    profiles = [cProfile.Profile(time.thread_time)]
    begin = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]

    def profiled(thread: threading.Thread) -> None:
        mine = cProfile.Profile(time.thread_time)
        profiles.append(mine)
        mine.enable()
        try:
            begin(thread)
        finally:
            mine.disable()

    threading.Thread._bootstrap_inner = profiled  # type: ignore[attr-defined]
    profiles[0].enable()
    from provisioner.cli.main import run

    code = run(sys.argv[1:])
    profiles[0].disable()
    time.sleep(0.2)  # threads that close connections end in a moment
    _report(profiles)
    sys.exit(code)


def _report(profiles: list[cProfile.Profile]) -> None:
    first, *others = [each for each in profiles if each.getstats()]
    stats = pstats.Stats(first, stream=sys.stderr)
    stats.add(*others)
    spent: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, _) in stats.stats.items():  # type: ignore[attr-defined]
        spent[_package(file)] += own
    print("\nseconds of processor time, by package:", file=sys.stderr)
    for name, seconds in spent.most_common(15):
        print(f"{seconds:8.3f}  {name}", file=sys.stderr)
    stats.strip_dirs().sort_stats("tottime").print_stats(25)
    stats.sort_stats("cumtime").print_stats(40)


def _package(file: str) -> str:
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    if "provisioner" in parts[:-1]:
        after = parts[len(parts) - parts[::-1].index("provisioner") :]
        return "provisioner." + after[0].removesuffix(".py")
    return "roles" if "roles" in parts else "Python itself"


if __name__ == "__main__":
    main()
