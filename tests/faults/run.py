"""`inv faults`: the fault matrix, the corpus of bad configurations, concurrency and load, on
lab hosts. Says what was found, and can write it into docs/reliability.md."""

from __future__ import annotations

import argparse
import json
import queue
import sys
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parents[1] / "lab"), str(Path(__file__).parents[1])]

import concurrency  # noqa: E402
import corpus  # noqa: E402
import load  # noqa: E402
import matrix  # noqa: E402
import report  # noqa: E402
from injection import FAULTS  # noqa: E402
from rig import Rig  # noqa: E402

from provisioner.lab import HostSpec  # noqa: E402
from provisioner.lab.lab import Lab  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from provisioner.lab.state import Host

PARTS = ("matrix", "corpus", "concurrency", "load")


def main() -> int:
    given = arguments()
    releases = given.release or ["bookworm", "trixie"]
    if given.lab:
        opened: Any = nullcontext(Lab.open(given.lab))
    else:
        opened = Lab.up(f"faults-{given.seed}", [HostSpec(f"{r}1", r) for r in releases])
    with opened as lab, tempfile.TemporaryDirectory() as folder:
        hosts = [host for host in lab.hosts if host.release in releases]
        found = Findings(given.output)
        parts = [each for each in PARTS if each in given.only] or [*PARTS]
        kinds = [each for each in given.only if each in FAULTS]
        cases = [matrix.parse(each) for each in given.only if each.count(":") == 3]
        if kinds or cases:
            parts = ["matrix"]
        if "matrix" in parts:
            drawn = cases or matrix.draw(given.seed, given.runs, releases, kinds or [*FAULTS])
            work = [(each.release, each) for each in drawn]
            spread(lab, hosts, work, lambda rig: matrix.Matrix(rig).run, found, Path(folder))
        if "corpus" in parts:
            entries = [each for each in corpus.load() if given.like in each.name]
            work = [(choose(each, releases, n), each) for n, each in enumerate(entries)]
            spread(lab, hosts, work, lambda rig: corpus.Corpus(rig).run, found, Path(folder))
        for part, names, runner in (
            ("concurrency", concurrency.MEETINGS, concurrency.Meetings),
            ("load", load.LOADS, load.Loads),
        ):
            if part in parts:
                chosen = [each for each in names if given.like in each]
                work = [(release, each) for release in releases for each in chosen]
                spread(lab, hosts, work, lambda rig, r=runner: r(rig).run, found, Path(folder))
    if given.write:
        report.write(found.results, " ".join(["inv faults", *sys.argv[1:]]))
    return found.summary()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which cases are drawn")
    parser.add_argument("--runs", type=int, default=30, help="how many cases of the matrix")
    parser.add_argument(
        "--only", action="append", default=[],
        help=f"a part ({', '.join(PARTS)}), a kind of fault ({', '.join(FAULTS)}), or a case",
    )  # fmt: skip
    parser.add_argument(
        "--like", default="", help="only those of the corpus, meetings and loads with that text"
    )
    parser.add_argument("--lab", default="", help="a lab that is up, instead of one of its own")
    parser.add_argument("--release", action="append", default=[])
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md")
    parser.add_argument("--output", type=Path, help="results as JSON lines")
    return parser.parse_args()


def choose(entry: corpus.Entry, releases: Sequence[str], number: int) -> str:
    """The releases take faults in turn; none, where the fault is not one on any of them."""
    fitting = [each for each in releases if not entry.releases or each in entry.releases]
    return fitting[number % len(fitting)] if fitting else ""


class Findings:
    """What was found, as it comes in."""

    def __init__(self, output: Path | None) -> None:
        self.results: list[Any] = []
        self._output = output.open("w") if output else None
        self._lock = threading.Lock()

    def add(self, result: Any) -> None:
        with self._lock:
            self.results.append(result)
            print(f"{len(self.results)} {result}".rstrip(), flush=True)
            if self._output:
                self._output.write(json.dumps(result.document()) + "\n")
                self._output.flush()

    def summary(self) -> int:
        bad = [each for each in self.results if not each.well]
        for each in bad:
            print(f"\n{each}")
        print(f"{len(self.results)} runs, {len(bad)} not as they must be")
        return 1 if bad else 0


def spread(
    lab: Lab,
    hosts: Iterable[Host],
    work: Iterable[tuple[str, Any]],
    make: Callable[[Rig], Callable[[Any], Any]],
    found: Findings,
    folder: Path,
) -> None:
    """Do the work (release, item) on the hosts, each at its own pace."""
    waiting: dict[str, queue.SimpleQueue[Any]] = {}
    for release, item in work:
        waiting.setdefault(release, queue.SimpleQueue()).put(item)

    def run(host: Host) -> None:
        lab.reset(host)
        carry_out = make(Rig(lab, host, folder / host.name))
        mine = waiting[host.release]
        while True:
            try:
                item = mine.get_nowait()
            except queue.Empty:
                return
            found.add(carry_out(item))

    threads = [threading.Thread(target=run, args=(h,)) for h in hosts if h.release in waiting]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


if __name__ == "__main__":
    sys.exit(main())
