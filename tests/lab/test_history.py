"""`history`, `rollback` and `unlock` on real hosts, and records that somebody tampered with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support import Site, finish, leftovers, let_go, postconf, state
from test_guard import hold, wait_held

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host


def say(site: Site, word: str) -> None:
    entries = {f"{word}.example": "OK"}
    site.say(
        {
            "postfix": {
                "parameters": {"smtpd_banner": f"$myhostname {word}"},
                "tables": {"/etc/postfix/zone": {"type": "hash", "entries": entries}},
            }
        },
        ["postfix"],
    )


def runs(site: Site, host: Host) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.run("history", host.name, "--json", code=0).document[
        "hosts"
    ][host.name]
    return found


def contents(lab: Lab, host: Host) -> dict[str, str]:
    """Compiled tables hold the time they were made at."""
    found = state(lab, host)
    return {path: about for path, about in found.items() if not path.endswith(".db")}


def test_back_by_run_by_generation_and_forth(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    was = [contents(lab, host)]
    for word in ("one", "two", "three"):
        say(site, word)
        site.settle()
        was.append(contents(lab, host))
    made = runs(site, host)
    assert [each["generation"] for each in made] == [1, 2, 3]
    assert {each["state"] for each in made} == {"committed"}
    assert all("/etc/postfix/zone" in each["paths"] for each in made)

    site.run("rollback", "--run", made[1]["run"], "-y", code=0)
    assert contents(lab, host) == was[1]
    assert "one" in postconf(lab, host)["smtpd_banner"]
    lookup = "postmap -q one.example hash:/etc/postfix/zone"
    assert lab.exec(host, lookup).stdout == "OK\n"

    site.run("rollback", host.name, "--to", "3", "-y", code=0)
    assert contents(lab, host) == was[3]
    site.plan(code=0)
    site.run("rollback", host.name, "--to", "0", "-y", code=0)
    assert contents(lab, host) == was[0]
    assert [each["generation"] for each in runs(site, host)] == [1, 2, 3, 4, 5, 6]

    site.run("rollback", host.name, "--to", "17", "-y", code=4)
    unknown = site.run("rollback", "--run", "20260101T000000Z-abcdef", "-y", code=0)
    assert "No changes" in unknown.out
    assert contents(lab, host) == was[0]
    assert leftovers(lab, host) == ""


#: What somebody did to the records of the second of two runs (`$1`, below /var/lib/provisioner),
#: and words of the refusal.
TAMPERED = {
    "record of something else": ("printf 'a\\nb\\nc\\n' >txn/$1/record", "cannot be understood"),
    "record without an end": ("head -c 40 txn/$1/record >x; mv x txn/$1/record", "is damaged"),
    "record of another file": ("sed -i 's|/etc/postfix/zone|/etc/shadow|' txn/$1/record", "shadow"),
    "record of a path that is none": (
        "sed -i 's|^/etc/postfix/zone|zone/..|' txn/$1/record",
        "damaged",
    ),
    "record of another past": (
        'sed -i "3s/[0-9a-f]\\{64\\}/$(printf %064d)/" txn/$1/record',
        "",
    ),
    "record of another present": (
        'sed -i "4s/[0-9a-f]\\{64\\}/$(printf %064d)/" txn/$1/record',
        "was changed since",
    ),
    "copies of other content": ("for f in before/*; do echo evil >$f; done", ""),
    "copies that are links": ("for f in before/*; do ln -sf /etc/shadow $f; done", ""),
    "copies that are gone": ("rm before/*", ""),
    "memory that is none": (
        "echo '{\"resources\": 7}' >txn/$1/before.json",
        "cannot be understood",
    ),
    "number that is none": ("echo 'two' >txn/$1/generation", "cannot be understood"),
    "numbers without end": ("yes 9 | tr -d '\\n' | head -c 100000 >txn/$1/generation", ""),
    "records that others can write": ("chmod 0777 .", "what is kept there is not ours"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_record_that_was_tampered_with(
    lab: Lab, tampered: tuple[Host, Site, str], what: str
) -> None:
    """Whatever it says, the host stays as it is, and somebody is told."""
    host, site, run = tampered
    before = contents(lab, host)
    script, words = TAMPERED[what]
    lab.exec(host, ["sh", "-ec", f"cd /var/lib/provisioner; {script}", "sh", run])
    done = site.run("rollback", host.name, "-y")
    assert done.code in (4, 8), done.said
    assert words in done.said
    assert contents(lab, host) == before
    assert leftovers(lab, host) == ""
    assert site.run("history", host.name).code in (0, 4)


@pytest.fixture(scope="module")
def settled(lab: Lab, host_pool: Any, pytestconfig: pytest.Config, tmp_path_factory: Any) -> Any:
    """A host that two runs have changed, its site, and the second run."""
    from releases import chosen_releases

    host = host_pool.take(chosen_releases(pytestconfig)[-1])
    site = Site(lab, tmp_path_factory.mktemp("settled"), host)
    for word in ("one", "two"):
        say(site, word)
        site.apply()
    lab.exec(host, "cp -a /var/lib/provisioner /root/records")
    yield host, site, runs(site, host)[-1]["run"]
    host_pool.give_back(host)


@pytest.fixture
def tampered(lab: Lab, settled: tuple[Host, Site, str]) -> tuple[Host, Site, str]:
    """The same with its records as they were."""
    lab.exec(settled[0], "rm -rf /var/lib/provisioner; cp -a /root/records /var/lib/provisioner")
    return settled


def test_unlock_ends_the_run_that_is_named_and_no_other(
    lab: Lab, host: Host, tmp_path: Path
) -> None:
    site = Site(lab, tmp_path, host)
    say(site, "one")
    before = contents(lab, host)
    hold(lab, host, "postmap")
    running = site.start("apply", "-y")
    wait_held(lab, host)
    (open_run,) = runs(site, host)
    assert open_run["generation"] is None
    refused = site.run("unlock", host.name, "--txn", "20260101T000000Z-abcdef", code=4)
    assert open_run["run"] in refused.err
    site.run("unlock", host.name, "--txn", open_run["run"], code=0)
    lab.exec(host, "rm -f /root/held")
    assert finish(running).code in (4, 5, 8)
    let_go(lab, host)
    assert contents(lab, host) == before
    assert leftovers(lab, host) == ""
    assert runs(site, host) == []  # nothing had been renamed
    site.settle()
