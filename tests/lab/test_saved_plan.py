"""Saved plans: they carry out what was shown, or refuse by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support import Site, finish, read, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

    FreshHost = Callable[..., Host]

MAIN = "/etc/postfix/main.cf"


def test_a_saved_plan_and_a_world_that_moves_on(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path
) -> None:
    still, moved = fresh_host(), fresh_host()
    site = Site(lab, tmp_path, still, moved)
    site.say_parameters(disable_vrfy_command=True)
    site.plan("-o", "saved.json", code=2)
    saved = (tmp_path / "saved.json").read_text()
    assert (tmp_path / "saved.json").stat().st_mode & 0o777 == 0o600

    # Edited by hand: refused before any host is asked.
    forged = json.loads(saved)
    forged["plan"]["hosts"][still.name]["plan"]["desired_digest"] = "0" * 64
    (tmp_path / "forged.json").write_text(json.dumps(forged))
    refused = site.apply("forged.json", code=3)
    assert "changed after it was written" in refused.err
    (tmp_path / "torn.json").write_text(saved[: len(saved) // 2])
    assert "not a saved plan" in site.apply("torn.json", code=3).err

    # One host was edited since: it is stale and left alone, the other goes on.
    text = read(lab, moved, MAIN)
    write(lab, moved, MAIN, text + "# a note by hand\n")
    done = site.apply("saved.json", code=7)
    assert f"{moved.name}: stale" in done.err
    assert MAIN in done.err
    assert read(lab, moved, MAIN) == text + "# a note by hand\n"
    assert "disable_vrfy_command = yes\n" in read(lab, still, MAIN)
    site.plan("-l", still.name, code=0)

    # Carried out already: what it was bound to is gone.
    assert f"{still.name}: stale" in site.apply("saved.json", "-l", still.name, code=7).err

    # The inventory wants something else by now.
    site.plan("-o", "later.json", "-l", moved.name, code=2)
    site.say_parameters(disable_vrfy_command=False)
    done = site.apply("later.json", "-l", moved.name, code=7)
    assert "wants something else" in done.err
    assert read(lab, moved, MAIN) == text + "# a note by hand\n"


def test_changed_owner_or_mode_makes_a_plan_stale(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path
) -> None:
    host = fresh_host()
    site = Site(lab, tmp_path, host)
    site.say_parameters(disable_vrfy_command=True)
    site.plan("-o", "saved.json", code=2)
    lab.exec(host, f"chmod 0640 {MAIN}")
    assert MAIN in site.apply("saved.json", code=7).err
    assert "disable_vrfy_command" not in read(lab, host, MAIN)


def test_two_controllers_at_once(lab: Lab, fresh_host: FreshHost, tmp_path: Path) -> None:
    """The lock is a real one: whoever holds it is named, and its death frees it."""
    host = fresh_host()
    site = Site(lab, tmp_path, host)
    site.say_parameters(disable_vrfy_command=True)
    holder = "apply by alice@elsewhere, process 4711"
    lab.exec(
        host,
        "mkdir -m 0700 /var/lib/provisioner; cd /var/lib/provisioner; "
        f"echo '{holder}' >owner; flock lock sleep 300 >/dev/null 2>&1 & echo $! >/root/holder",
    )
    lab.exec(host, "until ! flock -n /var/lib/provisioner/lock true; do sleep 0.05; done")
    before = read(lab, host, MAIN)
    done = site.apply(code=7)
    assert f"{host.name}: locked" in done.err
    assert holder in done.err
    assert read(lab, host, MAIN) == before
    lab.exec(host, "pkill -P $(cat /root/holder); kill $(cat /root/holder); true")
    lab.exec(host, "until flock -n /var/lib/provisioner/lock true; do sleep 0.05; done")
    site.settle()


def test_two_controllers_race(lab: Lab, fresh_host: FreshHost, tmp_path: Path) -> None:
    """Whichever wins, both end well or are told why, and the host is whole."""
    host = fresh_host()
    site = Site(lab, tmp_path, host)
    site.say_parameters(disable_vrfy_command=True)
    running = [site.start("apply", "-y") for _ in range(3)]
    ended = [finish(each) for each in running]
    assert {each.code for each in ended} <= {0, 7}, [each.err for each in ended]
    assert 0 in {each.code for each in ended}
    site.plan(code=0)
    assert read(lab, host, MAIN).count("disable_vrfy_command") == 1
