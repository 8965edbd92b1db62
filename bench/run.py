"""Time this tool against bare OpenSSH on the same hosts, in one run.

`inv bench --hosts N --repeat R` boots N lab hosts and measures, interleaved:

  no change   `provisioner plan` of hosts that are as desired,
              against one `ssh` process a host, all in parallel, that only reads
              (`postconf -n; postconf -M; cat main.cf`)
  first apply `provisioner apply -y` on stock hosts (probe, plan, apply, new login, probe),
              against one `ssh` process a host, all in parallel, that runs bench/apply.sh

Whole processes are timed, from start to end, start-up of Python included. A first round
warms caches and is not counted; in it the end states of both sides are compared. Controller
and hosts share this machine, so numbers compare with each other and with nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from provisioner import __version__
from provisioner.cli import workspace
from provisioner.cli.options import Common
from provisioner.errors import ProvisionerError
from provisioner.fleet import jobs, pool
from provisioner.fleet.events import Event
from provisioner.fleet.outcome import Outcome, Status
from provisioner.lab import HostSpec
from provisioner.lab.lab import Lab
from provisioner.report.console import print_error
from provisioner.resources.base import Action
from provisioner.transport.base import Counters

BENCH = Path(__file__).resolve().parent

READ = "postconf -n; postconf -M; cat /etc/postfix/main.cf"

#: Seconds that hosts get to calm down after they were reset.
SETTLE = 3.0


@dataclass
class Series:
    """Wall times in seconds, one a round, and what all hosts together cost in one round."""

    seconds: list[float] = field(default_factory=list)
    cost: Counters | None = None

    @property
    def median(self) -> float:
        return median(self.seconds)


class Bench:
    """One lab, both sides."""

    def __init__(self, lab: Lab, inventory: Path, forks: int) -> None:
        self.lab = lab
        self.forks = forks
        self.sources = (str(inventory),)
        self.results = {
            name: Series()
            for name in ("plan provisioner", "plan ssh", "apply provisioner", "apply ssh")
        }

    # -- this tool ---------------------------------------------------------------

    def provisioner(self, verb: str, *more: str, expect: int = 0) -> None:
        argv = [sys.executable, "-m", "provisioner", verb, *more, "-f", str(self.forks)]
        argv += ["--site", str(BENCH / "site.yml")]
        argv += [word for source in self.sources for word in ("-i", source)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != expect:
            sys.exit(f"bench: {shlex.join(argv)} ended with {done.returncode}\n{done.stderr}")

    def count(self, verb: str) -> list[Outcome]:
        """The same work inside this process, to read what it costs."""
        space = workspace.load(Common(self.sources, site=BENCH / "site.yml", forks=self.forks))
        with space.logins() as logins:
            planned = self._run("plan", space, logins, jobs.planning(space.desired, keep=True))
            if verb == "plan":
                return planned
            plans = {each.host: each.plan for each in planned if each.plan}
            work = jobs.applying(space.desired, plans, workspace.new_owner("apply"))
            applied = self._run("apply", space, logins, work)
        failed = [each for each in applied if each.status is not Status.CHANGED]
        if failed:
            sys.exit(f"bench: {failed[0].host}: {failed[0].error}")
        # A login that planning leaves open is counted by the job that closes it.
        return applied

    def _run(
        self, verb: str, space: workspace.Workspace, logins: pool.Logins, work: pool.Work
    ) -> list[Outcome]:
        return pool.run(verb, space.targets, logins, work, forks=self.forks, listener=_deaf)

    # -- bare OpenSSH ------------------------------------------------------------

    def ssh(self, command: str) -> Counters:
        """One ssh process a host, all at once; returns what can be known of the cost."""
        processes = []
        for host in self.lab.hosts:
            variables = self.lab.connection_vars(host)
            argv = [
                *("ssh", "-F", "none", "-o", "BatchMode=yes", "-l", "root"),
                *("-i", variables["ansible_ssh_private_key_file"]),
                *shlex.split(variables["ansible_ssh_common_args"]),
                *(variables["ansible_host"], command),
            ]
            processes.append(
                subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
        cost = Counters()
        for process in processes:
            out, err = process.communicate()
            if process.returncode:
                sys.exit(f"bench: ssh ended with {process.returncode}: {err.decode()}")
            cost.add(Counters(1, 1, len(command), len(out) + len(err)))
        return cost

    # -- rounds ------------------------------------------------------------------

    def reset(self) -> None:
        self.lab.reset()
        time.sleep(SETTLE)

    def warm_up(self) -> None:
        """Uncounted: what each side costs, and whether both arrive at the same state."""
        script = (BENCH / "apply.sh").read_text()
        self.results["apply ssh"].cost = self.ssh(script)
        self._compare()
        self.reset()
        self.results["apply provisioner"].cost = _total(self.count("apply"))
        self.results["plan provisioner"].cost = _total(self.count("plan"))
        self.results["plan ssh"].cost = self.ssh(READ)

    def _compare(self) -> None:
        """After the hand-written script the tool must find nothing to do but to remember."""
        for outcome in self.count("plan"):
            changes = outcome.plan.changes if outcome.plan else ()
            others = [each.address for each in changes if each.action is not Action.ADOPT]
            if outcome.error or others:
                sys.exit(
                    f"bench: the two sides differ on {outcome.host}: {outcome.error or others}"
                )

    def round(self, number: int) -> None:
        """One measurement of each; who goes first alternates."""
        script = (BENCH / "apply.sh").read_text()
        applies: list[tuple[str, Callable[[], object]]] = [
            ("apply ssh", lambda: self.ssh(script)),
            ("apply provisioner", lambda: self.provisioner("apply", "-y")),
        ]
        plans: list[tuple[str, Callable[[], object]]] = [
            ("plan ssh", lambda: self.ssh(READ)),
            ("plan provisioner", lambda: self.provisioner("plan")),
        ]
        for name, work in applies[:: 1 if number % 2 else -1]:
            self.reset()
            self.time(name, work)
        if number % 2 == 0:  # the script went last: the plan is to find its own work
            self.reset()
            self.provisioner("apply", "-y")
        for name, work in plans[:: 1 if number % 2 else -1]:
            self.time(name, work)

    def time(self, name: str, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        self.results[name].seconds.append(time.perf_counter() - started)


def _deaf(_event: Event) -> None:
    return None


def _total(outcomes: Sequence[Outcome]) -> Counters:
    total = Counters()
    for outcome in outcomes:
        if outcome.error:
            sys.exit(f"bench: {outcome.host}: {outcome.error}")
        total.add(outcome.counters)
    return total


def table(bench: Bench) -> str:
    hosts = len(bench.lab.hosts)
    lines = [
        "| work | who | wall, median (range) | against ssh | per host: connections, execs, sent, "
        "received |",
        "| --- | --- | --- | --- | --- |",
    ]
    for verb, title in (("plan", "no change"), ("apply", "first apply")):
        base = bench.results[f"{verb} ssh"].median
        for who, label in (("provisioner", f"`provisioner {verb}`"), ("ssh", "parallel `ssh`")):
            series = bench.results[f"{verb} {who}"]
            low, high = min(series.seconds), max(series.seconds)
            lines.append(
                f"| {title} | {label} | {series.median:.2f} s ({low:.2f} to {high:.2f}) "
                f"| {series.median / base:.2f} | {_cost(series.cost, hosts)} |"
            )
    return "\n".join(lines)


def _cost(cost: Counters | None, hosts: int) -> str:
    if cost is None:
        return ""
    return (
        f"{cost.connections / hosts:.3g}, {cost.execs / hosts:.3g}, "
        f"{cost.bytes_sent / hosts / 1024:.1f} KiB, {cost.bytes_received / hosts / 1024:.1f} KiB"
    )


def document(bench: Bench, release: str) -> dict[str, Any]:
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.strip()
    return {
        "version": 1,
        "provisioner": __version__,
        "python": sys.version.split()[0],
        "openssh": ssh,
        "processors": os.cpu_count(),
        "hosts": len(bench.lab.hosts),
        "release": release,
        "forks": bench.forks,
        "results": {
            name: {
                "seconds": [round(each, 3) for each in series.seconds],
                "median": round(series.median, 3),
                "cost": asdict(series.cost) if series.cost else None,
            }
            for name, series in bench.results.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=5, help="counted rounds")
    parser.add_argument("--release", default="bookworm", help="of all hosts")
    parser.add_argument("--forks", type=int, default=32, help="hosts at once, this tool's side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers here, too")
    options = parser.parse_args()
    specs = [HostSpec(release=options.release) for _ in range(options.hosts)]
    with (
        tempfile.TemporaryDirectory() as folder,
        Lab.up(f"bench-{os.getpid()}", specs) as lab,
    ):
        inventory = lab.write_inventory(Path(folder) / "lab.yml")
        bench = Bench(lab, inventory, options.forks)
        bench.warm_up()
        for number in range(options.repeat):
            bench.round(number)
            print(f"round {number + 1} of {options.repeat} done", file=sys.stderr)
        print(table(bench))
        print(
            f"\n{options.hosts} {options.release} hosts and the controller on "
            f"{os.cpu_count()} processors, {options.repeat} rounds."
        )
        if options.json:
            options.json.write_text(json.dumps(document(bench, options.release), indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except ProvisionerError as error:
        print_error(error)
        sys.exit(error.exit_code)
