"""Going back, for real in a chroot: generations, what is put back, what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from sandbox import Sandbox, root_of

from provisioner.errors import Conflict, Failed, HostError
from provisioner.fleet import jobs, pool, undoing
from provisioner.fleet.outcome import Outcome, Status
from provisioner.fleet.pool import Logins, Work
from provisioner.host import session
from provisioner.host.transaction import Owner
from provisioner.planning.planner import Desired
from provisioner.postfix.tables import Entry
from provisioner.resources.base import Attributes, Origin, Resource
from provisioner.resources.file import File, FileState
from provisioner.resources.parameter import Parameter
from provisioner.resources.table import Table
from provisioner.transport.base import Target
from provisioner.transport.fake import FakeTransport

ORIGIN = Origin("test")
MAIN = "/etc/postfix/main.cf"
RUNS = itertools.count()


def new_owner() -> Owner:
    return Owner(f"20260101T000000Z-{next(RUNS):06x}", "apply by somebody")


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    box = Sandbox(root_of("bookworm"), tmp_path)
    box.write("/etc/old", b"as it was\xff\n", 0o640)
    return box


def run(box: Sandbox, work: Work) -> Outcome:
    with Logins(FakeTransport({"mx1": box.run})) as logins:
        (outcome,) = pool.run(
            "test", [Target("mx1", "mx1")], logins, work, forks=1, listener=lambda _event: None
        )
    return outcome


def apply(box: Sandbox, *resources: Resource) -> str:
    """Make the host so; returns the run's ID."""
    wanted = {"mx1": Desired("mx1", resources, {"id": "here", "name": "here"})}
    planned = run(box, jobs.planning(wanted))
    assert planned.plan is not None
    owner = new_owner()
    outcome = run(box, jobs.applying(wanted, {"mx1": planned.plan}, owner))
    assert outcome.status is Status.CHANGED, outcome.error
    return owner.run


def go_back(box: Sandbox, *, run_id: str | None = None, to: int | None = None) -> Outcome:
    going = undoing.Rollback(run=run_id, to=to)
    planned = run(box, going.plan)
    if planned.status is not Status.PENDING or planned.plan is None:
        return planned
    return run(box, going.applying({"mx1": planned.plan}, new_owner()))


def error_of(outcome: Outcome) -> HostError:
    assert outcome.error is not None
    return outcome.error


def first(value: str = "one") -> tuple[Resource, ...]:
    return (
        File(ORIGIN, "/etc/postfix/maps", FileState.DIRECTORY),
        Table(ORIGIN, "/etc/postfix/maps/t", "hash", entries=(Entry(f"{value}.example", "OK"),)),
        Parameter(ORIGIN, "smtpd_banner", value),
        Parameter(ORIGIN, "readme_directory", None),
        File(ORIGIN, "/etc/old", content=b"new\n", attributes=Attributes("bin", "mail", 0o600)),
        File(ORIGIN, "/etc/new", content=b"new\n"),
    )


def state_of(box: Sandbox) -> bytes:
    return box.sh(
        "cd /etc; find postfix old new -printf '%p %y %m %u %g %l\\n' 2>/dev/null | sort;"
        "find postfix old new -type f ! -name '*.db' -exec sha256sum {} + 2>/dev/null | sort; true"
    )


def test_back_and_further_back_and_forth_again(box: Sandbox) -> None:
    before = state_of(box)
    apply(box, *first())
    one = state_of(box)
    apply(box, *first("two"))
    two = state_of(box)
    assert go_back(box).status is Status.CHANGED
    assert state_of(box) == one
    assert box.sh("postmap -q one.example hash:/etc/postfix/maps/t") == b"OK\n"
    assert go_back(box, to=0).status is Status.CHANGED
    assert state_of(box) == before
    assert go_back(box, to=2).status is Status.CHANGED
    assert state_of(box) == two
    assert box.sh("postmap -q two.example hash:/etc/postfix/maps/t") == b"OK\n"


def test_what_the_host_remembers_goes_back_too(box: Sandbox) -> None:
    apply(box, *first())
    remembered = box.read("/var/lib/provisioner/manifest.json")
    apply(box, *first("two"), File(ORIGIN, "/etc/third", content=b"x"))
    go_back(box)
    assert box.read("/var/lib/provisioner/manifest.json") == remembered
    wanted = {"mx1": Desired("mx1", first(), {"id": "here", "name": "here"})}
    assert run(box, jobs.planning(wanted)).status is Status.OK
    go_back(box, to=0)
    assert run(box, jobs.planning(wanted)).status is Status.PENDING


def test_a_run_and_all_after_it(box: Sandbox) -> None:
    before = state_of(box)
    run_id = apply(box, *first())
    apply(box, *first("two"))
    assert go_back(box, run_id=run_id).status is Status.CHANGED
    assert state_of(box) == before
    nothing = go_back(box, run_id="20200101T000000Z-000000")
    assert nothing.status is Status.OK


