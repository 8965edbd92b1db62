"""The jobs, on hosts in a chroot: what they cost, and what becomes of each host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox import Sandbox, root_of

from provisioner.errors import HostError
from provisioner.fleet import jobs, pool
from provisioner.fleet.events import Event, HostStep
from provisioner.fleet.outcome import Outcome, Status
from provisioner.fleet.pool import Logins, Work
from provisioner.host.transaction import Owner
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired
from provisioner.resources.base import Origin, Resource
from provisioner.resources.file import File
from provisioner.resources.package import Package
from provisioner.resources.parameter import Parameter
from provisioner.transport.base import Exchange, Target
from provisioner.transport.fake import FakeTransport

ORIGIN = Origin("test")
OWNER = Owner("20260101T000000Z-abcdef", "apply by somebody")
TARGET = [Target("mx1", "mx1")]
BANNER = Parameter(ORIGIN, "smtpd_banner", "$myhostname ESMTP")


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return Sandbox(root_of("bookworm"), tmp_path)


def desired(*resources: Resource, inventory: str = "here") -> dict[str, Desired]:
    return {"mx1": Desired("mx1", resources, {"id": inventory, "name": f"inventory {inventory}"})}


def run(logins: Logins, work: Work, listener: Callable[[Event], None] | None = None) -> Outcome:
    (outcome,) = pool.run(
        "test", TARGET, logins, work, forks=1, listener=listener or (lambda _event: None)
    )
    return outcome


def planned(logins: Logins, wanted: dict[str, Desired], *, apply_as: str | None = None) -> HostPlan:
    outcome = run(logins, jobs.planning(wanted, apply_as=apply_as))
    assert outcome.error is None
    assert outcome.plan is not None
    return outcome.plan


def costs(transport: FakeTransport) -> tuple[int, int]:
    """Connections and execs, all in all."""
    return len(transport.connections), len(transport.calls)


def error_of(outcome: Outcome) -> HostError:
    assert outcome.error is not None
    return outcome.error


# ---- what it costs ---------------------------------------------------------------------


def test_planning_costs_one_connection_and_one_exec(box: Sandbox) -> None:
    transport = FakeTransport({"mx1": box.run})
    with Logins(transport) as logins:
        outcome = run(logins, jobs.planning(desired(BANNER)))
    assert outcome.status is Status.PENDING
    assert costs(transport) == (1, 1)
    assert (outcome.counters.connections, outcome.counters.execs) == (1, 1)


def test_nothing_to_do_costs_a_few_kilobytes(box: Sandbox) -> None:
    wanted = desired(BANNER, File(ORIGIN, "/etc/big", content=b"x" * 500_000))
    with Logins(FakeTransport({"mx1": box.run})) as logins:
        plan = planned(logins, wanted)
        run(logins, jobs.applying(wanted, {"mx1": plan}, OWNER))
        outcome = run(logins, jobs.planning(wanted))
    assert outcome.status is Status.OK
    assert outcome.counters.bytes_received < 8_000
    assert outcome.counters.bytes_sent < 16_000


def test_plan_and_apply_cost_two_connections_and_three_execs(box: Sandbox) -> None:
    transport = FakeTransport({"mx1": box.run})
    with Logins(transport) as logins:
        plan = planned(logins, desired(BANNER), apply_as=OWNER.line)
        outcome = run(logins, jobs.applying(desired(BANNER), {"mx1": plan}, OWNER))
    assert outcome.status is Status.CHANGED
    assert costs(transport) == (2, 3)
    assert all(connection.closed for connection in transport.connections)


def test_a_saved_plan_costs_two_connections_and_two_execs(box: Sandbox) -> None:
    with Logins(FakeTransport({"mx1": box.run})) as logins:
        plan = planned(logins, desired(BANNER))
    transport = FakeTransport({"mx1": box.run})
    with Logins(transport) as logins:
        outcome = run(logins, jobs.applying(desired(BANNER), {"mx1": plan}, OWNER))
    assert outcome.status is Status.CHANGED
    assert costs(transport) == (2, 2)
    assert (outcome.counters.connections, outcome.counters.execs) == (2, 2)


def test_a_login_is_not_kept_where_there_is_nothing_to_do() -> None:
    wanted: dict[str, Desired] = {"mx1": Desired("mx1", ())}
    transport = FakeTransport({"mx1": lambda _s, _p: Exchange(0, b"", b"no shell for you\n")})
    with Logins(transport) as logins:
        outcome = run(logins, jobs.planning(wanted, apply_as=OWNER.line))
        assert logins.kept == {}
    assert error_of(outcome).message == "no shell for you"
    assert error_of(outcome).step == "probe"


# ---- what becomes of a host ------------------------------------------------------------


def test_steps_are_heard_while_they_happen(box: Sandbox) -> None:
    heard: list[Event] = []
    with Logins(FakeTransport({"mx1": box.run})) as logins:
        plan = planned(logins, desired(BANNER), apply_as=OWNER.line)
        run(logins, jobs.applying(desired(BANNER), {"mx1": plan}, OWNER), heard.append)
    steps = [event.step for event in heard if isinstance(event, HostStep)]
    assert steps[0] == "apply"
    assert steps[-2:] == ["confirm", "connect"]
    assert {"lock", "stage", "swap"} <= set(steps)


def test_a_host_that_cannot_hold_it_is_refused_before_anything(box: Sandbox) -> None:
    wanted = desired(BANNER, File(ORIGIN, "/etc/postfix", content=b"x"))
    transport = FakeTransport({"mx1": box.run})
    with Logins(transport) as logins:
        outcome = run(logins, jobs.planning(wanted, apply_as=OWNER.line))
        assert logins.kept == {}
    assert outcome.status is Status.FAILED
    assert "/etc/postfix is a directory" in error_of(outcome).message


def test_another_inventorys_host_is_not_taken_over_by_accident(box: Sandbox) -> None:
    theirs, ours = desired(BANNER, inventory="there"), desired(BANNER, inventory="here")
    with Logins(FakeTransport({"mx1": box.run})) as logins:
        run(logins, jobs.applying(theirs, {"mx1": planned(logins, theirs)}, OWNER))
        plan = planned(logins, ours)
        assert plan.rival == "inventory there"
        refused = run(logins, jobs.applying(ours, {"mx1": plan}, OWNER))
        assert refused.status is Status.CONFLICT
        assert refused.exit_code == 8
        assert "inventory there" in error_of(refused).message
        assert "--take-over" in error_of(refused).help
        again = replace(OWNER, run="20260101T000001Z-abcdef")
        taken = run(logins, jobs.applying(ours, {"mx1": plan}, again, take_over=True))
        assert taken.status is Status.CHANGED
        assert planned(logins, ours).rival == ""


def test_a_host_that_shows_another_key_is_stale(box: Sandbox) -> None:
    transport = FakeTransport({"mx1": box.run})
    with Logins(transport) as logins:
        plan = planned(logins, desired(BANNER))
        keys = {"mx1": "ssh-ed25519 SHA256:then"}
        outcome = run(logins, jobs.applying(desired(BANNER), {"mx1": plan}, OWNER, host_keys=keys))
    assert outcome.status is Status.STALE
    assert "SHA256:then" in error_of(outcome).message
    assert costs(transport) == (2, 1)


def test_what_somebody_else_changes_meanwhile_is_a_conflict(box: Sandbox) -> None:
    """The new plan must be empty; where it is not, a human has to look."""

    def meddled(script: bytes, payload: bytes) -> Exchange:
        if b"\nconfirm " in script:
            box.sh("sed -i 's/^smtpd_banner.*/smtpd_banner = theirs/' /etc/postfix/main.cf")
        return box.run(script, payload)

    with Logins(FakeTransport({"mx1": meddled})) as logins:
        plan = planned(logins, desired(BANNER))
        outcome = run(logins, jobs.applying(desired(BANNER), {"mx1": plan}, OWNER))
    assert outcome.status is Status.FAILED
    assert outcome.exit_code == 8
    assert "parameter:smtpd_banner" in error_of(outcome).message


@pytest.mark.parametrize("said", [b"", b"@@forged result ok\n", b"\n@@0 result ok\n\n@@0 end\n"])
def test_a_host_that_does_not_say_how_it_ended_has_failed(box: Sandbox, said: bytes) -> None:
    def mute(script: bytes, payload: bytes) -> Exchange:
        if b"\nbegin " in script:
            return Exchange(137, said, b"Killed\n")
        return box.run(script, payload)

    with Logins(FakeTransport({"mx1": mute})) as logins:
        plan = planned(logins, desired(BANNER))
        outcome = run(logins, jobs.applying(desired(BANNER), {"mx1": plan}, OWNER))
    assert outcome.status is Status.FAILED
    assert "did not say how it ended" in error_of(outcome).message
    assert "provisioner history mx1" in error_of(outcome).help


def test_packages_come_first_and_the_rest_is_planned_again(box: Sandbox) -> None:
    """apt-get is a stub that adds the package to dpkg's list; everything else is real."""
    box.sh("sed -i '/^Package: postfix-pcre$/,/^$/d' /var/lib/dpkg/status")
    box.write("/usr/local/sbin/apt-get", (
        '#!/bin/sh\nfor last; do :; done\n'
        '[ -e /usr/sbin/policy-rc.d ] && echo blocked >>/root/apt-saw\n'
        'printf "%s\\n" "$*" >>/root/apt-saw\n'
        'printf "\\nPackage: %s\\nStatus: install ok installed\\nArchitecture: amd64\\n'
        'Maintainer: x\\nVersion: 1\\nDescription: x\\n" "$last" >>/var/lib/dpkg/status\n'
    ), 0o755)  # fmt: skip
    wanted = desired(Package(ORIGIN, "postfix-pcre"), BANNER)
    transport = FakeTransport({"mx1": box.run})
    with Logins(transport) as logins:
        plan = planned(logins, wanted, apply_as=OWNER.line)
        assert plan.packages == ("postfix-pcre",)
        outcome = run(logins, jobs.applying(wanted, {"mx1": plan}, OWNER))
    assert outcome.error is None
    assert outcome.status is Status.CHANGED
    assert costs(transport) == (2, 4)
    assert b"blocked\n" in box.read("/root/apt-saw")
    assert b"--no-install-recommends" in box.read("/root/apt-saw")
    assert box.sh("ls /usr/sbin/policy-rc.d 2>/dev/null || echo gone") == b"gone\n"
    assert b"ESMTP" in box.sh("postconf -h smtpd_banner")


