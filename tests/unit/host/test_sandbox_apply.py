"""The host programs, run for real in a chroot: what they change, keep, refuse and leave."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox import Sandbox, root_of, running_postfix

from provisioner.errors import Conflict, Failed, Locked, RolledBack, Stale
from provisioner.host import frames, journal, session, transaction
from provisioner.host.program import Program
from provisioner.host.transaction import Owner
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired
from provisioner.postfix.activation import Activation
from provisioner.postfix.master_cf import Service
from provisioner.postfix.tables import Entry
from provisioner.resources.base import Attributes, Origin, Resource
from provisioner.resources.file import File, FileState
from provisioner.resources.package import Package
from provisioner.resources.parameter import Parameter
from provisioner.resources.service import HOST_CHROOT, MasterService
from provisioner.resources.table import Table
from provisioner.resources.unit import Unit

ORIGIN = Origin("test")
OWNER = Owner("20260101T000000Z-abcdef", "apply by somebody")
RUNS = itertools.count()
BANNER = Parameter(ORIGIN, "smtpd_banner", "x")
MAIN = "/etc/postfix/main.cf"
MAPS = "/etc/postfix/maps"
EXECUTABLE = Attributes(mode=0o755)
MANY = tuple(Entry(f"host{number}.example", "REJECT") for number in range(2000))


@pytest.fixture(params=["dash", "bash", "busybox", "applets"])
def any_box(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    shell = "busybox" if request.param == "applets" else request.param
    return Sandbox(root_of("bookworm"), tmp_path, shell, applets=request.param == "applets")


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return Sandbox(root_of("bookworm"), tmp_path)


def desired(*resources: Resource) -> Desired:
    return Desired("mx1", resources, {"id": "here", "name": "here"})


def plan(box: Sandbox, wanted: Desired, *, prune: bool = False) -> HostPlan:
    return session.plan(box.connection(), wanted, prune=prune)


def fresh_owner() -> Owner:
    return Owner(f"20260101T000000Z-{next(RUNS):06x}", "apply by somebody")


def confirm(box: Sandbox, owner: Owner) -> None:
    program = transaction.confirm_program(owner)
    answer = box.run(program.script(), program.payload())
    journal.check_confirmed("mx1", owner.run, answer.stdout, program.nonce)


def apply(box: Sandbox, found: HostPlan) -> None:
    assert not found.errors
    owner = fresh_owner()
    session.apply(box.connection(), found, owner)
    confirm(box, owner)


def everything() -> Desired:
    """A resource of every kind that needs no booted host."""
    smtpd = Service(
        "submission", "inet", private="n", chroot=HOST_CHROOT, command="smtpd",
        options=(("syslog_name", "postfix/submission"), ("smtpd_client_restrictions", "")),
    )  # fmt: skip
    return desired(
        Package(ORIGIN, "postfix"),
        File(ORIGIN, MAPS, FileState.DIRECTORY, attributes=Attributes("root", "postfix", 0o750)),
        Table(ORIGIN, f"{MAPS}/access", entries=MANY, attributes=Attributes(group="postfix")),
        Table(ORIGIN, f"{MAPS}/body", "regexp", text="/viagra/ REJECT no '$thanks' `id`\n"),
        Parameter(ORIGIN, "virtual_alias_maps", f"indexed:{MAPS}/access"),
        Parameter(ORIGIN, "smtpd_banner", '$myhostname ESMTP it\'s "fine"'),
        Parameter(ORIGIN, "mydestination", "a.example, b.example", fold=True),
        Parameter(ORIGIN, "readme_directory", None),
        MasterService(ORIGIN, "submission", "inet", smtpd),
        File(
            ORIGIN, "/etc/cron.weekly/x", content=b"#!/bin/sh\n", attributes=Attributes(mode=0o755)
        ),
        File(ORIGIN, "/etc/empty", content=b""),
    )


# ---- the way through -------------------------------------------------------------------


def test_planned_applied_and_nothing_left(any_box: Sandbox) -> None:
    wanted = everything()
    first = plan(any_box, wanted)
    session.apply(any_box.connection(), first, OWNER)
    again = session.confirm(any_box.connection(), wanted, OWNER)
    assert (again.errors, again.changes) == ((), ())
    assert any_box.sh("postconf -h smtpd_banner virtual_alias_maps").splitlines() == [
        b'$myhostname ESMTP it\'s "fine"',
        f"hash:{MAPS}/access".encode(),
    ]
    assert any_box.sh(f"postmap -q host1999.example hash:{MAPS}/access") == b"REJECT\n"
    assert b"submission inet" in any_box.sh("postconf -M submission/inet")
    stat = any_box.sh(f"stat -c '%U:%G %a' {MAPS} {MAPS}/access /etc/cron.weekly/x /etc/empty")
    assert stat.decode().split("\n")[:4] == [
        "root:postfix 750", "root:postfix 644", "root:root 755", "root:root 644",
    ]  # fmt: skip
    assert leftovers(any_box) == []
    assert [answer.stderr for answer in any_box.answers] == [b""] * 3


def leftovers(box: Sandbox) -> list[str]:
    found = [str(path) for path in box.upper.rglob("*provisioner-*")]
    found += [str(path) for path in box.upper.rglob("*.new")]
    state = box.path("/var/lib/provisioner")
    found += [str(state / name) for name in ("open", "pending") if (state / name).is_symlink()]
    found += [str(path) for path in box.upper.rglob("*provisioner-guard*")]
    return found


def test_the_state_is_readable_by_root_alone(box: Sandbox) -> None:
    apply(box, plan(box, everything()))
    state = box.path("/var/lib/provisioner")
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "manifest.json").stat().st_mode & 0o077 == 0


def test_main_cf_is_aged(box: Sandbox) -> None:
    """Postfix programs wait while it is younger than two seconds."""
    box.sh(f"touch {MAIN}")
    apply(box, plan(box, desired(Parameter(ORIGIN, "disable_vrfy_command", "yes"))))
    age = box.sh(f"echo $(( $(date +%s) - $(stat -c %Y {MAIN}) ))")
    assert int(age) >= 2


def test_what_could_not_be_removed_goes_with_the_next_run(box: Sandbox) -> None:
    """The file system turned read-only before the backups were removed."""
    owner = fresh_owner()
    found = plan(box, desired(Parameter(ORIGIN, "disable_vrfy_command", "yes")))
    session.apply(box.connection(), found, owner)
    etc = '"$1/etc/postfix"'
    box.before_chroot = f"mount --bind {etc} {etc} && mount -o remount,bind,ro {etc}"
    confirm(box, owner)
    assert leftovers(box)
    box.before_chroot = ""
    apply(box, plan(box, desired(Parameter(ORIGIN, "disable_vrfy_command", "no"))))
    assert leftovers(box) == []


def test_pruning_puts_everything_back(any_box: Sandbox) -> None:
    any_box.write("/etc/empty", b"not empty\xff\n", 0o640)
    before = any_box.sh("cat /etc/empty; postconf -n; postconf -M")
    wanted = everything()
    apply(any_box, plan(any_box, wanted))
    assert any_box.sh("cat /etc/empty; postconf -n; postconf -M") != before
    assert plan(any_box, desired()).orphans
    apply(any_box, plan(any_box, desired(), prune=True))
    assert any_box.sh("cat /etc/empty; postconf -n; postconf -M") == before
    assert any_box.sh("stat -c %a /etc/empty") == b"640\n"
    assert any_box.sh(f"ls -d {MAPS} /etc/cron.weekly/x 2>/dev/null || echo gone") == b"gone\n"
    assert plan(any_box, desired(), prune=True).empty
    assert leftovers(any_box) == []


# ---- what stays as it is ---------------------------------------------------------------


def test_bytes_outside_the_edit_stay(any_box: Sandbox) -> None:
    old = (
        b"# \xff\xfe odd\nfirst = 1\n\n  # kept\nmyhostname = old\n"
        + b"# \xe9 pad\n" * 20000
        + b"end = 1"
    )
    any_box.write(MAIN, old)
    apply(any_box, plan(any_box, desired(Parameter(ORIGIN, "myhostname", "new"))))
    assert any_box.read(MAIN) == old.replace(b"old", b"new") + b"\n"


def test_owner_mode_acl_and_attributes_stay(box: Sandbox) -> None:
    box.sh(
        f"chown bin:mail {MAIN}; chmod 0640 {MAIN}; setfacl -m u:daemon:r {MAIN};"
        f"setfattr -n user.note -v kept {MAIN}"
    )
    about = f"stat -c '%U %G %a' {MAIN}; getfacl -p {MAIN}; getfattr -d --absolute-names {MAIN}"
    before = box.sh(about)
    apply(box, plan(box, desired(Parameter(ORIGIN, "disable_vrfy_command", "yes"))))
    assert box.sh(about) == before
    assert b'user.note="kept"' in before
    assert b"user:daemon:r--" in before


def test_a_symbolic_link_stays_one(box: Sandbox) -> None:
    box.sh(f"mkdir -p /srv/mail && mv {MAIN} /srv/mail/real && ln -s ../../srv/mail/real {MAIN}")
    wanted = desired(Parameter(ORIGIN, "disable_vrfy_command", "yes"))
    apply(box, plan(box, wanted))
    assert box.sh(f"readlink {MAIN}") == b"../../srv/mail/real\n"
    assert box.sh("tail -n 1 /srv/mail/real") == b"disable_vrfy_command = yes\n"
    assert plan(box, wanted).empty
    assert leftovers(box) == []


def test_the_rehearsal_does_not_write_behind_a_symbolic_link(tmp_path: Path) -> None:
    box = Sandbox(root_of("bookworm"), tmp_path, rehearsal=True)
    box.sh(f"mkdir -p /srv/mail && mv {MAIN} /srv/mail/real && ln -s /srv/mail/real {MAIN}")
    before = box.read("/srv/mail/real")
    refused = desired(Parameter(ORIGIN, "smtpd_recipient_restrictions", "reject_foo_bar"))
    with pytest.raises(Failed):
        apply(box, plan(box, refused))
    assert box.read("/srv/mail/real") == before
    wanted = desired(Parameter(ORIGIN, "disable_vrfy_command", "yes"))
    apply(box, plan(box, wanted))
    assert plan(box, wanted).empty


def test_a_hard_link_elsewhere_keeps_the_old_content(box: Sandbox) -> None:
    box.sh("echo old >/etc/f && ln /etc/f /root/copy")
    apply(box, plan(box, desired(File(ORIGIN, "/etc/f", content=b"new\n"))))
    assert box.sh("cat /root/copy") == b"old\n"


def test_secret_content_is_never_staged_for_others(box: Sandbox) -> None:
    """The staged file has its final mode before it has content, not the old file's."""
    box.write("/etc/s", "old\n", 0o644)
    secret = File(
        ORIGIN, "/etc/s", content=b"new-password\n", attributes=Attributes(mode=0o600), secret=True
    )
    program = transaction.apply_program(plan(box, desired(secret)), OWNER)
    spy = b'stage_take() { stat -c %a "$staged" >>/root/modes; take "$1" "$2" >>"$staged"; }\n'
    script = program.script()
    start = script.index(b"\nN=") + 1
    box.run(script[:start] + spy + script[start:], program.payload())
    assert box.read("/root/modes") == b"600\n"
    assert box.sh("stat -c %a /etc/s") == b"600\n"


