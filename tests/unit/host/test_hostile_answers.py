"""A host that answers with whatever it likes: bounded, refused in a sentence, shown harmless."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioner.errors import Failed, HostError
from provisioner.fleet import jobs, pool
from provisioner.fleet.events import Event
from provisioner.fleet.outcome import Outcome, Status
from provisioner.host import frames, probe, transaction
from provisioner.host.transaction import Owner
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired
from provisioner.report.jsonlines import record
from provisioner.resources.base import Origin
from provisioner.resources.file import File
from provisioner.transport.base import Exchange, Limits, Target
from provisioner.transport.collect import Collected
from provisioner.transport.fake import FakeTransport
from provisioner.transport.shell import JUNK_BYTES, Bootstrap, Dialogue

NONCE = "0123456789abcdef0123456789abcdef"
WANTED = Desired("mx1", (File(Origin("test"), "/etc/motd", content=b"x"),))
ASKED = probe.ProbeRequests(WANTED.requests())
RED = "\x1b]0;gotcha\x07\x1b[31m\x9b2J\u202e\r"


def nonce_of(script: bytes) -> bytes:
    return script.rpartition(b"\nN=")[2].partition(b"\n")[0]


def outcome(answer: Callable[[bytes], bytes], work: pool.Work | None = None) -> tuple[Outcome, str]:
    """What becomes of a host that answers so, and everything that is shown of it as JSON."""
    transport = FakeTransport(
        {"mx1": lambda script, _: Exchange(0, answer(nonce_of(script)), RED.encode())}
    )
    shown: list[str] = []

    def listener(event: Event) -> None:
        shown.append(json.dumps(record(event)))

    with pool.Logins(transport) as logins:
        outcomes = pool.run(
            "plan", [Target("mx1", "mx1")], logins, work or jobs.planning({"mx1": WANTED}),
            forks=1, listener=listener,
        )  # fmt: skip
    return outcomes[0], "\n".join(shown)


ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda nonce: b"",
    "escapes": lambda nonce: RED.encode(),
    "no text": lambda nonce: b"\xff\xfe\0" * 1000,
    "frames of somebody else": lambda nonce: b"\n@@" + NONCE.encode() + b" end\n",
    "an end alone": lambda nonce: b"\n@@" + nonce + b" end\n",
    "facts of escapes": lambda nonce: (
        b"\n@@" + nonce + b" facts\ninit " + RED.encode() + b"\nmissing " + RED.encode()
        + b"\n@@" + nonce + b" end\n"
    ),
    "steps without end": lambda nonce: (b"\n@@" + nonce + b" step x") * 60_000,
    "a step of a line without end": lambda nonce: b"\n@@" + nonce + b" step " + b"x" * 300_000,
    "notes of escapes": lambda nonce: b"\n@@" + nonce + b" note " + RED.encode() + b"\n",
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_no_answer_does_harm(name: str, verb: str) -> None:
    applying = jobs.applying({"mx1": WANTED}, {"mx1": HostPlan("mx1")}, Owner("run", "me"))
    found, shown = outcome(ANSWERS[name], applying if verb == "apply" else None)
    assert found.status is Status.FAILED
    assert isinstance(found.error, HostError)
    assert found.error.step != "provisioner", found.error
    assert found.error.message.isprintable()
    assert len(found.error.message) < 3000
    for line in shown.splitlines():
        assert len(line) < 20_000
        for value in json.loads(line).values():
            assert not isinstance(value, str) or value.isprintable()


def contents(*members: bytes, names: str) -> bytes:
    body = b"".join(gzip.compress(each, mtime=0) for each in members)
    return b"\n@@" + NONCE.encode() + b" contents " + names.encode() + b"\n" + body


FACTS = f"\n@@{NONCE} facts\nuid 0\ninit systemd\n".encode()
END = f"\n@@{NONCE} end\n".encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (contents(b"x", names="0") * 2, "nobody asked"),
        (contents(b"x", names="77"), "nobody asked"),
        (contents(b"x", names="../../x"), "nobody asked"),
        (contents(b"x", b"y", names="0"), "more content"),
        (contents(b"", names="0")[:-9], "cut short"),
    ],
)
def test_contents_that_nobody_asked_for(body: bytes, words: str) -> None:
    with pytest.raises(Failed, match=words):
        probe.parse("mx1", ASKED, FACTS + body + END, NONCE)


def test_bombs_share_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file alone is small enough, all together are not."""
    monkeypatch.setattr(probe, "MAX_CONTENT", 1 << 20)
    half = bytes(600 << 10)
    bombs = contents(half, names="0") + contents(half, names="1")
    with pytest.raises(Failed, match="larger than 1 MiB"):
        probe.parse("mx1", ASKED, FACTS + bombs + END, NONCE)


def test_frames_without_end_are_nobodys_answer() -> None:
    assert frames.split(f"\n@@{NONCE} x\n".encode() * (frames.MAX_FRAMES + 1), NONCE) == []
    assert len(frames.split(f"\n@@{NONCE} x\n".encode() * frames.MAX_FRAMES, NONCE)) == (
        frames.MAX_FRAMES
    )


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("ready", [True, False])
def test_output_without_end_is_bounded_in_bytes(stream: str, ready: bool) -> None:
    """Whatever is sent: what is kept stays below the limit, and an end is made of it."""
    limits = Limits(stdout_bytes=1 << 20, stderr_bytes=1 << 14)
    dialogue = Dialogue(Target("mx1", "mx1"), Bootstrap(b"true"))
    collected = Collected(dialogue, limits, None)
    if ready:
        collected.take_stdout(dialogue.bootstrap.ready)
        collected.take_stderr(dialogue.bootstrap.ready)
    take = collected.take_stdout if stream == "stdout" else collected.take_stderr
    chunk = b"x" * 32_768
    bound = limits.stdout_bytes if ready else JUNK_BYTES
    tracemalloc.start()
    with pytest.raises(Failed) as refusal:  # noqa: PT012 - it is the sum that is refused
        for _ in range(2 * bound // len(chunk)):
            take(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert collected.received <= bound + 2 * len(chunk) + 100
    assert peak < 4 * (1 << 20)
    assert len(refusal.value.message) < 1000


def test_a_watched_line_without_end_is_not_kept() -> None:
    watcher = frames.FrameWatcher(NONCE, lambda _: None)
    for _ in range(100):
        watcher(b"x" * 100_000)
    assert len(watcher._rest) <= frames.MAX_HEAD


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([
    b"@@", NONCE.encode(), b"\n", b" ", b"result", b"step", b"ok", b"failed", b"rolled_back",
    b"stale", b"locked", b"confirmed", b"end", b"\xff", b"\x1b[2J", b"\0", b"x" * 5000,
]), max_size=40).map(b"".join))  # fmt: skip
def test_any_result_is_an_end_or_an_error_with_words(answer: bytes) -> None:
    ended: HostError | None = None
    try:
        transaction.check_result("mx1", answer, NONCE)
    except HostError as error:
        ended = error
    assert ended is None or (ended.message and ended.message.isprintable())
    assert ended is None or len(ended.message) < 3000
