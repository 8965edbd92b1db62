"""How many processes the programs take on a host: each costs it a millisecond or two."""

from __future__ import annotations

from pathlib import Path

from sandbox import Sandbox, root_of

from provisioner.host import session
from provisioner.host.transaction import Owner
from provisioner.planning.planner import Desired
from provisioner.postfix.tables import Entry
from provisioner.resources.base import Attributes, Origin
from provisioner.resources.file import File
from provisioner.resources.parameter import Parameter
from provisioner.resources.table import Table

ORIGIN = Origin("test")
OWNER = Owner("20260101T000000Z-abcdef", "apply by somebody")
PARAMETERS = [
    Parameter(ORIGIN, "mynetworks", "127.0.0.0/8"),
    Parameter(ORIGIN, "smtpd_banner", "x"),
    Parameter(ORIGIN, "smtpd_helo_required", "yes"),
]


def wanted(tables: int, files: int) -> Desired:
    entries = (Entry("a.example", "REJECT"),)
    plain = Attributes("root", "root", 0o644)
    return Desired(
        "mx1",
        (
            *PARAMETERS,
            *(Table(ORIGIN, f"/etc/postfix/t{n}", entries=entries) for n in range(tables)),
            *(File(ORIGIN, f"/etc/f{n}", content=b"x\n", attributes=plain) for n in range(files)),
        ),
        {"id": "here", "name": "here"},
    )


def spent(folder: Path, desired: Desired) -> tuple[int, int, int]:
    """Processes of a plan, of its apply, and of the confirmation with the second look."""
    folder.mkdir()
    box = Sandbox(root_of("bookworm"), folder)
    plan = session.plan(box.connection(), desired)
    planned = box.processes
    session.apply(box.connection(), plan, OWNER)
    applied = box.processes
    assert session.confirm(box.connection(), desired, OWNER).empty
    return planned, applied, box.processes


def test_the_number_of_files_hardly_matters(tmp_path: Path) -> None:
    """Each costs an apply what gives it owner, mode and name; all else is asked for all at once."""
    few = spent(tmp_path / "few", wanted(1, 1))
    many = spent(tmp_path / "many", wanted(5, 5))
    assert few[0] == many[0] <= 11
    assert few[1] <= 80
    assert many[1] - few[1] <= 8 * 3 + 4  # somebody may wait a little longer
    assert few[2] == many[2] <= 40