# ---- what is refused -------------------------------------------------------------------


def test_a_mount_point_is_refused(box: Sandbox) -> None:
    wanted = desired(Parameter(ORIGIN, "disable_vrfy_command", "yes"))
    box.before_chroot = (
        f'cp "$1{MAIN}" "$1/root/main.cf"; mount --bind "$1/root/main.cf" "$1{MAIN}"'
    )
    found = plan(box, wanted)
    with pytest.raises(Failed, match="mount point"):
        apply(box, found)
    assert b"disable_vrfy_command" not in box.sh(f"tail -n 1 {MAIN}")
    assert leftovers(box) == []


@pytest.mark.parametrize(
    "accident",
    [
        f"echo '# hand' >>{MAIN}",
        f"chmod 0600 {MAIN}",
        f"chown bin {MAIN}",
        f"rm {MAIN}",
        f"mv {MAIN} {MAIN}.x; ln -s main.cf.x {MAIN}",
    ],
    ids=["content", "mode", "owner", "gone", "a link"],
)
def test_a_host_that_moved_on_is_stale(box: Sandbox, accident: str) -> None:
    found = plan(
        box,
        desired(
            File(ORIGIN, "/etc/f", content=b"x"), Parameter(ORIGIN, "disable_vrfy_command", "yes")
        ),
    )
    box.sh(accident)
    with pytest.raises(Stale, match=r"main\.cf is not what it was") as refusal:
        apply(box, found)
    assert refusal.value.help
    assert box.sh("ls /etc/f 2>/dev/null || echo none") == b"none\n"
    assert leftovers(box) == []


