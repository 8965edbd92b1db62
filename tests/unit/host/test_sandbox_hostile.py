"""What a local user without rights could leave in our way on a host, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sandbox import Sandbox, root_of

from provisioner.errors import Failed
from provisioner.host import session
from provisioner.host.transaction import Owner
from provisioner.planning.planner import Desired
from provisioner.postfix.tables import Entry
from provisioner.resources.base import Attributes, Origin, Resource
from provisioner.resources.file import File, FileState
from provisioner.resources.table import Table

ORIGIN = Origin("test")
OWNER = Owner("20260101T000000Z-abcdef", "apply by somebody")
MAPS = "/etc/postfix/maps"
ACCESS = Table(ORIGIN, f"{MAPS}/access", entries=(Entry("a.example", "REJECT"),))
#: uid 65534: `nobody` plays the user.
NOBODY = "chown -h nobody"


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return Sandbox(root_of("bookworm"), tmp_path)


def apply(box: Sandbox, *resources: Resource) -> None:
    wanted = Desired("mx1", resources, {"id": "here"})
    plan = session.plan(box.connection(), wanted)
    assert not plan.errors
    session.apply(box.connection(), plan, OWNER)


def everything(box: Sandbox) -> bytes:
    """Name, owner, mode and content of all that could have been changed."""
    return box.sh(
        "cd /; find etc usr/sbin/policy-rc.d var/lib/provisioner home -printf '%p %u %m %y %l\\n' "
        "2>/dev/null | sort; find etc home -type f -exec sha256sum {} + | sort"
    )


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (f"mkdir {MAPS}; {NOBODY} {MAPS}", f"{MAPS} belongs to nobody"),
        (f"mkdir {MAPS}; chmod 0777 {MAPS}", f"anybody may write to {MAPS}"),
        (f"{NOBODY} /etc/postfix; mkdir {MAPS}", "/etc/postfix belongs to nobody"),
        (f"mkdir -p /home/n/m; {NOBODY} /home/n; ln -s /home/n/m {MAPS}", "/home/n belongs to nob"),
        (
            f"mkdir -p {MAPS} /home/n; {NOBODY} /home/n; echo x y >/home/n/f; "
            f"ln -s /home/n/f {MAPS}/access",
            "/home/n belongs to nobody",
        ),
    ],
    ids=["theirs", "everybody's", "its parent is theirs", "behind a link", "the file is a link"],
)
def test_where_others_could_interfere_nothing_is_written(
    box: Sandbox, setup: str, words: str
) -> None:
    box.sh(setup)
    before = everything(box)
    with pytest.raises(Failed, match=words):
        apply(box, ACCESS)
    found = everything(box)
    assert [e for e in found.splitlines() if b"var/lib/provisioner" not in e] == before.splitlines()


def test_a_directory_that_is_declared_is_mended_before_it_is_used(box: Sandbox) -> None:
    box.sh(f"mkdir -m 0777 {MAPS}; {NOBODY} {MAPS}")
    declared = File(ORIGIN, MAPS, FileState.DIRECTORY, attributes=Attributes("root", "root", 0o755))
    apply(box, declared, ACCESS)
    assert box.sh(f"stat -c '%U %a' {MAPS}; postmap -q a.example hash:{MAPS}/access") == (
        b"root 755\nREJECT\n"
    )


@pytest.mark.parametrize(
    "setup",
    [
        f"mkdir /var/lib/provisioner; {NOBODY} /var/lib/provisioner",
        "mkdir /var/lib/provisioner; chmod 0777 /var/lib/provisioner",
        f"mkdir /home/n; {NOBODY} /home/n; ln -s /home/n /var/lib/provisioner",
    ],
    ids=["theirs", "everybody's", "a link to theirs"],
)
def test_a_memory_that_others_can_write_is_not_believed(box: Sandbox, setup: str) -> None:
    """A forged manifest would have --prune put back what somebody made up."""
    box.sh(setup)
    with pytest.raises(Failed, match="what is kept there is not ours"):
        apply(box, ACCESS)
    plan = Desired("mx1", (ACCESS,), {"id": "here"})
    box.sh("mv /var/lib/provisioner /var/lib/aside")
    found = session.plan(box.connection(), plan)
    box.sh("mv /var/lib/aside /var/lib/provisioner")
    before = everything(box)
    with pytest.raises(Failed, match="cannot be trusted"):
        session.apply(box.connection(), found, OWNER)
    assert everything(box) == before


def test_a_memory_behind_a_link_of_root_is_ours(box: Sandbox) -> None:
    box.sh(f"mkdir -m 0700 /srv/state; ln -s /srv/state /var/lib/provisioner; mkdir {MAPS}")
    apply(box, ACCESS)
    assert b"txn" in box.sh("ls /srv/state")


@pytest.mark.parametrize("left", ["ln -s /etc/shadow", "ln /etc/shadow", "mkfifo"])
def test_what_stands_where_we_would_stage_is_not_followed(box: Sandbox, left: str) -> None:
    """Nobody can know the name, which carries the run's random letters; were it known, the
    directory is root's alone."""
    box.sh(f"mkdir {MAPS}; {left} {MAPS}/.access.provisioner-{OWNER.run}")
    before = box.sh("cat /etc/shadow; stat -c '%a %U' /etc/shadow")
    with pytest.raises(Failed, match="there is something where"):
        apply(box, ACCESS)
    assert box.sh("cat /etc/shadow; stat -c '%a %U' /etc/shadow") == before
