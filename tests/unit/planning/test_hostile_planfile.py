"""Saved plans as somebody's editor, or somebody bad, left them: a sentence, and no more."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from simulate import MemoryHost, desire

from provisioner.cli.main import run
from provisioner.errors import InputError
from provisioner.host.transaction import Owner, apply_program
from provisioner.planning import planfile
from provisioner.planning.planner import plan_host
from provisioner.postfix.master_cf import Service
from provisioner.postfix.tables import Entry
from provisioner.resources.base import Attributes, Origin
from provisioner.resources.file import File, FileState
from provisioner.resources.parameter import Parameter
from provisioner.resources.service import MasterService
from provisioner.resources.table import Table
from provisioner.resources.unit import Unit

ORIGIN = Origin("test")
MAIN = "myhostname = old.example\nrelayhost = [a.example]\n"
WANTED = desire(
    Parameter(ORIGIN, "myhostname", "mx1.example"),
    Parameter(ORIGIN, "relayhost", None),
    MasterService(ORIGIN, "x", "unix", Service("x", "unix", command="pipe")),
    Table(ORIGIN, "/etc/postfix/access", entries=(Entry("a", "OK"),)),
    File(ORIGIN, "/etc/postfix/maps", FileState.DIRECTORY, attributes=Attributes("root", mode=448)),
    File(ORIGIN, "/etc/motd", content=b"hello\n"),
    Unit(ORIGIN, "postfix", running=False),
)


def saved_text() -> str:
    host = MemoryHost.with_postfix(MAIN, "smtp inet n - y - - smtpd\n")
    plan = plan_host(WANTED, host.observe(WANTED.resources))
    assert not plan.errors
    saved = planfile.SavedPlan({"mx1": planfile.SavedHost(plan, "SHA256:x")}, {"id": "here"})
    return planfile.dump(saved, {"mx1": WANTED}, os.urandom)


TEXT = saved_text()
VALUES: tuple[Any, ...] = (
    None, True, -1, 1e400, 2**70, "", "\0", "\n", "-x", "../../x", "\ud800", [], [[]], {},
    {"op": 1},
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*at, key))


def put(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    whole = json.loads(json.dumps(document))
    node = whole
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    return whole


def resealed(whole: dict[str, Any]) -> str:
    """With a digest that fits again, as somebody who reads this source can make it."""
    body = {key: value for key, value in whole.items() if key != "digest"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return json.dumps({**body, "digest": hashlib.sha256(text.encode()).hexdigest()})


PLACES = [place for place in places(json.loads(TEXT)) if place]


def test_every_place_of_it_is_covered_by_the_digest() -> None:
    whole = json.loads(TEXT)
    for place in PLACES:
        with pytest.raises(InputError) as refusal:
            planfile.load(json.dumps(put(whole, place, "edited")), "x.plan")
        assert refusal.value.mark
        assert "plan again" in refusal.value.help


def test_one_with_a_digest_made_up_is_refused_or_can_be_carried_out() -> None:
    """Whatever stands in it: no step that would make the host program mean something else."""
    whole = json.loads(TEXT)
    accepted = 0
    for place in PLACES:
        for value in VALUES:
            try:
                saved = planfile.load(resealed(put(whole, place, value)), "x.plan")
            except InputError:
                continue
            accepted += 1
            for host in saved.hosts.values():
                assert apply_program(host.plan, Owner("run", "me")).script()
    assert accepted > 100


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", TEXT[:-20], TEXT[: len(TEXT) // 2], "[" * 100_000,
        '{"a":' * 50_000, '{"digest": NaN, "plan": {}}', "\ud800", TEXT + TEXT,
        TEXT.replace('"format": 1', '"format": 1, "format": 1'),
        TEXT.replace('"/etc/motd"', '"/etc/shadow", "path": "/etc/motd"', 1),
        resealed({**json.loads(TEXT), "provisioner": "99.0"}),
        resealed({**json.loads(TEXT), "format": 99}),
        resealed({**json.loads(TEXT), "provisioner": ["x"] * 10_000}),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_is_no_saved_plan_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(InputError) as refusal:
        planfile.load(text, "x.plan")
    assert refusal.value.mark
    assert len(refusal.value.message) < 1000


def test_the_file_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no regular file is not read, and nobody is asked anything."""
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("endless", "dangling", "fifo", "binary", "missing", "."):
        assert run(["apply", str(tmp_path / name), "-y"]) == 3
        told = capsys.readouterr().err
        assert name in told
        assert "Traceback" not in told