def test_a_run_that_holds_the_lock_is_named(any_box: Sandbox) -> None:
    found = plan(any_box, desired(File(ORIGIN, "/etc/f", content=b"x")))
    state = "/var/lib/provisioner"
    any_box.before_chroot = (
        f'mkdir -p "$1{state}"; echo "apply by bob@desk, process 7" >"$1{state}/owner"; '
        f'(exec 8>"$1{state}/lock"; flock 8; sleep 30) >/dev/null 2>&1 & sleep 0.3'
    )
    with pytest.raises(Locked, match="apply by bob@desk, process 7"):
        apply(any_box, found)


@pytest.mark.parametrize("size", [10, 100_000], ids=["in the script", "behind it"])
def test_a_payload_cut_short_changes_nothing(box: Sandbox, size: int) -> None:
    content = os.urandom(size // 2).hex().encode() + b"\n"
    found = plan(box, desired(File(ORIGIN, "/etc/f", content=content)))
    program = transaction.apply_program(replace(found, manifest=None), OWNER)
    answer = box.run(program.script(), program.payload()[:-1])
    with pytest.raises(Failed, match=r"did not arrive whole|cannot write"):
        transaction.check_result("mx1", answer.stdout, program.nonce)
    assert box.sh("ls /etc/f 2>/dev/null || echo none") == b"none\n"
    assert leftovers(box) == []


def test_a_manifest_cut_short_changes_nothing(box: Sandbox) -> None:
    found = plan(box, desired(File(ORIGIN, "/etc/f", content=b"x")))
    program = transaction.apply_program(found, OWNER)
    whole = program.payload()
    for missing in (1, 8, len(whole) - 2):
        answer = box.run(program.script(), whole[:-missing])
        with pytest.raises(Failed):
            transaction.check_result("mx1", answer.stdout, program.nonce)
    assert box.sh("ls /etc/f 2>/dev/null || echo none") == b"none\n"
    assert not box.path("/var/lib/provisioner/manifest.json").exists()
    assert leftovers(box) == []


def test_a_script_cut_short_changes_nothing(box: Sandbox) -> None:
    found = plan(box, desired(File(ORIGIN, "/etc/f", content=b"x" * 100)))
    program = transaction.apply_program(found, OWNER)
    lines = program.script().decode().splitlines(keepends=True)
    calls = next(number for number, line in enumerate(lines) if line.startswith("N="))
    swap = next(n for n, line in enumerate(lines) if n > calls and line.startswith("rename_all"))
    for cut in range(calls, swap):
        program = transaction.apply_program(found, fresh_owner())
        lines = program.script().decode().splitlines(keepends=True)
        answer = box.run("".join(lines[:cut]).encode(), program.payload())
        with pytest.raises(Failed, match="did not say how it ended"):
            transaction.check_result("mx1", answer.stdout, program.nonce)
        assert box.sh("ls /etc/f 2>/dev/null || echo none") == b"none\n"


def test_what_postmap_warns_of_is_not_activated(box: Sandbox) -> None:
    broken = Table(ORIGIN, "/etc/postfix/t", "hash", text="a.example\n")
    found = plan(box, desired(broken, Parameter(ORIGIN, "disable_vrfy_command", "yes")))
    with pytest.raises(Failed, match=r"postmap: .*/etc/postfix/t, line 1: expected format"):
        apply(box, found)
    assert box.sh("ls /etc/postfix/t* 2>/dev/null || echo none") == b"none\n"
    assert b"disable_vrfy_command" not in box.sh("postconf -n 2>/dev/null")
    assert leftovers(box) == []


def test_no_such_owner(box: Sandbox) -> None:
    wanted = File(ORIGIN, "/etc/f", content=b"x", attributes=Attributes("nobody-here"))
    with pytest.raises(Failed, match=r"/etc/.*f.*no such owner: nobody-here"):
        apply(box, plan(box, desired(wanted)))
    assert leftovers(box) == []


def test_a_directory_that_is_not_there(box: Sandbox) -> None:
    wanted = File(ORIGIN, "/etc/no/such/f", content=b"x")
    with pytest.raises(Failed, match="/etc/no/such/f: its directory does not exist"):
        apply(box, plan(box, desired(wanted)))


def test_a_full_disk_changes_nothing(box: Sandbox) -> None:
    box.before_chroot = 'mount -t tmpfs -o size=64k tmpfs "$1/mnt"'
    found = plan(box, desired(File(ORIGIN, "/mnt/f", content=os.urandom(200_000))))
    with pytest.raises(Failed, match="No space left"):
        apply(box, found)


# ---- runs that were broken off ---------------------------------------------------------


def interrupted(box: Sandbox, found: HostPlan, call: str) -> None:
    """Apply, and die where `call` would be made."""
    program = transaction.apply_program(found, fresh_owner())
    lines = program.script().decode("utf-8", "surrogateescape").splitlines()
    calls = next(number for number, line in enumerate(lines) if line.startswith("N="))
    place = next(n for n, line in enumerate(lines) if n > calls and line.startswith(call))
    lines.insert(place, "kill -9 $$")
    script = "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")
    answer = box.run(script, program.payload())
    assert not any(f.kind == "result" for f in frames.split(answer.stdout, program.nonce))