def test_what_somebody_changed_since_is_a_conflict(box: Sandbox) -> None:
    apply(box, *first())
    box.sh("echo by hand >>/etc/new")
    half = state_of(box)
    refused = go_back(box)
    assert refused.status is Status.CONFLICT
    assert refused.exit_code == 8
    assert isinstance(error_of(refused), Conflict)
    assert "/etc/new was changed since run" in error_of(refused).message
    assert state_of(box) == half


def test_a_plan_says_what_comes_back(box: Sandbox) -> None:
    apply(box, *first())
    planned = run(box, undoing.Rollback().plan).plan
    assert planned is not None
    told = {each.address: (str(each.action), each.after) for each in planned.changes}
    assert told["parameter:smtpd_banner"][1] == "$myhostname ESMTP $mail_name (Debian/GNU)"
    assert told["parameter:readme_directory"] == ("create", "no")
    assert told["file:/etc/new"] == ("delete", None)
    assert told["file:/etc/old"][0] == "update"
    assert any("inventory" in each for each in planned.warnings)


@pytest.mark.parametrize("to", [1, 7])
def test_further_than_there_is(box: Sandbox, to: int) -> None:
    assert "no run has changed this host" in error_of(go_back(box)).message
    apply(box, *first())
    refused = go_back(box, to=to)
    assert refused.status is Status.FAILED
    assert isinstance(error_of(refused), Failed)
    assert "the newest is 1" in error_of(refused).message


def test_ten_generations_are_kept_and_their_copies(box: Sandbox) -> None:
    for number in range(13):
        apply(box, File(ORIGIN, "/etc/old", content=b"%d\n" % number))
    records = list(box.path("/var/lib/provisioner/txn").iterdir())
    assert len(records) == 10
    copies = list(box.path("/var/lib/provisioner/before").iterdir())
    assert len(copies) == 11, "what each of the ten replaced, and what was there before us"
    assert "reach back to generation 3 only" in error_of(go_back(box, to=2)).message
    assert go_back(box, to=3).status is Status.CHANGED
    assert box.read("/etc/old") == b"2\n"


def test_the_history_tells_what_each_run_did(box: Sandbox) -> None:
    run_id = apply(box, *first())
    reading = undoing.History()
    assert run(box, reading).status is Status.OK
    (only,) = reading.found["mx1"]
    assert (only.run, only.number, only.state) == (run_id, 1, "COMMITTED")
    assert only.owner == "apply by somebody"
    assert {each.path for each in only.touched} == {
        "/etc/postfix/maps", "/etc/postfix/maps/t", MAIN, "/etc/old", "/etc/new",
    }  # fmt: skip


# ---- ending a run by hand ---------------------------------------------------------------


def unconfirmed(box: Sandbox, *resources: Resource) -> Owner:
    """A change that waits for its confirmation."""
    wanted = Desired("mx1", resources, {"id": "here", "name": "here"})
    owner = new_owner()
    session.apply(box.connection(), session.plan(box.connection(), wanted), owner)
    return owner


def test_an_unlocked_run_is_undone_at_once(box: Sandbox) -> None:
    before = state_of(box)
    owner = unconfirmed(box, *first())
    other = run(box, undoing.unlocking("20200101T000000Z-000000", new_owner()))
    assert f"it is run {owner.run} that holds this host" in error_of(other).message
    assert run(box, undoing.unlocking(owner.run, new_owner())).status is Status.CHANGED
    assert state_of(box) == before
    again = run(box, undoing.unlocking(owner.run, new_owner()))
    assert "no run holds this host" in error_of(again).message


def test_what_cannot_be_undone_is_left_as_it_stands_by_unlock(box: Sandbox) -> None:
    owner = unconfirmed(box, *first())
    box.sh("echo by hand >>/etc/new")
    half = box.sh(f"cat {MAIN} /etc/new /etc/old /etc/postfix/maps/t")
    stuck = run(box, undoing.recovering(new_owner()))
    assert stuck.status is Status.LOCKED, "it still waits for its confirmation"
    assert run(box, undoing.unlocking(owner.run, new_owner())).status is Status.CHANGED
    assert box.sh(f"cat {MAIN} /etc/new /etc/old /etc/postfix/maps/t") == half
    assert box.sh("find /etc -name '*.provisioner-*'") == b""
    wanted = {"mx1": Desired("mx1", first(), {"id": "here", "name": "here"})}
    planned = run(box, jobs.planning(wanted)).plan
    assert planned is not None
    assert {each.address for each in planned.changes} == {"file:/etc/new"}
    apply(box, *first())
    reading = undoing.History()
    run(box, reading)
    assert [each.state for each in reading.found["mx1"]] == ["ABANDONED", "COMMITTED"]
    # What stood there before the run that was given up on is not forgotten.
    assert b"as it was" in box.sh("cat /var/lib/provisioner/before/*")
