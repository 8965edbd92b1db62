"""Somebody else is at work on the same host: another apply, an administrator, a package
manager; or Postfix was broken before we came."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from matrix import Matrix
from rig import Violation, policy
from support import finish

if TYPE_CHECKING:
    from collections.abc import Callable

    from rig import Rig

_EDIT = "# edited by hand\\nsmtpd_error_sleep_time = 2s\\n"
_APPEND = f"printf '{_EDIT}' >>/etc/postfix/main.cf"
_EDITED = "grep -qx 'smtpd_error_sleep_time = 2s' /etc/postfix/main.cf"


def need(condition: object, said: str) -> None:
    if not condition:
        raise Violation(said)


@dataclass
class Met:
    """How one meeting ended; `said` is empty where all was as it must be."""

    name: str
    release: str
    said: str = ""
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        return not self.said

    def __str__(self) -> str:
        ended = "well" if self.well else "violation"
        return f"{ended:9} {self.name} ({self.release}, {self.seconds} s)\n{self.said}"

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Meetings:
    """Each meeting begins and ends with a host that is settled."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.matrix = Matrix(rig)

    def run(self, name: str) -> Met:
        started = time.monotonic()
        met = Met(name, self.rig.host.release)
        try:
            if not self.rig.version:
                self.rig.renew()
            MEETINGS[name](self)
            self._end()
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this meeting
            met.said = f"{type(error).__name__}: {error}"[:3000]
            self.rig.version = ""
        met.seconds = round(time.monotonic() - started, 1)
        return met

    def _end(self) -> None:
        """Mail is taken, the next apply completes, nothing is left."""
        rig = self.rig
        rig.wait_until_settled()
        rig.apply()
        rig.learn()
        rig.take_mail()
        if left := rig.left_over():
            raise Violation(f"left over: {left}")

    # -- two applies ---------------------------------------------------------------------

    def second_while_the_first_holds(self) -> None:
        """It is told who holds the host, and ends with 7."""
        with self.held_at("rename_all") as first:
            second = self.rig.run("apply", "-y", "--prune")
            need(second.code == 7, f"exit {second.code}, not 7: {second.err}")
            need("locked" in second.err, second.err)
        need(first.code == 0, first.err)

    def both_at_once(self) -> None:
        """Of two that start together one does it; the other finds nothing left to do, or is
        told to plan again."""
        self.rig.turn()
        both = [self.rig.site.start("apply", "-y", "--prune") for _ in range(2)]
        done = [finish(each) for each in both]
        codes = sorted(each.code for each in done)
        said = "\n".join(each.err for each in done)
        need(codes in ([0, 0], [0, 7]), f"{codes}: {said}")

    # -- an administrator ----------------------------------------------------------------

    def edit_between_plan_and_apply(self) -> None:
        rig = self.rig
        self.rig.turn()
        need(
            rig.run("plan", "--prune", "-o", "saved.plan").code == 2,
            "nothing was planned",
        )
        rig.sh(_APPEND)
        before = rig.state()
        done = finish(rig.site.start("apply", "-y", "saved.plan"))
        need(done.code == 7, f"exit {done.code}, not 7: {done.err}")
        need(
            rig.state() == before,
            f"something changed: {before.difference(rig.state())}",
        )
        self._revert()

    def edit_before(self, call: str) -> None:
        """The edit stands. The run is stale, or finds that what it staged does not fit (4)."""
        rig = self.rig
        with self.held_at(call) as done:
            rig.sh(_APPEND)
            edited = rig.sh("sha256sum /etc/postfix/main.cf")
        now = rig.sh("sha256sum /etc/postfix/main.cf")
        need(now == edited, f"the edit is lost (exit {done.code}): {done.err}")
        need(done.code in (4, 7), f"exit {done.code}, not 7: {done.err}")
        self._revert()

    def replaced_before_the_rename(self) -> None:
        """As an editor does it that writes a new file and renames it."""
        rig = self.rig
        with self.held_at("rename_all") as done:
            rig.sh(f"cd /etc/postfix && cp -p main.cf n && printf '{_EDIT}' >>n && mv n main.cf")
        need(rig.lab.exec(rig.host, _EDITED, check=False).returncode == 0,
             f"the edit is lost (exit {done.code}): {done.err}")  # fmt: skip
        need(done.code in (7, 8), f"exit {done.code}, not 7: {done.err}")
        self._revert()

    def stopped_before_the_reload(self) -> None:
        """Somebody stops Postfix while files are being renamed: all-old or all-new."""
        rig = self.rig
        with self.held_at("activate"):
            rig.sh("systemctl stop postfix")
        rig.wait_until_settled()
        allowed = (rig.known[each].files for each in ("first", rig.version))
        need(rig.state().files in allowed, "neither old nor new")

    # -- packages ------------------------------------------------------------------------

    def postfix_is_reinstalled(self) -> None:
        """Its package is unpacked and configured anew while the change goes on."""
        rig = self.rig
        with self.held_at("backup"):
            rig.sh(
                "export DEBIAN_FRONTEND=noninteractive; apt-get -q -y install --reinstall postfix "
                "-o Dpkg::Options::=--force-confold </dev/null >/run/faults/apt 2>&1 & "
                "sleep 1; rm -f /run/faults/held; wait; tail -n 3 /run/faults/apt >&2",
                seconds=200,
            )
        rig.wait_until_settled()
        rig.sh("systemctl start postfix")

    def package_manager_holds_its_lock(self) -> None:
        """A change without packages does not wait for it."""
        rig = self.rig
        self.rig.turn()
        rig.sh(
            "setsid perl -MFcntl -e 'open $f, q(>>), q(/var/lib/dpkg/lock-frontend); "
            "$l = pack(q(s s l! l! i), F_WRLCK, 0, 0, 0, 0); fcntl($f, F_SETLK, $l) or die; "
            "sleep 300' >/dev/null 2>&1 & sleep 0.2"
        )
        try:
            done = rig.run("apply", "-y", "--prune")
        finally:
            rig.sh("pkill -f lock-frontend", check=False)
        need(done.code == 0, done.err)

    # -- broken before -------------------------------------------------------------------

    def broken_before_and_repaired(self) -> None:
        """What is declared repairs a Postfix that cannot start."""
        rig = self.rig
        rig.sh("sed -i 's/^inet_protocols.*/inet_protocols = ipv5/' /etc/postfix/main.cf; "
               "grep -q ipv5 /etc/postfix/main.cf; systemctl stop postfix; "
               "touch -d '1 hour ago' /etc/postfix/main.cf")  # fmt: skip

    def broken_before_and_elsewhere(self) -> None:
        """A foreign fault neither hinders a change nor is repaired by it."""
        rig = self.rig
        rig.sh("printf 'smtpd_etrn_restrictions = reject_foo_bar\\n' >>/etc/postfix/main.cf;"
               "touch -d '1 hour ago' /etc/postfix/main.cf; postfix reload")  # fmt: skip
        self.rig.turn()
        done = rig.run("apply", "-y", "--prune")
        need(done.code == 0, f"exit {done.code}: {done.err}")
        need(
            "reject_foo_bar" in rig.sh("postconf -h smtpd_etrn_restrictions"),
            "it is gone",
        )
        rig.sh("sed -i '/reject_foo_bar/d' /etc/postfix/main.cf;"
               "touch -d '1 hour ago' /etc/postfix/main.cf; postfix reload")  # fmt: skip

    def broken_before_and_a_bad_change(self) -> None:
        """Refused: the files are as they were, broken."""
        rig = self.rig
        rig.sh("printf 'smtpd_etrn_restrictions = reject_foo_bar\\n' >>/etc/postfix/main.cf;"
               "touch -d '1 hour ago' /etc/postfix/main.cf; postfix reload")  # fmt: skip
        before = rig.state()
        wanted = policy(rig.version)
        wanted["postfix"]["parameters"]["smtpd_client_restrictions"] = "reject_bar_foo"
        rig.site.say(wanted, ["postfix"])
        done = rig.run("apply", "-y", "--prune")
        need(done.code == 4, f"exit {done.code}: {done.err}")
        need(rig.state() == before, f"changed: {before.difference(rig.state())}")
        rig.want(rig.version)
        rig.sh("sed -i '/reject_foo_bar/d' /etc/postfix/main.cf;"
               "touch -d '1 hour ago' /etc/postfix/main.cf; postfix reload")  # fmt: skip

    def stopped_before(self) -> None:
        """A Postfix that was stopped runs after the apply, as declared."""
        self.rig.sh("systemctl stop postfix")
        self.rig.turn()

    # -- helpers -------------------------------------------------------------------------

    def held_at(self, call: str) -> _Held:
        return _Held(self.matrix, call)

    def _revert(self) -> None:
        """The edit goes again, so that states compare."""
        self.rig.sh(
            "sed -i '/edited by hand/d; /smtpd_error_sleep_time = 2s/d' /etc/postfix/main.cf &&"
            "touch -d '1 hour ago' /etc/postfix/main.cf && postfix reload"
        )