def recovered(box: Sandbox) -> None:
    session.recover_and_plan(box.connection(), desired(), "recover by somebody")


def state_of(box: Sandbox) -> bytes:
    return box.sh(
        "cd /etc; find . -path ./mtab -prune -o -printf '%p %y %m %u %g %l\\n' | sort;"
        "find postfix cron.weekly -type f -exec sha256sum {} + | sort"
    )


@pytest.mark.parametrize(
    "place",
    [
        "expect", "stage_begin /etc/cron", "sync_staged", "prepared", "arm_guard", "rename_all",
        "swapped", "sync_directories", "finish",
    ],
)  # fmt: skip
def test_the_next_run_undoes_a_broken_one_and_goes_its_own_way(box: Sandbox, place: str) -> None:
    wanted = everything()
    found = plan(box, wanted)
    before = state_of(box)
    interrupted(box, found, place)
    recovered(box)
    assert state_of(box) == before
    assert leftovers(box) == []
    apply(box, plan(box, wanted))
    assert plan(box, wanted).empty
    assert leftovers(box) == []
    assert box.sh(f"postmap -q host1.example hash:{MAPS}/access") == b"REJECT\n"


def test_the_journal_holds_every_boundary_in_order(box: Sandbox) -> None:
    apply(box, plan(box, everything()))
    (record,) = box.path("/var/lib/provisioner/txn").iterdir()
    lines = (record / "journal").read_text().splitlines()
    assert tuple(line.split()[0] for line in lines) == journal.BOUNDARIES


