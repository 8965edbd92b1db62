"""Every boundary of an apply, crossed with every fault: all-old or all-new, and no trace."""

from __future__ import annotations

import random
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller import REACHED, TRACE
from injection import FAULTS, _OwnDisk
from rig import Rig, State, Violation
from support import finish

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from injection import Fault

#: What an apply is about. `undone`: reloading fails, so the host goes all the way back.
SCENARIOS = ("reload", "restart", "undone")

#: Makes `postfix reload` fail after it took the new configuration down.
_SABOTAGE = (
    "printf '#!/bin/sh\\ncase $1 in reload) /usr/sbin/postfix stop; exit 1;; esac\\n"
    'exec /usr/sbin/postfix "$@"\\n\' >/usr/local/sbin/postfix; chmod 755 /usr/local/sbin/postfix'
)

_CONTROLLER = str(Path(__file__).with_name("controller.py"))


@dataclass(frozen=True)
class Case:
    """One fault at one boundary. `place` below 1 is a share of all boundaries, else a number."""

    release: str
    scenario: str
    fault: str
    place: float

    def __str__(self) -> str:
        return f"{self.release}:{self.scenario}:{self.fault}:{self.place:g}"


@dataclass
class Result:
    """How it ended: `old`, `new` or `violation`; `boundary` is the call and command held at."""

    case: str
    fault: str
    scenario: str
    boundary: str
    ended: str
    said: str = ""
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        return self.ended != "violation"

    def __str__(self) -> str:
        line = f"{self.ended:9} {self.case} at {self.boundary} ({self.seconds} s)"
        return f"{line}\n{self.said}".rstrip()

    def document(self) -> dict[str, Any]:
        return asdict(self)


def parse(text: str) -> Case:
    """The case that a result names."""
    release, scenario, fault, place = text.split(":")
    return Case(release, scenario, fault, float(place))


def draw(seed: int, runs: int, releases: Sequence[str], faults: Sequence[str]) -> list[Case]:
    """`runs` cases, the same ones for the same seed: all faults before one comes again, and
    each fault in every scenario in turn."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    cases: list[Case] = []
    for turn in range(-(-runs // len(faults))):
        row = [
            (SCENARIOS[(number + turn) % len(SCENARIOS)], fault)
            for number, fault in enumerate(faults)
        ]
        chance.shuffle(row)
        cases += [
            Case(chance.choice(releases), scenario, fault, round(chance.random() * 0.999, 3))
            for scenario, fault in row
        ]
    return cases[:runs]


class Matrix:
    """The cases of one host, one after the other."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.traces: dict[str, list[str]] = {}

    # -- boundaries ----------------------------------------------------------------------

    def boundaries(self, scenario: str) -> list[str]:
        """What an apply of that scenario passes through, in order: found by one that nothing
        disturbs."""
        if scenario not in self.traces:
            rig = self.rig
            self.begin(scenario)
            rig.set_stage()
            self._sabotage(scenario)
            finish(self.start(0), 4 if scenario == "undone" else 0)
            self._restore()
            rig.wait_until_settled()
            self.traces[scenario] = rig.sh(f"cat {TRACE}").splitlines()
            rig.apply()
            rig.learn()
        return self.traces[scenario]

    def begin(self, scenario: str) -> State:
        """Stand at the first version and want the one that the scenario is about; returns the
        state before. Always the same way, so that boundaries have the same numbers."""
        rig = self.rig
        if not rig.version:
            rig.renew()
        if rig.version != "first":
            rig.settle("first")
        rig.want("third" if scenario == "restart" else "other")
        return rig.known["first"]

    def start(self, hold: int, silence: int = 120) -> subprocess.Popen[str]:
        program = [_CONTROLLER, str(hold), str(silence)]
        return self.rig.site.start("apply", "-y", "--prune", program=program)

    def _sabotage(self, scenario: str) -> None:
        if scenario == "undone":
            self.rig.sh(_SABOTAGE)

    def _restore(self) -> None:
        self.rig.sh("rm -f /usr/local/sbin/postfix")

    # -- one case ------------------------------------------------------------------------

    def run(self, case: Case) -> Result:
        """Carry the case out. A host that did not stand it is made new."""
        started = time.monotonic()
        result = Result(str(case), case.fault, case.scenario, "", "violation")
        try:
            trace = self.boundaries(case.scenario)
            number = int(case.place) if case.place >= 1 else int(case.place * len(trace)) + 1
            result.case = str(Case(case.release, case.scenario, case.fault, number))
            result.boundary = label(trace, number)
            result.ended = self._strike(case.scenario, FAULTS[case.fault](), number)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this case
            result.said = f"{type(error).__name__}: {error}"[:3000]
            self.rig.version = ""
        result.seconds = round(time.monotonic() - started, 1)
        return result

    def _strike(self, scenario: str, fault: Fault, number: int) -> str:
        rig = self.rig
        old, new = self.begin(scenario), rig.known.get(rig.version)
        fault.prepare(rig)
        rig.set_stage()
        self._sabotage(scenario)
        controller = self.start(number, fault.silence)
        try:
            self.wait_until_held(controller)
            fault.strike(rig, controller)
        finally:
            rig.release()
        done = finish(controller)
        fault.heal(rig)
        rig.wait_until_settled()
        allowed = (old,) if scenario == "undone" or not new else (old, new)
        ended = ("old", "new")[rig.check_whole(*allowed)]
        self._check_words(done.code, done.err, ended)
        rig.take_mail()
        self._restore()
        rig.apply()
        rig.wait_until_settled()
        if isinstance(fault, _OwnDisk):
            fault.leave(rig)
        rig.learn()
        rig.take_mail()
        if left := rig.left_over():
            raise Violation(f"left over: {left}")
        return ended

    def wait_until_held(self, controller: subprocess.Popen[str]) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            script = f"for n in 1 2 3 4 5; do [ -s {REACHED} ] && exit; sleep 0.1; done; exit 1"
            if self.rig.lab.exec(self.rig.host, script, check=False).returncode == 0:
                return
            if controller.poll() is not None:
                raise Violation(f"the boundary was not reached: {finish(controller).said}")
        raise Violation("the boundary was not reached within a minute")

    def _check_words(self, code: int, said: str, ended: str) -> None:
        """What the controller said is so."""
        claims = {
            "new": code == 0 or "the change stands" in said,
            "old": "as it was before" in said or "nothing was changed" in said,
        }
        for claim, made in claims.items():
            if made and claim != ended:
                raise Violation(f"the host is {ended}, but the controller said:\n{said}")


def label(trace: Sequence[str], number: int) -> str:
    """`call` or `call: command` of a boundary."""
    upto = trace[:number]
    call = next((each for each in reversed(upto) if each.startswith("call ")), "call start")[5:]
    last = upto[-1] if upto else ""
    return call if last.startswith("call ") else f"{call}: {re.sub('[^a-z-]', '', last)}"