class _Held:
    """An apply of another version that stands still at a call for the time of a `with` block;
    afterwards it has ended, with `code` and `err`."""

    def __init__(self, matrix: Matrix, call: str) -> None:
        self.rig, self.matrix, self.call = matrix.rig, matrix, call
        self.code, self.err = -1, ""

    def __enter__(self) -> _Held:
        self.matrix.begin("reload")
        self._process = self.matrix.start(self.call)
        self.matrix.wait_until_held(self._process)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.rig.release()
        done = finish(self._process)
        self.code, self.err = done.code, done.err


def _edit_before(call: str) -> Callable[[Meetings], None]:
    return lambda meetings: meetings.edit_before(call)


MEETINGS: dict[str, Callable[[Meetings], None]] = {
    "a second apply while the first holds the host": Meetings.second_while_the_first_holds,
    "two applies at once": Meetings.both_at_once,
    "main.cf edited between plan and apply": Meetings.edit_between_plan_and_apply,
    "main.cf edited while it is staged": _edit_before("stage_end"),
    "main.cf edited before the rehearsal": _edit_before("rehearse"),
    "main.cf edited before its backup": _edit_before("backup"),
    "main.cf edited before the guard is armed": _edit_before("arm_guard"),
    "main.cf edited right before the renames": _edit_before("rename_all"),
    "main.cf replaced right before the renames": Meetings.replaced_before_the_rename,
    "Postfix stopped by hand before its reload": Meetings.stopped_before_the_reload,
    "the package of Postfix installed anew meanwhile": Meetings.postfix_is_reinstalled,
    "the package manager holds its lock": Meetings.package_manager_holds_its_lock,
    "Postfix was broken, and the change repairs it": Meetings.broken_before_and_repaired,
    "Postfix was broken elsewhere": Meetings.broken_before_and_elsewhere,
    "Postfix was broken, and the change is bad": Meetings.broken_before_and_a_bad_change,
    "Postfix was stopped": Meetings.stopped_before,
}