def test_what_somebody_edited_meanwhile_is_not_undone(box: Sandbox) -> None:
    """Neither what it was nor what it was to become: nothing is touched, and it is said."""
    wanted = everything()
    found = plan(box, wanted)
    interrupted(box, found, "finish")
    box.sh(f"echo '# by hand' >>{MAIN}")
    half = state_of(box)
    with pytest.raises(Conflict, match=r"nothing was touched.*main\.cf"):
        recovered(box)
    assert state_of(box) == half
    assert any("main.cf" in each for each in plan(box, wanted).warnings)
    box.sh(f"sed -i '$d' {MAIN}")
    recovered(box)
    assert leftovers(box) == []
    assert b"by hand" not in box.read(MAIN)


@pytest.mark.parametrize(
    "edit",
    [
        f"echo '# by hand' >>{MAIN}",
        "cd /etc/postfix; sed -i '$s/$/ #by hand/' main.cf",
        f"echo '# by hand' >>{MAIN}; touch -r $HERE/looked {MAIN}",
    ],
)
def test_an_edit_in_the_last_moment_stands(box: Sandbox, edit: str) -> None:
    """After the last look at the digests: in place, by a new file, within a tick of the clock."""
    found = plan(box, desired(BANNER, File(ORIGIN, "/etc/f", content=b"x")))
    owner = fresh_owner()
    program = transaction.apply_program(found, owner)
    script = program.script().replace(
        b"\nrename_all then", b"\n" + edit.encode() + b"\nrename_all then"
    )
    answer = box.run(script, program.payload())
    with pytest.raises(Stale, match=r"main\.cf"):
        transaction.check_result("mx1", answer.stdout, program.nonce)
    assert b"by hand" in box.read(MAIN)
    assert b"smtpd_banner = x" not in box.read(MAIN)
    assert box.sh("ls /etc/f 2>/dev/null || echo none") == b"none\n"
    assert leftovers(box) == []


def test_a_file_of_the_future_can_be_changed(box: Sandbox) -> None:
    """As a clock leaves it that was wrong; the look at its digest is then the last one."""
    box.sh(f"touch -d tomorrow {MAIN}")
    apply(box, plan(box, desired(BANNER)))
    assert b"smtpd_banner = x" in box.read(MAIN)


