"""The commands: exit codes, messages, what goes to which stream."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from sandbox import Sandbox, root_of, running_postfix

from provisioner.cli import main
from provisioner.errors import HostError, Unreachable
from provisioner.transport.base import Exchange
from provisioner.transport.fake import Answer, FakeTransport

Run = Callable[..., tuple[int, str, str]]
Hosts = Mapping[str, Answer | HostError]

SITE = "- hosts: mx\n  roles: [postfix]\n"
INVENTORY = "mx:\n  hosts:\n    mx1:\n    mx2:\n"
BANNER = "postfix:\n  packages: []\n  parameters:\n    smtpd_banner: x\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with two hosts, and nothing of this machine's environment."""
    site = tmp_path / "site"
    (site / "inventory" / "group_vars").mkdir(parents=True)
    (site / "site.yml").write_text(SITE)
    (site / "inventory" / "hosts.yml").write_text(INVENTORY)
    (site / "inventory" / "group_vars" / "mx.yml").write_text(BANNER)
    monkeypatch.chdir(site)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CI", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    return site


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line against `hosts`; gives exit code, standard output and error."""

    def command(*arguments: str, hosts: Hosts | None = None) -> tuple[int, str, str]:
        transport = FakeTransport(hosts or {})
        monkeypatch.setattr("provisioner.cli.workspace.open_transport", lambda: transport)
        capsys.readouterr()
        code = main.run(list(arguments))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return command


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    inside = tmp_path / "box"
    inside.mkdir()
    found = Sandbox(root_of("bookworm"), inside)
    running_postfix(found)
    return found


def mute(_script: bytes, _payload: bytes) -> Exchange:
    return Exchange(127, b"", b"sh: not found\n")


# ---- bad input -------------------------------------------------------------------------

WRONG = {
    "no such command": (["pln"], ["there is no command 'pln'", "Did you mean plan?"]),
    "no such option": (["plan", "--nope"], ["--nope"]),
    "forks that are none": (["plan", "-f", "0"], ["0"]),
    "no such inventory": (["plan", "-i", "nowhere.yml"], ["nowhere.yml"]),
    "no such site": (["plan", "--site", "nowhere.yml"], ["nowhere.yml"]),
    "nobody matches": (["plan", "-l", "zzz"], ["zzz"]),
    "no such plan": (["apply", "nowhere.plan"], ["nowhere.plan"]),
    "nobody to ask": (["apply", "--json"], ["--json leaves nobody to ask", "add -y"]),
    "a plan that is none": (["apply", "site.yml", "-y"], ["site.yml", "not a saved plan"]),
    "no such role": (["roles", "postfx"], ["postfx", "did you mean postfix?"]),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG.values(), ids=WRONG)
def test_wrong_usage_ends_with_3(run: Run, arguments: list[str], words: list[str]) -> None:
    code, out, err = run(*arguments)
    assert code == 3
    assert out == ""
    for each in words:
        assert each in err


BROKEN = {
    "site that is no YAML": ("site.yml", "- hosts: [mx\n", "site.yml:"),
    "site with an unknown key": ("site.yml", "- hosts: mx\n  rolls: [postfix]\n", "site.yml:2:3"),
    "site with an unknown role": ("site.yml", "- hosts: mx\n  roles: [postfx]\n", "site.yml:2:11"),
    "site for nobody": ("site.yml", "- hosts: web\n  roles: [postfix]\n", "site.yml"),
    "inventory that is no YAML": ("inventory/hosts.yml", "mx: {hosts: [\n", "hosts.yml:"),
    "unknown option": ("inventory/group_vars/mx.yml", "postfix:\n  paramters: {}\n", "mx.yml:2:3"),
    "wrong type": ("inventory/group_vars/mx.yml", "postfix:\n  absent: yes\n", "mx.yml:2:11"),
    "a port that is none": ("inventory/group_vars/mx.yml", "ansible_port: smtp\n", "mx.yml:1:15"),
}  # fmt: skip


@pytest.mark.parametrize(("file", "text", "place"), BROKEN.values(), ids=BROKEN)
def test_what_is_written_wrong_is_pointed_at(
    run: Run, folder: Path, file: str, text: str, place: str
) -> None:
    (folder / file).write_text(text)
    code, out, err = run("plan")
    assert code == 3
    assert out == ""
    assert place in err
    assert "error: " in err
    if place[-1].isdigit():
        assert "\n      |" in err
        assert "^" in err


def test_every_mistake_is_told_in_one_run(run: Run, folder: Path) -> None:
    (folder / "inventory/group_vars/mx.yml").write_text("postfix:\n  paramters: {}\n  absnt: []\n")
    _, _, err = run("plan")
    assert err.count("error: ") == 2


def test_a_site_without_inventory(run: Run, folder: Path) -> None:
    for file in sorted((folder / "inventory").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (folder / "inventory").rmdir()
    code, _, err = run("plan")
    assert code == 3
    assert "inventory" in err


# ---- hosts that fail -------------------------------------------------------------------


def test_one_dead_host_is_named_with_its_cause(run: Run) -> None:
    dead = Unreachable("mx2", "connect", "no route to host", help="is it up?")
    code, out, err = run("plan", "-l", "mx2", hosts={"mx2": dead})
    assert code == 5
    assert "mx2: unreachable: connect: no route to host" in err
    assert "is it up?" in err
    assert "No host could be planned." in out


def test_a_host_that_fails_counts_more_than_one_that_is_dead(run: Run) -> None:
    code, _, err = run("plan", hosts={"mx1": mute, "mx2": Unreachable("mx2", "connect", "gone")})
    assert code == 4
    assert "sh: not found" in err


@pytest.mark.parametrize("command", ["plan", "status"])
def test_json_is_one_document_whatever_happens(run: Run, command: str) -> None:
    code, out, _ = run(command, "--json", hosts={"mx1": mute})
    found = json.loads(out)
    assert code == 4
    assert found["version"] == 1
    assert {host: entry["status"] for host, entry in found["hosts"].items()} == {
        "mx1": "failed", "mx2": "unreachable",
    }  # fmt: skip
    assert found["hosts"]["mx1"]["error"]["step"] == "probe"


def test_apply_as_json_is_a_line_an_event(run: Run) -> None:
    code, out, _ = run("apply", "-y", "--json", hosts={"mx1": mute})
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 4
    assert records[0]["version"] == 1
    assert {r["host"]: r["status"] for r in records if r["event"] == "host_ended"} == {
        "mx1": "failed", "mx2": "unreachable",
    }  # fmt: skip


def test_the_inventory_as_json(run: Run) -> None:
    code, out, _ = run("inventory", "--list")
    assert code == 0
    assert set(json.loads(out)["mx"]["hosts"]) == {"mx1", "mx2"}


def test_a_fault_of_ours_is_one_hosts(run: Run) -> None:
    def faulty(_script: bytes, _payload: bytes) -> Exchange:
        raise AssertionError("what")

    code, _, err = run("plan", "-l", "mx1", hosts={"mx1": faulty})
    assert code == 4
    assert "a fault of this program: AssertionError: what" in err


def test_ctrl_c_while_planning(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("provisioner.fleet.pool._collect", stop)
    code, out, err = run("plan", hosts={"mx1": mute})
    assert code == 130
    assert "interrupted" in err
    assert out == ""


# ---- hosts that answer -----------------------------------------------------------------


def only(folder: Path) -> None:
    (folder / "inventory" / "hosts.yml").write_text("mx:\n  hosts:\n    mx1:\n")


def test_from_drift_to_none(run: Run, folder: Path, box: Sandbox) -> None:
    only(folder)
    hosts = {"mx1": box.run}
    code, out, _ = run("plan", hosts=hosts)
    assert code == 2
    assert "update parameter:smtpd_banner" in out
    assert "mx.yml:4:19" in out
    assert "Plan: 1 host to change" in out
    code, out, _ = run("status", hosts=hosts)
    assert (code, "differs: parameter:smtpd_banner" in out) == (2, True)
    code, out, _ = run("apply", "--check", hosts=hosts)
    assert (code, "smtpd_banner" in out) == (2, True)
    assert b"ESMTP" in box.sh("postconf -h smtpd_banner")
    code, out, err = run("apply", "-y", hosts=hosts)
    assert (code, "1 changed" in out) == (0, True), err
    assert box.sh("postconf -h smtpd_banner") == b"x\n"
    code, out, _ = run("plan", hosts=hosts)
    assert code == 0
    assert "No changes" in out
    code, out, _ = run("status", "--json", hosts=hosts)
    assert (code, json.loads(out)["hosts"]["mx1"]["status"]) == (0, "ok")
    code, _, _ = run("apply", hosts=hosts)
    assert code == 0, "nothing to do, nobody to ask"


def test_without_a_terminal_nobody_can_say_yes(run: Run, folder: Path, box: Sandbox) -> None:
    only(folder)
    code, _, err = run("apply", hosts={"mx1": box.run})
    assert code == 3
    assert "standard input is not a terminal" in err
    assert "-y" in err
    assert b"ESMTP" in box.sh("postconf -h smtpd_banner")


def test_a_saved_plan_and_what_becomes_of_it(run: Run, folder: Path, box: Sandbox) -> None:
    only(folder)
    hosts = {"mx1": box.run}
    code, _, err = run("plan", "-o", "p.json", hosts=hosts)
    assert (code, "saved: p.json (1 host)" in err) == (2, True)
    assert stat.S_IMODE((folder / "p.json").stat().st_mode) == 0o600
    code, out, _ = run("apply", "p.json", "--check", hosts=hosts)
    assert (code, "smtpd_banner" in out) == (2, True)

    box.sh("echo '# hand' >>/etc/postfix/main.cf")
    code, _, err = run("apply", "p.json", "-y", hosts=hosts)
    assert code == 7
    assert "main.cf is not what it was" in err

    run("plan", "-o", "p.json", hosts=hosts)
    variables = folder / "inventory" / "group_vars" / "mx.yml"
    variables.write_text(BANNER.replace("smtpd_banner: x", "smtpd_banner: y"))
    code, _, err = run("apply", "p.json", "-y", hosts=hosts)
    assert code == 7
    assert "the inventory wants something else by now" in err

    variables.write_text(BANNER)
    text = (folder / "p.json").read_text()
    assert "main.cf" in text
    (folder / "p.json").write_text(text.replace("main.cf", "evil.cf", 1))
    code, _, err = run("apply", "p.json", "-y", hosts=hosts)
    assert code == 3
    assert "was changed after it was written" in err
    (folder / "p.json").write_text(text)
    code, _, err = run("apply", "p.json", "-y", hosts=hosts)
    assert code == 0, err
    assert box.sh("postconf -h smtpd_banner") == b"x\n"


def test_a_plan_that_cannot_be_saved(run: Run, folder: Path, box: Sandbox) -> None:
    only(folder)
    code, _, err = run("plan", "-o", "no/such/folder/p.json", hosts={"mx1": box.run})
    assert code == 3
    assert "the plan cannot be saved" in err


def test_a_host_that_cannot_hold_it(run: Run, folder: Path, box: Sandbox) -> None:
    only(folder)
    (folder / "inventory/group_vars/mx.yml").write_text(
        "postfix:\n  packages: []\n  tables:\n    /etc/postfix: {entries: {a: b}}\n"
    )
    code, _, err = run("apply", "-y", hosts={"mx1": box.run})
    assert code == 4
    assert "mx.yml:4:" in err
    assert "/etc/postfix is a directory" in err


def test_two_inventories_do_not_fight(run: Run, folder: Path, box: Sandbox) -> None:
    only(folder)
    hosts = {"mx1": box.run}
    assert run("apply", "-y", hosts=hosts)[0] == 0
    other = folder / "other"
    (other / "group_vars").mkdir(parents=True)
    (other / "hosts.yml").write_text("mx:\n  hosts:\n    mx1:\n")
    (other / "group_vars" / "mx.yml").write_text(BANNER.replace(": x", ": theirs"))
    code, out, err = run("apply", "-y", "-i", "other", hosts=hosts)
    assert code == 8
    assert "managed by another inventory" in out
    assert "--take-over" in err
    assert box.sh("postconf -h smtpd_banner") == b"x\n"
    assert run("apply", "-y", "-i", "other", "--take-over", hosts=hosts)[0] == 0


def test_hosts_with_the_same_plan_are_shown_once(run: Run, box: Sandbox) -> None:
    code, out, _ = run("plan", "-f", "1", hosts={"mx1": box.run, "mx2": box.run})
    assert code == 2
    assert "mx1, mx2 (2 hosts):" in out
    assert out.count("update parameter:smtpd_banner") == 1


# ---- the program itself ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["plan", "--help"], 0),
        (["nope"], 3),
        (["plan", "x"], 3),
    ],
)
def test_as_a_process(folder: Path, arguments: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "provisioner", *arguments],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) is (code == 0)


def test_a_reader_that_goes_away(folder: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m provisioner roles postfix | true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
