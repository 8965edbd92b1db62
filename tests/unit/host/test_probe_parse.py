"""What a probe's answer is taken for, and that no answer does harm."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from simulate import sha256

from provisioner.errors import Failed
from provisioner.host.probe import MAX_CONTENT, ProbeRequests, parse
from provisioner.host.program import Program
from provisioner.planning.planner import Desired, plan_host
from provisioner.resources.base import Origin
from provisioner.resources.file import File
from provisioner.resources.observed import Observed, PathKind
from provisioner.resources.package import Package
from provisioner.resources.parameter import Parameter
from provisioner.resources.table import Table
from provisioner.resources.unit import Unit

NONCE = "00112233445566778899aabbccddeeff"
ORIGIN = Origin("test")
WANTED = Desired(
    "mx1",
    (
        Parameter(ORIGIN, "myhostname", "mx1.example"),
        Table(ORIGIN, "/etc/postfix/access"),
        File(ORIGIN, "/etc/motd", content=b"hello\n"),
        Package(ORIGIN, "postfix"),
        Unit(ORIGIN, "postfix"),
    ),
)
ASKED = ProbeRequests(WANTED.requests())
MAIN = b"myhostname = old\n# \xff\n" + b"# pad\n" * 1000
MASTER = b"smtp inet n - y - - smtpd\n"


def frame(*words: str, body: bytes = b"") -> bytes:
    return b"\n@@" + NONCE.encode() + b" " + " ".join(words).encode() + b"\n" + body


def state(content: bytes, path: str) -> bytes:
    return f"file 644 root root {sha256(content)} {len(content)} {path}\n".encode()


STATES = {
    "/etc/motd": b"missing\n",
    "/etc/postfix/access": b"missing\n",
    "/etc/postfix/main.cf": state(MAIN, "/etc/postfix/main.cf"),
    "/etc/postfix/master.cf": state(MASTER, "/etc/postfix/master.cf"),
}
MANIFEST = {
    "version": 1,
    "inventory": {"id": "here"},
    "resources": {"parameter:a": {"before": {"present": True, "value": "\udce9"}}},
    "activated": {},
}
FACTS = b"""uid 0
system debian 12
init systemd
packages dpkg-query
postfix 3.7.11
config /etc/postfix
daemons /usr/lib/postfix/sbin
queue /var/spool/postfix
default_type hash
types hash cidr pcre
master 123
unit postfix@-.service
"""


def index(path: str) -> str:
    return str([file.path for file in ASKED.files].index(path))


def contents(**instead: bytes | None) -> bytes:
    """What a host sends of its files and its memory, one gzip member each."""
    given: dict[str, bytes | None] = {
        "main": MAIN,
        "master": MASTER,
        "manifest": json.dumps(MANIFEST).encode(),
        "pending": b"reload x\n",
        **instead,
    }
    sent = {NAMES.get(name, name): body for name, body in given.items() if body is not None}
    return frame("contents", *sent, body=b"".join(map(gzip.compress, sent.values())))


NAMES = {
    "main": index("/etc/postfix/main.cf"),
    "master": index("/etc/postfix/master.cf"),
    "manifest": "manifest.json",
}
CONTENTS = contents()
FRAMES = {
    "facts": frame("facts", body=FACTS),
    "states": frame("states", body=b"".join(STATES[file.path] for file in ASKED.files)),
    "managed": frame("managed", body=b"/etc/old\nmissing\n"),
    "contents": contents(),
    "table": frame("table", "0", "hash", "missing"),
    "packages": frame("packages", body=b"installed postfix 3.7.11-0\n"),
    "unit": frame(
        "unit", "postfix", "LoadState=loaded", "ActiveState=inactive", "UnitFileState=enabled"
    ),
    "end": frame("end"),
}
ANSWER = b"".join(FRAMES.values())


def without(*names: str, **instead: bytes) -> bytes:
    return b"".join(instead.get(k, v) for k, v in FRAMES.items() if k not in names)


def test_the_sample_answers_what_is_asked() -> None:
    """So that the tests below are about answers as the host program gives them."""
    program = Program("probe.sh", nonce=NONCE)
    ASKED.add_calls(program)
    calls = program.script().decode().rpartition(f"N={NONCE}")[2]
    assert f"{index('/etc/postfix/main.cf')} /etc/postfix/main.cf ''" in calls
    assert "probe_tables /etc/postfix/access indexed" in calls
    assert calls.endswith("probe_end\n} | at_once\n")


def test_a_whole_answer() -> None:
    found = parse("mx1", ASKED, b"Welcome!\n" + ANSWER, NONCE)
    assert found.facts.postfix_version == "3.7.11"
    assert found.facts.map_types == {"hash", "cidr", "pcre"}
    assert found.paths["/etc/postfix/main.cf"].content == MAIN
    assert found.paths["/etc/motd"].kind is PathKind.MISSING
    assert found.paths["/etc/old"].kind is PathKind.MISSING
    assert found.main_cf is not None
    assert found.main_cf.get("myhostname") == "old"
    assert found.packages == {"postfix": "3.7.11-0"}
    assert found.units["postfix"].active == "active", "its master runs, whatever the wrapper says"
    assert found.manifest == MANIFEST
    assert found.pending == "reload x\n"
    assert not plan_host(WANTED, found).errors


def test_a_new_host() -> None:
    found = parse(
        "mx1", ASKED, without("managed", contents=contents(manifest=None, pending=None)), NONCE
    )
    assert (found.manifest, found.pending) == (None, "")


def test_a_unit_that_is_not_there() -> None:
    unit = frame("unit", "postfix", "LoadState=not-found", "ActiveState=inactive", "UnitFileState=")
    assert parse("mx1", ASKED, without(unit=unit), NONCE).units["postfix"].enabled == "disabled"


def test_paths_may_hold_what_python_takes_for_line_ends() -> None:
    line = b"file 644 root root - 0 /srv/a\xc2\x85b\xe2\x80\xa8\x0cc\n"
    states = frame("states", body=FRAMES["states"].partition(b"states\n")[2].replace(
        b"missing\n", line, 1))  # fmt: skip
    known = ASKED.files[0]
    answer = without(states=states)
    if known.content:
        with pytest.raises(Failed, match="content of"):
            parse("mx1", ASKED, answer, NONCE)
    else:
        assert "\x85" in parse("mx1", ASKED, answer, NONCE).paths[known.path].real


REFUSED = {
    "nothing": (b"", "the answer is incomplete"),
    "cut short": (without("end"), "the answer is incomplete"),
    "another nonce": (ANSWER.replace(NONCE.encode(), NONCE[::-1].encode()), "incomplete"),
    "not root": (without(facts=FRAMES["facts"].replace(b"uid 0", b"uid 1")), "not logged in as"),
    "no facts": (without("facts"), "says nothing of facts"),
    "no states": (without("states"), "says nothing of states"),
    "no unit": (without("unit"), "says nothing of the unit postfix"),
    "no table": (without("table"), "says nothing of the table /etc/postfix/access"),
    "no main.cf": (without(contents=contents(main=None)), "content of /etc/postfix/main.cf is"),
    "too few states": (without(states=frame("states", body=b"missing\n")), "zip"),
    "damaged gzip": (without(contents=CONTENTS[:120] + b"\0\0" + CONTENTS[122:]), ""),
    "truncated gzip": (without(contents=CONTENTS[:-9]), "cut short"),
    "no gzip": (without(contents=CONTENTS.replace(b"\x1f\x8b", b"xx")), "header"),
    "more than it names": (without(contents=CONTENTS + b"x"), "more content than it names"),
    "other content": (without(contents=contents(master=b"x")), "changed while it was read"),
    "content of nothing": (without(contents=contents(**{"99": b""})), "99"),
    "content of a negative number": (without(contents=contents(**{"-1": b""})), "-1"),
    "an odd kind": (without(states=FRAMES["states"].replace(b"file 644", b"door 644", 1)), "door"),
    "an odd mode": (without(states=FRAMES["states"].replace(b"file 644", b"file 9", 1)), ""),
    "no init": (without(facts=FRAMES["facts"].replace(b"init", b"tini")), "init"),
    "manifest no JSON": (without(contents=contents(manifest=b"{")), "is damaged"),
    "manifest a list": (without(contents=contents(manifest=b"[1]")), "another version"),
    "manifest of the future": (
        without(contents=contents(manifest=b'{"version": 99}')), "another version",
    ),
    "manifest in part": (without(contents=contents(manifest=b'{"version": 1}')), "part of it"),
    "manifest nonsense": (
        without(contents=contents(
            manifest=json.dumps(MANIFEST).encode().replace(b'"present": true', b'"present": [1]')
        )),
        "parameter:a",
    ),
    "manifest without end": (without(contents=contents(manifest=b"[" * 100_000)), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_believed_names_the_host(answer: bytes, words: str) -> None:
    with pytest.raises(Failed) as refusal:
        parse("mx1", ASKED, answer, NONCE)
    assert refusal.value.host == "mx1"
    assert refusal.value.step == "probe"
    assert words in refusal.value.message


def test_content_without_end_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * (MAX_CONTENT + 2), 1)
    answer = without(contents=frame("contents", NAMES["main"], body=bomb))
    with pytest.raises(Failed, match="larger than 256 MiB"):
        parse("mx1", ASKED, answer, NONCE)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The answer with bytes changed, cut, doubled or frames shuffled."""
    frames = draw(st.permutations(list(FRAMES)))[: draw(st.integers(0, len(FRAMES)))]
    names = draw(st.sampled_from([list(FRAMES), [*frames, "end"]]))
    answer = bytearray(b"".join(FRAMES[name] for name in names))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(answer) - 1)))
        match draw(st.sampled_from(["set", "insert", "delete", "word"])):
            case "set" if answer:
                answer[place] = draw(st.integers(0, 255))
            case "insert":
                answer[place:place] = draw(st.binary(max_size=5))
            case "delete":
                del answer[place : place + draw(st.integers(1, 30))]
            case "word":
                words = [
                    b"\n",
                    b" ",
                    b"-1",
                    b"99999999999999999999",
                    b"\xff",
                    b"{}",
                    b"null",
                    b"=",
                    b"0",
                ]
                answer[place : place + 2] = draw(st.sampled_from(words))
    return bytes(answer)


@given(mutated())
@example(ANSWER)
def test_any_answer_gives_an_observation_or_a_failure(answer: bytes) -> None:
    try:
        found = parse("mx1", ASKED, answer, NONCE)
    except Failed as failure:
        assert failure.host == "mx1"  # noqa: PT017 - either outcome is right
        return
    assert isinstance(found, Observed)
    if found.facts.missing_tools:
        return  # such a host is refused by the names of its tools, and never planned
    plan = plan_host(WANTED, found)
    assert plan.host == "mx1"