def test_of_two_decisions_the_first_stands(box: Sandbox) -> None:
    found = plan(box, desired(Parameter(ORIGIN, "disable_vrfy_command", "yes")))
    old = box.read(MAIN)
    owner = fresh_owner()
    session.apply(box.connection(), found, owner)
    box.sh(f"ln -s undone /var/lib/provisioner/txn/{owner.run}/decision")
    with pytest.raises(RolledBack, match="nobody confirmed"):
        confirm(box, owner)
    assert box.read(MAIN) == old
    with pytest.raises(RolledBack, match="nobody confirmed"):
        confirm(box, owner)
    owner = fresh_owner()
    session.apply(box.connection(), plan(box, desired(BANNER)), owner)
    box.sh(f"ln -s confirmed /var/lib/provisioner/txn/{owner.run}/decision")
    recovered(box)
    confirm(box, owner)
    assert b"smtpd_banner = x" in box.read(MAIN)
    assert leftovers(box) == []


def test_many_who_decide_at_once_read_the_same(box: Sandbox) -> None:
    owner = fresh_owner()
    session.apply(box.connection(), plan(box, desired(BANNER)), owner)
    program = Program(*journal.UNDO)
    program.call("read_transaction")
    lines = program.script().decode()
    race = "for n in 1 2 3 4 5 6 7 8; do for word in confirmed undone; do "
    race += "(decide $word; echo $DECISION) & done; done; wait\n"
    said = box.run((lines + race).encode()).stdout.split()
    assert len(said) == 16
    assert len(set(said)) == 1


def test_another_run_is_told_who_is_waited_for(box: Sandbox) -> None:
    owner = fresh_owner()
    session.apply(box.connection(), plan(box, desired(BANNER)), owner)
    wanted = desired(File(ORIGIN, "/etc/f", content=b"x"))
    said = rf"apply by somebody, run {owner.run}.* until \d\d:\d\d:\d\d UTC"
    with pytest.raises(Locked, match=said):
        apply(box, plan(box, wanted))
    assert any(owner.run in each for each in plan(box, wanted).warnings)
    confirm(box, owner)
    apply(box, plan(box, wanted))


def test_a_wait_that_is_over_is_undone_by_the_next_run(box: Sandbox) -> None:
    old = box.read(MAIN)
    owner = replace(fresh_owner(), window=0)
    session.apply(box.connection(), plan(box, desired(BANNER)), owner)
    recovered(box)
    assert box.read(MAIN) == old
    with pytest.raises(RolledBack, match="nobody confirmed"):
        confirm(box, owner)


def guarded(box: Sandbox, found: HostPlan, owner: Owner, call: str, seconds: int) -> None:
    """Apply, die where `call` would be made, and leave the guard that many seconds."""
    die_in(box, transaction.apply_program(found, owner), call, seconds)


def die_in(box: Sandbox, program: Program, call: str, seconds: int) -> None:
    lines = program.script().decode("utf-8", "surrogateescape").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("N="))
    end = next(n for n, line in enumerate(lines) if n > start and line.startswith(call))
    # The sandbox lives for as long as its first shell: it is a child that dies.
    inside = ["(", *lines[start:end], "kill -9 $(exec sh -c 'echo $PPID')", ")"]
    last = [f"sleep {seconds}"]
    box.run("\n".join([*lines[:start], *inside, *last, ""]).encode(), program.payload())


@pytest.mark.parametrize(
    "place",
    [
        "expect", "stage_begin /etc/cron", "sync_staged", "prepared", "arm_guard", "rename_all",
        "swapped", "finish",
    ],
)  # fmt: skip
def test_the_guard_undoes_what_died(box: Sandbox, place: str) -> None:
    found = plan(box, everything())
    before = state_of(box)
    guarded(box, found, fresh_owner(), place, 3)
    assert state_of(box) == before
    assert leftovers(box) == []


@pytest.mark.parametrize("place", ["stage_begin /etc/cron", "sync_staged", "stop"])
def test_a_rehearsal_that_died_leaves_nothing(box: Sandbox, place: str) -> None:
    found = plan(box, everything())
    before = state_of(box)
    die_in(box, transaction.rehearsal_program(found, fresh_owner()), place, 3)
    assert state_of(box) == before
    assert leftovers(box) == []


