"""A table of a hundred thousand entries costs its digest, and one transfer where it differs."""

from __future__ import annotations

import pytest
from simulate import MemoryHost

from provisioner.host.probe import ProbeRequests
from provisioner.host.transaction import Owner, apply_program
from provisioner.planning.planner import Desired, plan_host
from provisioner.postfix import tables
from provisioner.postfix.tables import Entry
from provisioner.resources.base import KeyedDiff, Origin
from provisioner.resources.observed import FileRequest
from provisioner.resources.table import Table

PATH = "/etc/postfix/maps/access"
MANY = tuple(Entry(f"user{number}@example.com", "REJECT") for number in range(100_000))


def desired(*entries: Entry) -> Desired:
    return Desired("mx1", (Table(Origin("test"), PATH, entries=entries),))


@pytest.fixture(scope="module")
def host() -> MemoryHost:
    """One that has the table."""
    made = MemoryHost.with_postfix("myhostname = mx1.example\n")
    made.apply(plan_host(desired(*MANY), made.observe(desired(*MANY).resources)))
    return made


def test_unchanged_it_is_not_transferred(host: MemoryHost) -> None:
    wanted = desired(*MANY)
    observed = host.observe(wanted.resources)
    assert observed.paths[PATH].content is None
    (request,) = [each for each in wanted.requests() if isinstance(each, FileRequest)]
    assert request.known == observed.paths[PATH].digest
    asked = ProbeRequests(wanted.requests())
    assert len(asked.files) == 3
    assert plan_host(wanted, observed).empty


def test_what_changed_is_told_and_sent_compressed(host: MemoryHost) -> None:
    changed = (*MANY[:500], Entry("user500@example.com", "OK"), *MANY[502:], Entry("new@x", "OK"))
    wanted = desired(*changed)
    plan = plan_host(wanted, host.observe(wanted.resources))
    (change,) = plan.changes
    assert change.diff == KeyedDiff(
        added=(("new@x", "OK"),),
        removed=(("user501@example.com", "REJECT"),),
        changed=(("user500@example.com", "REJECT", "OK"),),
    )
    program = apply_program(plan, Owner("run", "somebody"))
    assert len(program.payload()) < len(wanted.resources[0].content) / 5  # type: ignore[attr-defined]


def test_lines_are_only_compared_where_each_stands_for_itself(host: MemoryHost) -> None:
    """A value that goes on in the next line is read whole."""
    folded = "folded@example.com REJECT\n  for a reason\n" + tables.render(MANY)
    host.nodes[PATH].content = folded.encode()
    wanted = desired(Entry("folded@example.com", "REJECT  for a reason"), *MANY)
    (change,) = plan_host(wanted, host.observe(wanted.resources)).changes
    assert change.diff == KeyedDiff((), (), ())
