"""Time this tool against what else is used for the same, on the same hosts, in one run.

`inv bench` boots lab hosts, 5, then 20, then 60, and lets each tool do three pieces of work on
them: a dry run on stock hosts, the first apply, and a run with nothing left to change. The
desired state is in bench/group_vars and bench/peers. Whole processes are timed, from start to
end. A first round is not timed: in it caches get warm, connections, programs run, bytes and
memory are counted, and what each tool made of the hosts is compared with what is wanted.

Tables, chart and numbers go to docs/performance.md, .svg and .json after each number of hosts.
Controller and hosts share this machine: compare rows with each other, and with nothing else.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from report import DOCS, Size, write
from rounds import BrokenError, Rounds
from tools import PACKAGES, Tool, Toolbox, install

from provisioner.errors import ProvisionerError
from provisioner.lab import HostSpec
from provisioner.lab.lab import Lab
from provisioner.report.console import print_error

NAMES = ("provisioner", "ssh", "pyinfra", "mitogen", "ansible-tuned", "ansible")
#: More hosts than these, and slow tools are left out unless they were asked for.
FEW = 20


def chosen(box: Toolbox, hosts: int, peers: Sequence[str]) -> list[Tool]:
    """This tool and plain ssh, and the peers that were asked for; without a word on them, those
    that end in reasonable time."""
    tools = [box.tools[name] for name in NAMES]
    if peers:
        return [tool for tool in tools if tool.name in {"provisioner", "ssh", *peers}]
    return [tool for tool in tools if not tool.slow or hosts <= FEW]


def measure(hosts: int, options: argparse.Namespace, folder: Path) -> Size:
    specs = [HostSpec(release=options.release, variant="python") for _ in range(hosts)]
    with Lab.up(f"bench-{os.getpid()}", specs) as lab:
        box = Toolbox(lab, folder)
        tools = chosen(box, hosts, options.peers)
        titles = {tool.name: tool.title for tool in tools}
        rounds = Rounds(box, tools)
        rounds.prepare()
        rounds.first()
        done = 0
        while done < options.repeat and (done == 0 or time.monotonic() < options.until):
            rounds.round(done)
            done += 1
            print(f"{hosts} hosts: round {done} of {options.repeat} done", file=sys.stderr)
        return Size(hosts, done, titles, rounds.results, rounds.steps)


def arguments() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    def names(text: str) -> list[str]:
        found = text.split(",")
        if unknown := set(found) - set(NAMES):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: one of {', '.join(NAMES)}")
        return found

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=numbers, default=[5, 20, 60], metavar="N,…")
    parser.add_argument("--peers", type=names, default=[], metavar="NAME,…", help=", ".join(NAMES))
    parser.add_argument("--repeat", type=int, default=5, help="timed rounds  [default: 5]")
    parser.add_argument("--release", default="bookworm", help="of all hosts  [default: bookworm]")
    parser.add_argument(
        "--minutes", type=float, default=45.0, help="begin no round after these  [default: 45]"
    )
    parser.add_argument("--out", type=Path, default=DOCS, metavar="DIR", help="[default: docs/]")
    options = parser.parse_args()
    options.until = time.monotonic() + options.minutes * 60
    return options


def main() -> None:
    options = arguments()
    # Ended from outside, it takes its hosts down, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = {"provisioner"} | set(options.peers or NAMES)
    venvs = {"ansible" if name in ("mitogen", "ansible-tuned") else name for name in wanted}
    install([name for name in PACKAGES if name in venvs])
    options.out.mkdir(parents=True, exist_ok=True)
    sizes: list[Size] = []
    for hosts in options.hosts:
        if sizes and time.monotonic() > options.until:
            print(f"bench: no time left for {hosts} hosts", file=sys.stderr)
            break
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            sizes.append(measure(hosts, options, Path(folder)))
        write(sizes, options.release, options.out)
    print(f"written: {options.out / 'performance.md'}, .json, .svg", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except ProvisionerError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except BrokenError as error:
        sys.exit(f"bench: {error}")
