"""Lookup tables on a real host: compiled forms that went missing or stale, hand edits,
sources that postmap does not like, patterns that are read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from releases import chosen_releases
from support import Bench, Site, leftovers, rcpt, read, state, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Pool

    from provisioner.lab.lab import Lab

ZONE = "/etc/postfix/zone"
CHECKS = "/etc/postfix/header_checks"
ENTRIES = {"a.example": "OK", "b.example": "REJECT no thanks"}
CASES = {ZONE: {"entries": ENTRIES}, CHECKS: {"type": "regexp", "text": "/^X-Bad:/ REJECT\n"}}


def wanting(tables: dict[str, object]) -> dict[str, object]:
    return {"postfix": {"tables": tables, "parameters": {"header_checks": f"regexp:{CHECKS}"}}}


@pytest.fixture(scope="module")
def the_bench(lab: Lab, host_pool: Pool, pytestconfig: pytest.Config) -> Iterator[Bench]:
    host = host_pool.take(chosen_releases(pytestconfig)[0])
    yield Bench(lab, host)
    host_pool.give_back(host)


@pytest.fixture
def bench(the_bench: Bench) -> Bench:
    the_bench.renew()
    return the_bench


@pytest.fixture
def site(lab: Lab, bench: Bench, tmp_path: Path) -> Site:
    """Everything applied: the tests disturb it."""
    made = Site(lab, tmp_path, bench.host)
    made.say(wanting(CASES), ["postfix"])
    made.apply()
    return made


def compiled(bench: Bench) -> str:
    """The compiled form's file: its suffix depends on what the host prefers."""
    return bench.sh(f"ls -d {ZONE}.*").strip()


def query(bench: Bench, key: str) -> str:
    kind = bench.sh("postconf -h default_database_type").strip()
    return bench.sh(f"postmap -q {key} {kind}:{ZONE} || true").strip()


def test_nothing_to_do_after_the_first_apply(bench: Bench, site: Site) -> None:
    site.plan(code=0)
    assert query(bench, "b.example") == "REJECT no thanks"
    assert read(bench.lab, bench.host, ZONE).splitlines()[-2:] == [
        line for line in read(bench.lab, bench.host, ZONE).splitlines() if "example" in line
    ]


ANOTHER = "echo 'a.example OK' >/tmp/zone && postmap {kind}:/tmp/zone && cp /tmp/zone.* {db}"


@pytest.mark.parametrize(
    ("disturb", "activation"),
    [
        ("rm {db}", "reload"),
        (ANOTHER, "none"),
        ("printf 'not a database' >{db}", "reload"),
        (": >{db}", "reload"),
    ],
    ids=["removed", "of another source", "garbage", "empty"],
)
def test_compiled_form_heals_and_its_source_is_left_alone(
    bench: Bench, site: Site, disturb: str, activation: str
) -> None:
    """A process that could not open it keeps failing until it ends: that takes a reload."""
    db = compiled(bench)
    kind = bench.sh("postconf -h default_database_type").strip()
    before = bench.sh(f"stat -c '%i %Y %a' {ZONE}")
    bench.sh(disturb.format(db=db, kind=kind))
    (change,) = site.changes(bench.host)
    assert (change["address"], change["action"]) == (f"table:{ZONE}", "compile")
    assert change["activation"] == activation
    site.settle()
    assert query(bench, "b.example") == "REJECT no thanks"
    assert bench.sh(f"stat -c '%i %Y %a' {ZONE}") == before


def test_a_table_that_was_gone_serves_again(bench: Bench, site: Site) -> None:
    """smtpd met it missing and answered 451; it must not go on doing so."""
    host = bench.host
    policy = {"access_maps": {"client": {"entries": {"192.0.2.1": "REJECT"}}}}
    site.say(policy, ["postfix", "smtpd_restrictions", "access_maps"])
    site.settle()
    assert rcpt(bench.lab, host, "second", f"root@{host.fqdn}")[0] == 250
    bench.sh("rm /etc/postfix/maps/access_client*; postfix reload")
    assert rcpt(bench.lab, host, "second", f"root@{host.fqdn}")[0] == 451
    site.settle()
    assert rcpt(bench.lab, host, "second", f"root@{host.fqdn}")[0] == 250