def test_a_package_that_does_not_come_is_told_in_apts_words(box: Sandbox) -> None:
    box.write(
        "/usr/local/sbin/apt-get", "#!/bin/sh\necho 'E: Unable to locate' >&2\nexit 100\n", 0o755
    )
    wanted = desired(Package(ORIGIN, "no-such-package"), BANNER)
    with Logins(FakeTransport({"mx1": box.run})) as logins:
        plan = planned(logins, wanted)
        outcome = run(logins, jobs.applying(wanted, {"mx1": plan}, OWNER))
    assert outcome.status is Status.FAILED
    assert error_of(outcome).step == "packages"
    assert "E: Unable to locate" in error_of(outcome).message
    assert box.answers[-1].stderr == b""
    assert box.sh("ls /usr/sbin/policy-rc.d 2>/dev/null || echo gone") == b"gone\n"


def test_a_host_without_tools_is_named_with_them(box: Sandbox) -> None:
    box.sh("rm /usr/bin/flock /usr/bin/sha256sum")
    with Logins(FakeTransport({"mx1": box.run})) as logins:
        outcome = run(logins, jobs.planning(desired(BANNER)))
    assert outcome.status is Status.FAILED
    assert "flock" in error_of(outcome).message
    assert "sha256sum" in error_of(outcome).message


def test_a_saved_plan_is_not_changed_by_being_applied(box: Sandbox) -> None:
    with Logins(FakeTransport({"mx1": box.run})) as logins:
        plan = planned(logins, desired(BANNER))
        before = replace(plan)
        run(logins, jobs.applying(desired(BANNER), {"mx1": plan}, OWNER))
    assert plan == before
