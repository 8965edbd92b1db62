"""What is declared no more: found, kept, and put back as it was on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from releases import chosen_releases
from support import Bench, Site, read, state, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Pool

    from provisioner.lab.lab import Lab

OLD_TABLE = "# kept since 2009\nold.example\tOK\n"
OLD_CHECKS = "/^Old:/ WARN\n"

EVERYTHING = {
    "postfix": {
        "parameters": {
            "smtpd_banner": "$myhostname ESMTP",  # stood there with another value
            "disable_vrfy_command": True,  # was not there
            "header_checks": "regexp:/etc/postfix/header_checks",
        },
        "absent": ["biff"],  # was there
        "tables": {
            "/etc/postfix/zone": {"entries": {"new.example": "REJECT"}},  # stood there
            "/etc/postfix/header_checks": {"type": "regexp", "text": "/^New:/ WARN\n"},
            "/etc/postfix/fresh": {"entries": {"fresh.example": "OK"}},  # was not there
        },
        "services": {
            "127.0.0.1:10025/inet": {"private": "n", "command": "smtpd"},  # was not there
            "flush/unix": {"command": "flush", "wakeup": "2000?", "maxproc": "0"},  # was
        },
    },
    "access_maps": {"client": {"entries": {"192.0.2.1": "REJECT"}}},
}

NOTHING = {"postfix": {"parameters": {"mailbox_size_limit": 0}}}


@pytest.fixture(scope="module")
def the_bench(lab: Lab, host_pool: Pool, pytestconfig: pytest.Config) -> Iterator[Bench]:
    host = host_pool.take(chosen_releases(pytestconfig)[-1])
    yield Bench(lab, host)
    host_pool.give_back(host)


@pytest.fixture
def bench(the_bench: Bench) -> Bench:
    the_bench.renew()
    return the_bench


@pytest.fixture
def site(lab: Lab, bench: Bench, tmp_path: Path) -> Site:
    return Site(lab, tmp_path, bench.host)


def settings(bench: Bench) -> str:
    """The whole configuration in Postfix's own words."""
    return bench.sh("postconf -n; postconf -M")


def test_orphans_are_kept_until_pruned(bench: Bench, site: Site) -> None:
    write(bench.lab, bench.host, "/etc/postfix/zone", OLD_TABLE)
    write(bench.lab, bench.host, "/etc/postfix/header_checks", OLD_CHECKS)
    bench.sh("chown admin:mail /etc/postfix/header_checks; chmod 0640 /etc/postfix/header_checks")
    site.say(NOTHING, ["postfix"])
    site.apply()
    before_settings = settings(bench)
    before = state(bench.lab, bench.host)

    site.say(EVERYTHING, ["postfix", "smtpd_restrictions", "access_maps"])
    site.settle()
    managed = settings(bench)
    assert managed != before_settings

    # Declared no more: said, kept, and no reason for an exit code.
    site.say(NOTHING, ["postfix"])
    said = site.plan(code=0).out
    assert "o parameter:smtpd_banner is declared no more: kept" in said
    assert "o table:/etc/postfix/fresh is declared no more" in said
    site.apply(code=0)
    assert settings(bench) == managed
    assert "orphans" in site.run("status", code=0).out

    # Put back: everything that stood there before, nothing that did not.
    site.plan("--prune", code=2)
    site.apply("--prune")
    assert settings(bench) == before_settings
    after = state(bench.lab, bench.host)
    for path in ("zone", "header_checks", "fresh", "maps"):
        path = f"/etc/postfix/{path}"
        assert after.get(path) == before.get(path)
    assert read(bench.lab, bench.host, "/etc/postfix/zone") == OLD_TABLE
    compiled = {f"/etc/postfix/zone.{suffix}" for suffix in ("db", "lmdb", "cdb")}
    assert set(after) - set(before) <= compiled
    assert "declared no more" not in site.plan(code=0).out
    site.plan("--prune", code=0)


def test_what_stood_before_survives_later_changes(bench: Bench, site: Site) -> None:
    """The value put back is the one from before us, not our own earlier one."""
    write(bench.lab, bench.host, "/etc/postfix/zone", OLD_TABLE)
    for word in ("first", "second"):
        site.say(
            {
                "postfix": {
                    "parameters": {"smtpd_banner": f"{word} ESMTP"},
                    "tables": {"/etc/postfix/zone": {"entries": {f"{word}.example": "OK"}}},
                }
            },
            ["postfix"],
        )
        site.apply()
    site.say(NOTHING, ["postfix"])
    site.apply("--prune")
    assert "Debian" in bench.sh("postconf -h smtpd_banner")
    assert read(bench.lab, bench.host, "/etc/postfix/zone") == OLD_TABLE


def test_what_stood_before_survives_an_interrupted_first_run(bench: Bench, site: Site) -> None:
    """Killed between the renames and the note of what was there: the note must not be lost."""
    write(bench.lab, bench.host, "/etc/postfix/zone", OLD_TABLE)
    site.say(
        {
            "postfix": {
                "parameters": {"smtpd_banner": "ours ESMTP"},
                "tables": {"/etc/postfix/zone": {"entries": {"ours.example": "OK"}}},
            }
        },
        ["postfix"],
    )
    # The program's own shell dies at its first command after the reload.
    bench.sh(
        'printf \'#!/bin/sh\\n[ "$1" != 0.1 ] || kill -9 $PPID\\nexec /bin/sleep "$@"\\n\' '
        ">/usr/local/bin/sleep && chmod 755 /usr/local/bin/sleep"
    )
    try:
        done = site.apply(code=None)
    finally:
        bench.sh("rm /usr/local/bin/sleep")
    assert done.code in (4, 5), done.said
    assert "ours ESMTP" in bench.sh("postconf -h smtpd_banner"), "the renames had happened"
    site.settle()
    site.say(NOTHING, ["postfix"])
    site.apply("--prune")
    assert "Debian" in bench.sh("postconf -h smtpd_banner")
    assert read(bench.lab, bench.host, "/etc/postfix/zone") == OLD_TABLE


