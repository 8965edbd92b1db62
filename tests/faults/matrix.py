"""Every boundary of an apply, crossed with every fault: all-old or all-new, and no trace."""

from __future__ import annotations

import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller import GUARD_TRACE, REACHED, TRACE
from injection import FAULTS, _OwnDisk
from rig import Rig, State, Violation
from support import finish

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from injection import Fault
    from support import Done

#: What an apply is about. `undone`: what it leads to is not well, so the host goes all the way
#: back. `guarded`: its shell is killed between rename and activation, and the fault comes while
#: the guard undoes that.
SCENARIOS = ("reload", "restart", "undone", "guarded")

#: What can happen to a guard: nobody is connected any more.
_TO_GUARDS = ("shell", "full", "full-state", "read-only", "power", "reboot")

#: Faults that touch nothing but the run itself.
_ONLY_THE_RUN_DIES = ("controller", "shell", "group", "network")

#: Seconds in which a change must be confirmed.
_WINDOW = "15"

#: Where the new main.cf is live, Postfix stops as soon as its health is looked at.
_SABOTAGE = """cat >/usr/local/sbin/timeout <<'END' && chmod 755 /usr/local/sbin/timeout
#!/bin/sh
grep -q '^smtpd_banner.* other' /etc/postfix/main.cf || exec /usr/bin/timeout "$@"
/usr/sbin/postfix stop
exit 1
END
"""

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
        row = []
        for number, fault in enumerate(faults):
            fitting = SCENARIOS if fault in _TO_GUARDS else SCENARIOS[:3]
            row.append((fitting[(number + turn) % len(fitting)], fault))
        chance.shuffle(row)
        cases += [
            Case(
                chance.choice(releases),
                scenario,
                fault,
                round(chance.random() * 0.999, 3),
            )
            for scenario, fault in row
        ]
    return cases[:runs]


class Matrix:
    """The cases of one host, one after the other."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.traces: dict[str, list[str]] = {}
        self.held_at = ""

    # -- boundaries ----------------------------------------------------------------------

    def boundaries(self, scenario: str) -> list[str]:
        """What an apply of that scenario (`guarded`: its guard) passes through, in order: found
        by one that nothing else disturbs."""
        if scenario not in self.traces:
            rig = self.rig
            if scenario == "guarded":
                self._cut_short(0)
                rig.release()
            else:
                # The first time is another: copies are made of what was there before.
                self.begin(scenario)
                rig.settle(rig.version)
                self.begin(scenario)
                self._sabotage(scenario)
                finish(self.start(0), 4 if scenario == "undone" else 0)
                self._restore()
            rig.wait_until_settled()
            trace = GUARD_TRACE if scenario == "guarded" else TRACE
            self.traces[scenario] = rig.sh(f"cat {trace}").splitlines()
            rig.apply()
            rig.learn()
        return self.traces[scenario]

    def _cut_short(self, guard: int) -> None:
        """An apply whose shell dies right after the renames; its guard undoes that, and stands
        still at a boundary."""
        self.begin("guarded")
        controller = self.start("swapped", guard=guard)
        self.wait_until_held(controller)
        self.rig.sh(f"pid=$(cat {REACHED}); rm {REACHED}; pkill -9 -s $(ps -o sid= -p $pid)")
        finish(controller)

    def begin(self, scenario: str) -> State:
        """Stand at the first version and want the one that the scenario is about; returns the
        state before. Always the same way, so that boundaries have the same numbers."""
        rig = self.rig
        if not rig.version:
            rig.renew()
        if rig.version != "first":
            rig.go("first")
        rig.want("third" if scenario == "restart" else "other")
        rig.set_stage()
        return rig.known["first"]

    def start(self, hold: int | str, silence: int = 120, guard: int = 0) -> subprocess.Popen[str]:
        program = [_CONTROLLER, str(hold), str(guard), str(silence)]
        arguments = ("-y", "--prune", "--confirm-within", _WINDOW)
        return self.rig.site.start("apply", *arguments, program=program)

    def _sabotage(self, scenario: str) -> None:
        if scenario == "undone":
            self.rig.sh(_SABOTAGE)

    def _restore(self) -> None:
        self.rig.sh("rm -f /usr/local/sbin/timeout")

    # -- one case ------------------------------------------------------------------------

    def run(self, case: Case) -> Result:
        """Carry the case out. A host that did not stand it is made new."""
        started = time.monotonic()
        result = Result(str(case), case.fault, case.scenario, "", "violation")
        try:
            trace = self.boundaries(case.scenario)
            number = int(case.place) if case.place >= 1 else int(case.place * len(trace)) + 1
            result.case = str(Case(case.release, case.scenario, case.fault, number))
            self.held_at = ""
            result.ended = self._strike(case.scenario, FAULTS[case.fault](), number)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this case
            result.said = f"{type(error).__name__}: {error}"[:3000]
            self.rig.version = ""
        result.boundary = self.held_at
        result.seconds = round(time.monotonic() - started, 1)
        return result

    def _strike(self, scenario: str, fault: Fault, number: int) -> str:
        rig = self.rig
        old = self.begin(scenario)
        allowed = [old]
        if scenario in ("reload", "restart") and rig.version in rig.known:
            allowed.append(rig.known[rig.version])
        fault.prepare(rig)
        if scenario == "guarded":
            done = self._strike_guard(fault, number)
        else:
            done = self._strike_apply(scenario, fault, number)
        fault.heal(rig)
        rig.wait_until_settled()
        # A guard that was killed, too, or found no disk to write to, leaves it to the next run.
        if scenario == "guarded" and fault.name not in ("power", "reboot"):
            ended = "old"
        else:
            ended = ("old", "new")[rig.check_whole(*allowed)]
            rig.take_mail()
            # Where the host stood all the while, it has cleaned up by itself.
            if fault.name in _ONLY_THE_RUN_DIES:
                rig.wait_until_tidy()
        if done:
            self._check_words(done.code, done.err, ended)
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

    def _strike_apply(self, scenario: str, fault: Fault, number: int) -> Done:
        self._sabotage(scenario)
        controller = self.start(number, fault.silence)
        try:
            self.wait_until_held(controller)
            self.held_at = label(self.rig.sh(f"cat {TRACE}").splitlines())
            fault.strike(self.rig, controller)
        finally:
            self.rig.release()
        return finish(controller)

    def _strike_guard(self, fault: Fault, number: int) -> None:
        self._cut_short(number)
        try:
            self.wait_until_held()
            self.held_at = label(self.rig.sh(f"cat {GUARD_TRACE}").splitlines(), "guard")
            fault.strike(self.rig, None)
        finally:
            self.rig.release()

    def wait_until_held(self, controller: subprocess.Popen[str] | None = None) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            script = f"for n in 1 2 3 4 5; do [ -s {REACHED} ] && exit; sleep 0.1; done; exit 1"
            if self.rig.lab.exec(self.rig.host, script, check=False).returncode == 0:
                return
            if controller and controller.poll() is not None:
                raise Violation(f"the boundary was not reached: {finish(controller).err}")
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


def label(trace: Sequence[str], start: str = "start") -> str:
    """`call` or `call: command` of the boundary that was reached last."""
    calls = [each for each in trace if each.startswith("call ")]
    call = calls[-1].removeprefix("call ") if calls else start
    return call if trace[-1].startswith("call ") else f"{call}: {trace[-1]}"