def test_postmap_run_by_hand_is_no_difference(bench: Bench, site: Site) -> None:
    kind = bench.sh("postconf -h default_database_type").strip()
    bench.sh(f"postmap {kind}:{ZONE}")
    assert site.changes(bench.host) == []


def test_source_edited_by_hand(bench: Bench, site: Site) -> None:
    kind = bench.sh("postconf -h default_database_type").strip()
    bench.sh(f"sed -i 's/^b.example.*/b.example OK/; 1i c.example  DUNNO' {ZONE}")
    bench.sh(f"postmap {kind}:{ZONE}")
    assert query(bench, "c.example") == "DUNNO"
    (change,) = site.changes(bench.host)
    assert change["action"] == "update"
    assert change["diff"]["removed"] == [["c.example", "DUNNO"]]
    assert change["diff"]["changed"] == [["b.example", "OK", "REJECT no thanks"]]
    assert change["diff"]["added"] == []
    site.settle()
    assert (query(bench, "c.example"), query(bench, "b.example")) == ("", "REJECT no thanks")


def test_owner_and_mode_heal_without_a_rewrite(bench: Bench, site: Site) -> None:
    tables = {**CASES, ZONE: {"entries": ENTRIES}}
    site.say(
        {"access_maps": {"client": {"entries": {"192.0.2.1": "REJECT"}}}, **wanting(tables)},
        ["postfix", "smtpd_restrictions", "access_maps"],
    )
    site.apply()
    folder = "/etc/postfix/maps"
    bench.sh(f"chown admin {folder}; chmod 0777 {folder}")
    (change,) = site.changes(bench.host)
    assert change["address"] == f"file:{folder}"
    assert change["effects" if "effects" in change else "after"]
    site.settle()
    assert bench.sh(f"stat -c '%U %G %a' {folder}").strip() == "root root 755"


def test_a_source_that_postmap_warns_of_stops_everything_before_a_rename(
    bench: Bench, site: Site
) -> None:
    """A key that postmap takes for a duplicate of another: exit status 0 and a warning."""
    tables = {**CASES, ZONE: {"text": "a.example OK\na.example REJECT\nnothing-else\n"}}
    policy = wanting(tables)
    policy["postfix"]["parameters"]["disable_vrfy_command"] = True  # type: ignore[index]
    site.say(policy, ["postfix"])
    before = state(bench.lab, bench.host)
    done = site.apply(code=None)
    assert done.code in (3, 4), done.said
    assert ZONE in done.err
    assert state(bench.lab, bench.host) == before
    assert leftovers(bench.lab, bench.host) == ""


def test_patterns_that_changed_are_reloaded(bench: Bench, site: Site) -> None:
    log = "journalctl -q --no-pager | grep -c 'postfix/master.*reload' || true"
    before = int(bench.sh(log))
    site.say(
        wanting({**CASES, CHECKS: {"type": "regexp", "text": "/^X-Worse:/ REJECT\n"}}), ["postfix"]
    )
    (change,) = site.changes(bench.host)
    assert change["activation"] == "reload"
    assert any(line.startswith("-/^X-Bad:/") for line in change["diff"]["lines"])
    site.settle()
    assert int(bench.sh(log)) == before + 1


def test_patterns_edited_by_hand_and_never_reloaded(bench: Bench, site: Site) -> None:
    """Put back by hand as well: the file is as desired, running processes may not be."""
    good = read(bench.lab, bench.host, CHECKS)
    write(bench.lab, bench.host, CHECKS, "/./ REJECT everything\n")
    assert site.addresses(bench.host) == {f"table:{CHECKS}": "update"}
    site.settle()
    assert read(bench.lab, bench.host, CHECKS) == good