def test_owners_modes_and_units_are_put_back(bench: Bench, site: Site) -> None:
    """A directory that was there, two files that were the same but for their owners, a unit."""
    bench.sh(
        "cd /etc/postfix; mkdir -m 2770 maps; chown admin:mail maps; echo 'x.example OK' >one; "
        "cp one two; chown admin two; chmod 0600 two; systemctl disable -q --now dovecot"
    )
    site.say(NOTHING, ["postfix"])
    site.apply()
    before = state(bench.lab, bench.host)
    tables = {f"/etc/postfix/{name}": {"entries": {"y.example": "OK"}} for name in ("one", "two")}
    site.say(
        {
            "postfix": {**NOTHING["postfix"], "tables": tables},
            "access_maps": {"client": {"entries": {"192.0.2.1": "REJECT"}}},
        },
        ["postfix", "smtpd_restrictions", "access_maps", "dovecot_auth"],
    )
    site.settle()
    bench.sh("systemctl is-active dovecot && systemctl is-enabled dovecot")
    site.say(NOTHING, ["postfix"])
    site.apply("--prune")
    after = state(bench.lab, bench.host)
    for name in ("maps", "one", "two"):
        assert after[f"/etc/postfix/{name}"] == before[f"/etc/postfix/{name}"]
    said = bench.sh("systemctl is-active dovecot; systemctl is-enabled dovecot; true")
    assert said.split() == ["inactive", "disabled"]
    assert bench.sh("ls /etc/dovecot/conf.d | grep provisioner; true") == ""
    site.plan(code=0)


def test_compiled_forms_are_put_back_as_they_were(bench: Bench, site: Site) -> None:
    """One source without a compiled form, one with; our own of another type goes."""
    for name in ("alone", "both"):
        write(bench.lab, bench.host, f"/etc/postfix/{name}", "x.example OK\n")
    bench.sh("cd /etc/postfix; postmap lmdb:both; touch -d '1 hour ago' both.lmdb")
    site.say(NOTHING, ["postfix"])
    site.apply()
    before = state(bench.lab, bench.host)

    def say(kind: str) -> None:
        paths = [f"/etc/postfix/{name}" for name in ("alone", "both", "ours")]
        tables = {path: {"type": kind, "entries": {"y.example": "OK"}} for path in paths}
        site.say({"postfix": {**NOTHING["postfix"], "tables": tables}}, ["postfix"])
        site.settle()

    say("lmdb")
    # What changes its type leaves nothing behind.
    for kind in ("texthash", "lmdb", "texthash"):
        say(kind)
        found = bench.sh("ls /etc/postfix | grep lmdb; true").split()
        assert found == ([f"{n}.lmdb" for n in ("alone", "both", "ours")] if kind == "lmdb" else [])
    say("lmdb")
    site.say(NOTHING, ["postfix"])
    site.apply("--prune")
    after = state(bench.lab, bench.host)
    bench.sh("postmap -q x.example lmdb:/etc/postfix/both")
    assert {p for p in {*before, *after} if before.get(p) != after.get(p)} <= {
        "/etc/postfix",
        "/etc/postfix/both.lmdb",  # the same entries; an lmdb's bytes are not
    }
    assert "/etc/postfix/both.lmdb" in after


def test_what_was_adopted_can_be_put_back(bench: Bench, site: Site) -> None:
    """A table that was as desired when it became ours, and was edited by hand since."""
    write(bench.lab, bench.host, "/etc/postfix/zone", OLD_TABLE)
    table = {"type": "texthash", "text": OLD_TABLE}
    site.say(
        {"postfix": {**NOTHING["postfix"], "tables": {"/etc/postfix/zone": table}}}, ["postfix"]
    )
    site.settle()
    write(bench.lab, bench.host, "/etc/postfix/zone", "edited.example OK\n")
    site.say(NOTHING, ["postfix"])
    site.apply("--prune")
    assert read(bench.lab, bench.host, "/etc/postfix/zone") == OLD_TABLE


# ---- two inventories, one host ---------------------------------------------------------------


def test_another_inventory_is_named_before_it_fights(
    lab: Lab, bench: Bench, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    sites = []
    for folder, banner in ((ours, "ours"), (theirs, "theirs")):
        folder.mkdir()
        made = Site(lab, folder, bench.host)
        made.say_parameters(smtpd_banner=f"{banner} ESMTP")
        sites.append(made)
    sites[0].settle()
    said = sites[1].plan(code=2).out
    assert "managed by another inventory: " in said
    assert str(ours / "hosts.yml") in said
    done = sites[1].apply(code=8)
    assert "--take-over" in done.err
    assert "ours ESMTP" in bench.sh("postconf -h smtpd_banner")
    sites[1].apply("--take-over")
    assert "theirs ESMTP" in bench.sh("postconf -h smtpd_banner")
    sites[1].plan(code=0)
    assert str(theirs / "hosts.yml") in sites[0].plan(code=2).out
    assert sites[0].apply(code=8).err