@pytest.mark.parametrize("before", ["start_guard", 'printf \'%s\\n\' "$OWNER" "$@"'])
def test_a_shell_killed_before_its_transaction_is_open(box: Sandbox, before: str) -> None:
    """With its guard the directory goes at once, without one in the next run."""
    found = plan(box, desired(BANNER))
    program = transaction.apply_program(found, fresh_owner())
    lines = program.script().decode("utf-8", "surrogateescape").splitlines()
    opening = lines.index("open_transaction() {")
    place = next(n for n, line in enumerate(lines) if n > opening and line.startswith(before))
    lines.insert(place, "kill -9 $(exec sh -c 'echo $PPID')")
    calls = next(n for n, line in enumerate(lines) if line.startswith("N="))
    lines = [*lines[:calls], "(", *lines[calls:], ")", "sleep 2"]
    box.run("\n".join([*lines, ""]).encode("utf-8", "surrogateescape"), program.payload())
    left = [each.name for each in box.path("/var/lib/provisioner/txn").iterdir()]
    assert len(left) == (before == "start_guard")
    apply(box, plan(box, desired(BANNER)))
    (record,) = box.path("/var/lib/provisioner/txn").iterdir()
    assert record.name not in left


def test_the_guard_undoes_what_nobody_confirms(box: Sandbox) -> None:
    found = plan(box, everything())
    before = state_of(box)
    owner = replace(fresh_owner(), window=1)
    program = transaction.apply_program(found, owner)
    script = program.script().replace(b"\nfinish ", b"\n(finish ")
    box.run(b"(" + script + b")\nsleep 4\n", program.payload())
    assert state_of(box) == before
    assert leftovers(box) == []


def test_after_a_power_failure_the_boot_undoes(box: Sandbox) -> None:
    """Before Postfix starts: the mail system is not touched."""
    running_postfix(box, "echo reload >>/root/postfix-was-told")
    found = plan(box, desired(BANNER, File(ORIGIN, "/etc/f", content=b"x")))
    before = state_of(box)
    session.apply(box.connection(), found, fresh_owner())
    assert box.sh("ls /etc/rc2.d").count(b"provisioner-guard") == 1
    box.sh("rm /root/postfix-was-told; /etc/init.d/provisioner-guard start")
    assert state_of(box) == before
    assert leftovers(box) == []
    assert box.sh("ls /root/postfix-was-told 2>/dev/null || echo none") == b"none\n"


def test_a_change_cut_short_before_the_reload_is_reloaded_away(box: Sandbox) -> None:
    """Processes that started meanwhile may have read the new file: told again, not restarted."""
    running_postfix(box, "echo reload >>/root/postfix-was-told")
    interrupted(box, plan(box, desired(BANNER)), "swapped")
    recovered(box)
    assert box.read("/root/postfix-was-told") == b"reload\n"


def test_a_manifest_waits_for_the_confirmation(box: Sandbox) -> None:
    first = desired(File(ORIGIN, "/etc/f", content=b"one"))
    apply(box, plan(box, first))
    remembered = box.read("/var/lib/provisioner/manifest.json")
    session.apply(box.connection(), plan(box, everything()), replace(fresh_owner(), window=0))
    assert box.read("/var/lib/provisioner/manifest.json") == remembered
    recovered(box)
    assert box.read("/var/lib/provisioner/manifest.json") == remembered
    assert plan(box, first).empty


def test_a_failed_reload_is_undone_and_tried_again(box: Sandbox) -> None:
    box.write("/var/log/mail.log", "")
    running_postfix(box, "echo postfix/master: fatal: no such thing >>/var/log/mail.log; exit 1")
    before = box.read(MAIN)
    wanted = desired(Parameter(ORIGIN, "disable_vrfy_command", "yes"))
    with pytest.raises(RolledBack, match="no such thing"):
        apply(box, plan(box, wanted))
    assert box.read(MAIN) == before
    assert leftovers(box) == []
    again = plan(box, wanted)
    assert again.activation is Activation.RELOAD
    running_postfix(box)
    apply(box, again)
    assert plan(box, wanted).empty


def test_undo_is_a_reload_where_nobody_died(box: Sandbox) -> None:
    """Stop and start take a busy host some seconds in which nobody is served."""
    box.write("/var/log/mail.log", "")
    running_postfix(box, "echo reload >>/root/postfix-was-told")
    wanted = desired(Parameter(ORIGIN, "smtpd_milters", "inet:127.0.0.1:9"))
    with pytest.raises(RolledBack, match=r"inet:127\.0\.0\.1:9 does not answer"):
        apply(box, plan(box, wanted))
    assert box.read("/root/postfix-was-told") == b"reload\nreload\n"
    assert leftovers(box) == []


