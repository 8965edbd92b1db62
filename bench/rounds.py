"""The measuring: rounds of every tool's work on the hosts of one lab."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

from tools import BENCH, WORKS, Tool, Toolbox, environment, shown

from provisioner.cli import workspace
from provisioner.cli.options import Common
from provisioner.fleet import jobs, pool
from provisioner.fleet.events import Event, HostEnded, HostStarted, HostStep
from provisioner.fleet.outcome import Outcome
from provisioner.resources.base import Action

#: Seconds that hosts get to calm down after they were reset.
SETTLE = 3.0
#: Longest that one command may take, in seconds.
LIMIT = 900.0


class BrokenError(Exception):
    """A tool did not do its work; the message says what it said."""


@dataclass
class Series:
    """One tool's cost of one work: times in seconds, one a round; the rest of one round, for
    all hosts together. `memory` is in KiB."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    memory: int = 0
    connections: int = 0
    execs: int = 0
    sent: int = 0
    received: int = 0
    error: str = ""

    @property
    def wall(self) -> float:
        return median(self.walls)

    @property
    def cpu(self) -> float:
        return median(self.cpus)


class Rounds:
    """All measurements on one lab, by tool and work."""

    def __init__(self, box: Toolbox, tools: Sequence[Tool]) -> None:
        self.box = box
        self.tools = list(tools)
        self.results = {(tool.name, work): Series() for tool in tools for work in WORKS}
        #: Seconds of each step of this tool's first apply, median over the hosts.
        self.steps: dict[str, float] = {}

    # -- a round -----------------------------------------------------------------

    def prepare(self) -> None:
        """Hosts say who logs in and what is run; what is stock is kept."""
        said = "echo LogLevel VERBOSE >/etc/ssh/sshd_config.d/bench.conf && systemctl reload ssh"
        self.on_all(said)
        time.sleep(1)  # sshd begins anew, and refuses for a moment
        self.reset()

    def reset(self) -> None:
        if subprocess.run(self.box.parallel("reset.sh"), check=False).returncode:
            said = [path.read_text() for path in sorted(self.box.output.iterdir())]
            raise BrokenError(f"hosts could not be reset: {' '.join(filter(None, said))[:600]}")
        time.sleep(SETTLE)

    def first(self) -> None:
        """Caches get warm, costs are counted, end states are compared. Of all but the slow tools
        it is not timed."""
        for tool in list(self.tools):
            self.reset()
            with self._without_the_broken(tool):
                for work in WORKS:
                    self._count(tool, work)
                    if work == "first apply":
                        self._check_state()
        self._time_steps()

    @contextmanager
    def _without_the_broken(self, tool: Tool) -> Iterator[None]:
        """A tool that does not do its work has no result, and costs the others nothing."""
        try:
            yield
        except BrokenError as error:
            print(f"bench: {tool.name}: {error}", file=sys.stderr)
            if tool.name == "provisioner":
                raise
            self.tools.remove(tool)
            for work in WORKS:
                self.results[tool.name, work] = Series(error=str(error))

    def round(self, number: int) -> None:
        """One measurement of everything; who goes first changes from round to round."""
        turn = number % len(self.tools)
        for tool in [*self.tools[turn:], *self.tools[:turn]]:
            if tool.slow:
                continue
            self.reset()
            with self._without_the_broken(tool):
                for work in WORKS:
                    told = self._run(tool, work)
                    series = self.results[tool.name, work]
                    series.walls.append(told["wall"])
                    series.cpus.append(told["cpu"])

    def _run(self, tool: Tool, work: str, *, sample: bool = False) -> dict[str, float]:
        command = tool.commands[work]
        log = self.box.folder / f"{tool.name}.log"
        timed = [sys.executable, "-I", str(BENCH / "timed.py"), "--seconds", str(LIMIT)]
        timed += ["--sample"] if sample else []
        with log.open("wb") as complaints:
            done = subprocess.run(
                [*timed, "--", *command],
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=environment(tool),
                cwd=self.box.folder,
                check=False,
            )
        told: dict[str, float] = json.loads(done.stdout or '{"status": -2}')
        if told["status"] != tool.statuses.get(work, 0):
            said = log.read_text(errors="replace").strip()[-600:]
            raise BrokenError(f"{work}: status {told['status']:g} of {shown(command)}\n{said}")
        return told

    # -- what it cost ------------------------------------------------------------

    def _count(self, tool: Tool, work: str) -> None:
        series = self.results[tool.name, work]
        self.on_all(": >/var/log/auth.log")
        before = self._traffic()
        told = self._run(tool, work, sample=True)
        series.memory = int(told["memory"])
        if tool.slow:
            series.walls.append(told["wall"])
            series.cpus.append(told["cpu"])
        after = self._traffic()
        series.sent, series.received = (now - then for then, now in zip(before, after, strict=True))
        time.sleep(0.5)  # what was logged last is on its way
        for text in self.on_all("cat /var/log/auth.log"):
            series.connections += text.count("Accepted publickey")
            series.execs += text.count("Starting session: ")

    def _traffic(self) -> tuple[int, int]:
        """Bytes to and from the hosts so far, all protocols' headers included."""
        link = Path("/sys/class/net", self.box.lab.link) / "statistics"
        return tuple(int((link / f"{way}_bytes").read_text()) for way in ("tx", "rx"))  # type: ignore[return-value]

    def on_all(self, script: str) -> list[str]:
        """What a script prints on each host, run past ssh."""

        def one(name: str) -> str:
            return self.box.lab.exec(name, script).stdout

        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(one, [host.name for host in self.box.lab.hosts]))

    # -- this tool from inside ---------------------------------------------------

    def _check_state(self) -> None:
        """Whatever made it, the state is the one that is wanted: nothing is left to be done
        but to remember it."""
        for outcome in self._inside(apply=False)[0]:
            changes = outcome.plan.changes if outcome.plan else ()
            others = [each.address for each in changes if each.action is not Action.ADOPT]
            if outcome.error or others:
                raise BrokenError(f"the state differs on {outcome.host}: {outcome.error or others}")

    def _time_steps(self) -> None:
        self.reset()
        _, heard = self._inside(apply=True)
        spent: dict[str, list[float]] = {}
        for events in heard.values():
            for (then, _), (now, step) in pairwise(events):
                spent.setdefault(step, []).append(now - then)
        self.steps = {step: median(each) for step, each in spent.items()}

    def _inside(self, *, apply: bool) -> tuple[list[Outcome], dict[str, list[tuple[float, str]]]]:
        """Plan, and apply, in this process: outcomes, and when each host ended which step."""
        options = Common((str(self.box.inventory),), site=BENCH / "site.yml")
        space = workspace.load(options)
        heard: dict[str, list[tuple[float, str]]] = {host.name: [] for host in space.hosts}
        #: A step of ours is heard of when it begins, one of the host's when it is done.
        begun: dict[str, str] = {}

        def listen(event: Event) -> None:
            now = time.perf_counter()
            match event:
                case HostStarted(host):
                    heard[host].append((now, "start"))
                case HostStep(host, step):
                    own = step in OWN_STEPS
                    heard[host].append((now, begun.pop(host, "") if own else step))
                    if own:
                        begun[host] = step
                case HostEnded(outcome):
                    heard[outcome.host].append((now, begun.pop(outcome.host, "end")))
                case _:
                    pass

        with space.logins() as logins:
            owner = workspace.new_owner("apply")
            run = partial(pool.run, forks=options.forks, listener=listen)
            work = jobs.planning(space.desired, apply_as=owner.line if apply else None)
            outcomes = run("plan", space.targets, logins, work)
            if apply:
                for each in heard.values():
                    each.clear()
                plans = {each.host: each.plan for each in outcomes if each.plan}
                work = jobs.applying(space.desired, plans, owner)
                outcomes = run("apply", space.targets, logins, work)
        failed = [each for each in outcomes if each.error]
        if apply and failed:
            raise BrokenError(f"{failed[0].host}: {failed[0].error}")
        return outcomes, heard


#: Steps that this program takes, and not the host.
OWN_STEPS = frozenset({"connect", "plan", "packages", "apply", "confirm"})
