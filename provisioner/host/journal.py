"""The journal of a transaction on its host, and the programs that read or end one.

`BOUNDARIES` are the states in the order a transaction that goes well reaches them (see
`journal.sh` for what each promises). A transaction that died after one of them is finished
by whoever comes first: its guard, the boot, or the next run.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from provisioner.errors import Conflict, Failed, RolledBack
from provisioner.host import frames
from provisioner.host.program import library

#: Each is on the host's disk before the next step begins, `SWAPPED` excepted.
BOUNDARIES = ("BEGUN", "STAGED", "PREPARED", "ARMED", "SWAPPED", "ACTIVE", "COMMITTED")

#: Libraries of the programs that undo: the transaction, the guard, recovery.
UNDO = (
    "init.sh",
    "journal.sh",
    "transaction.sh",
    "undo.sh",
    "firewall.sh",
    "health.sh",
    "generations.sh",
    "recover.sh",
    "guard.sh",
)


@cache
def guard_script() -> str:
    """The guard, and what is done at boot: a program that needs nothing but the journal."""
    return "\n".join([*(library(name) for name in ("frames.sh", *UNDO)), 'guard "$@"', ""])


def clock(epoch: int) -> str:
    """A moment as it is shown everywhere."""
    return f"{datetime.fromtimestamp(epoch, UTC):%H:%M:%S} UTC"


def check_confirmed(host: str, run: str, answer: bytes, nonce: str) -> None:
    """Return when the host says that the run's change stays. Raises `RolledBack`, `Conflict`
    or `Failed` with what became of it."""
    for frame in frames.split(answer, nonce):
        if frame.kind != "ended" or len(frame.words) < 4:
            continue
        _, _, state, until = frame.words[:4]
        outcome, _, message = " ".join(frame.text().split()).partition(" ")
        if state == "COMMITTED":
            return
        if outcome == "conflict":
            raise Conflict(host, "confirm", message, help=stuck(host, run))
        if state == "UNDONE":
            raise RolledBack(host, "confirm", message or "the host undid the change")
        if state == "ACTIVE":
            when = clock(int(until)) if until.isdigit() else "the end of its patience"
            raise Failed(
                host,
                "confirm",
                f"the confirmation cannot be written down; the host undoes the change at {when}",
                help=f"see what is wrong with its disk; then: provisioner history {host}",
            )
        raise Failed(host, "confirm", f"the host knows nothing of run {run}")
    raise Failed(host, "confirm", "the host did not say how it ended", help=later(host))


def stuck(host: str, run: str) -> str:
    """What a person does about a transaction that cannot be undone."""
    return (
        "look at the file; make it what it was or what the run made of it and say "
        f"`provisioner recover {host}`, or leave all as it is: "
        f"provisioner unlock {host} --txn {run}"
    )


def later(host: str) -> str:
    """What a person does who does not know how it ended."""
    return f"the host finishes or undoes it by itself; see how: provisioner history {host}"