def test_what_we_start_hears_signals(box: Sandbox) -> None:
    """The program ignores them; a daemon that inherited that could not be stopped."""
    box.write("/etc/init.d/x", "#!/bin/sh\n", 0o755)
    box.write(
        "/usr/local/sbin/service",
        '#!/bin/sh\n[ "$2" = status ] && exit 3\ngrep SigIgn /proc/self/status >>/root/ignored\n',
        0o755,
    )
    found = plan(box, desired(Unit(ORIGIN, "x", running=True, enabled=None)))
    apply(box, found)
    mask = int(box.read("/root/ignored").split()[1], 16)
    ignored = {each for each in signal.Signals if mask & 1 << (each - 1)}
    assert not ignored & {signal.SIGTERM, signal.SIGINT, signal.SIGPIPE}


def test_without_systemd_the_unit_has_its_plain_name(box: Sandbox) -> None:
    assert plan(box, desired(Unit(ORIGIN, "postfix", None, None))).postfix_unit == "postfix"


def test_the_queue_is_where_main_cf_says(box: Sandbox) -> None:
    box.sh("postconf -e queue_directory=/srv/queue")
    assert plan(box, desired()).queue_directory == "/srv/queue"


# ---- the probe -------------------------------------------------------------------------


def test_the_probe_changes_nothing(any_box: Sandbox) -> None:
    plan(any_box, everything())
    written = {
        str(path.relative_to(any_box.upper))
        for path in any_box.upper.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    assert written <= {"run/program", "usr/local/bin/busybox"}


def test_odd_things_where_files_are_wanted(any_box: Sandbox) -> None:
    any_box.sh(
        "mkdir /o; cd /o; mkfifo fifo; mkdir folder; ln -s nowhere dangling; ln -s loop loop;"
        "echo x >'with blank'; echo y >-dash; ln -s folder to-folder; echo z >unreadable;"
        "chmod 0 unreadable"
    )
    names = ["fifo", "folder", "dangling", "loop", "with blank", "-dash", "to-folder", "unreadable"]
    wanted = desired(*(File(ORIGIN, f"/o/{name}", content=b"") for name in names))
    found = plan(any_box, wanted)
    told = {error.message.partition(": ")[2] for error in found.errors}
    assert told == {
        "/o/fifo is neither a file nor a directory, a file is wanted there",
        "/o/folder is a directory, a file is wanted there",
        "/o/dangling is neither a file nor a directory, a file is wanted there",
        "/o/loop is neither a file nor a directory, a file is wanted there",
        "/o/to-folder is a directory, a file is wanted there",
    }


def test_a_host_without_postfix(any_box: Sandbox) -> None:
    any_box.sh("rm -rf /etc/postfix /usr/sbin/postconf /usr/sbin/postfix /usr/sbin/postmap")
    any_box.sh("sed -i '/^Package: postfix$/,/^$/d' /var/lib/dpkg/status")
    found = plan(any_box, everything())
    assert "postfix" in found.packages
    assert f"table:{MAPS}/access" in found.known_after_install


def test_a_broken_main_cf_can_be_repaired(box: Sandbox) -> None:
    box.sh(f"sed -i 's/^myhostname.*/myhostname = ${{x/' {MAIN}; touch -d '1 hour ago' {MAIN}")
    found = plan(box, desired(Parameter(ORIGIN, "myhostname", "mx1.example")))
    apply(box, found)
    assert b"myhostname = mx1.example" in box.read(MAIN)


def test_a_compiled_table_that_went_missing_heals(box: Sandbox) -> None:
    wanted = everything()
    apply(box, plan(box, wanted))
    box.sh(f"rm {MAPS}/access.db")
    found = plan(box, wanted)
    assert [str(change.action) for change in found.changes] == ["compile"]
    apply(box, found)
    assert box.sh(f"postmap -q host1.example hash:{MAPS}/access") == b"REJECT\n"
    assert plan(box, wanted).empty


def test_a_compiled_table_of_other_content_heals(box: Sandbox) -> None:
    wanted = everything()
    apply(box, plan(box, wanted))
    quoted = shlex.quote(f"{MAPS}/access")
    box.sh(
        f"cp {quoted} /root/t; echo 'x OK' >{quoted}; postmap hash:{quoted}; cp /root/t {quoted}"
    )
    found = plan(box, wanted)
    assert [str(change.action) for change in found.changes] == ["compile"]


def test_not_root(box: Sandbox) -> None:
    box.shell = "setpriv --reuid=nobody --clear-groups /bin/sh"
    with pytest.raises(Failed, match="not logged in as root"):
        plan(box, desired(Parameter(ORIGIN, "disable_vrfy_command", "yes")))
