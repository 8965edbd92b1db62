"""The rehearsal: what is told to the throw-away Postfix on a host, and what comes back.

One implementation for three uses: within `apply`, before the first rename; of staged files
that are thrown away afterwards (`plan --rehearse`); of a copy of the live files, which
changes nothing on the host (`verify`, `ask`). Conversations and expectations travel as data,
a line each; the host itself compares, so that no round trip is added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

from provisioner.errors import Failed
from provisioner.host import frames
from provisioner.host.program import Program, resource_text
from provisioner.planning.plan import Compile, HostPlan, Remove, Restore, Write
from provisioner.policy.conversation import Decision, PolicyTest, Reply, Stage, Verdict
from provisioner.policy.strangers import is_anybody

#: In the order in which perl has to see them.
PARTS = (
    *("tools", "cover", "copy", "scene", "examine", "files", "backends", "standins"),
    *("converse", "trace", "judge", "main"),
)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal found.

    `findings`: what is wrong with the configuration itself, without what the live files show
    as well. `verdicts`: of every test, in their order; a test failed if its verdict says so
    (`Verdict.failed`). `failed_before`: names of those that fail on the live files too, where
    that was asked. `notes`: what was left out, and why.
    """

    findings: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    failed_before: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The verdicts that are not as expected."""
        return tuple(each for each in self.verdicts if each.failed)


def add_staged(
    program: Program,
    plan: HostPlan,
    tests: Sequence[PolicyTest] = (),
    *,
    backends: bool = False,
    live_policy: bool = False,
) -> None:
    """Have what is staged proven, where it concerns Postfix at all. `backends`: the change
    starts services that Postfix asks; `live_policy`: policy services and milters are asked
    themselves, not stand-ins."""
    directories: list[str] = []
    for step in plan.steps:
        match step:
            case Write(path=path, compile=type_) | Restore(path=path, compile=type_):
                program.call("rehearse_file", path, type_ or "-")
            case Compile(path, type_):
                program.call("rehearse_file", path, type_)
            case Remove(path=path, type=type_):
                program.call("rehearse_gone", path, type_ or "-")
            case _:
                continue
        directories.append(path.rpartition("/")[0] or "/")
    inside = f"{plan.config_directory}/"
    others = [each for each in dict.fromkeys(directories) if not f"{each}/".startswith(inside)]
    if plan.daemon_directory and (tests or len(others) < len(set(directories))):
        held = _held(tests)
        data = script(held, backends=backends, live_policy=live_policy)
        program.receive("rehearsal", data)
        program.call("rehearse", len(held), plan.config_directory, *others)


def add_live(program: Program, tests: Sequence[PolicyTest], *, live_policy: bool = False) -> None:
    """Hold the tests with a copy of the live files: the last call of a program."""
    program.send("rehearse_live", script(_held(tests), live_policy=live_policy))


def _held(tests: Sequence[PolicyTest]) -> list[PolicyTest]:
    return [test for test in tests if not test.skip]


def script(
    tests: Sequence[PolicyTest], *, backends: bool = False, live_policy: bool = False
) -> bytes:
    """The program that runs in the rehearsal's namespaces, its data behind it."""
    lines = [_test_line(test) for test in tests]
    lines += ["backends"] * backends + ["live"] * live_policy
    return b"\n".join([_program(), b"__END__", *(line.encode("ascii") for line in lines), b""])


@cache
def _program() -> bytes:
    lines = "\n".join(resource_text(f"perl/{part}.pl") for part in PARTS).splitlines()
    return "\n".join(
        stripped for line in lines if (stripped := line.strip()) and not stripped.startswith("#")
    ).encode("ascii")


def _test_line(test: PolicyTest) -> str:
    said, expect = test.conversation, test.expect
    client = said.client
    pairs: list[tuple[str, str | bytes | None]] = [
        ("name", test.name),
        ("service", said.service),
        ("address", client.address),
        ("client", client.name),
        ("reverse", client.reverse_name),
        ("login", client.login),
        ("anybody", "1" if is_anybody(said) else None),
        ("tls", "1" if client.tls else ""),
        ("helo", said.helo),
        ("sender", said.sender),
        ("message", said.message),
        ("until", said.until),
        ("policy", said.policy or None),
        ("milter", said.milter or None),
        ("text", expect.text),
        *(("to", each) for each in said.recipients),
        *(("command", each) for each in said.commands),
        *(("reply", each) for each in expect.replies),
        *(("offers", each) for each in expect.offers),
        *(("lacks", each) for each in expect.lacks),
        *(("asks", each) for each in expect.asks),
    ]
    words = [f"{key}={_encoded(value)}" for key, value in pairs if value is not None]
    return " ".join(["test", *words])


def _encoded(value: str | bytes) -> str:
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return quote_from_bytes(data, safe="@:,;<>()[]/+")


# ---- what came back -----------------------------------------------------------------------


def read(answer: bytes, nonce: str, tests: Sequence[PolicyTest] = ()) -> Rehearsal | None:
    """The rehearsal that a host's answer tells of; None if it holds none."""
    reports = {
        frame.words[1]: frame.text().splitlines()
        for frame in frames.split(answer, nonce)
        if frame.kind == "report" and len(frame.words) > 1
    }
    if not reports:
        return None
    live = reports.get("live", [])
    lines = reports.get("planned", live)
    if "complete" not in lines and "finding the rehearsal broke off" not in lines:
        lines = [*lines, "finding the rehearsal broke off"]
    known = {line for line in live if "planned" in reports and line.startswith("finding ")}
    verdicts = {each.test: each for each in _verdicts(lines)}
    held = _held(tests)
    return Rehearsal(
        findings=tuple(_texts(lines, "finding", known)),
        verdicts=tuple(
            verdicts.get(test.name) or Verdict(test.name, fault=_NOT_HELD, failed=("fault",))
            for test in held
        ),
        failed_before=frozenset(
            each.test for each in _verdicts(live) if "planned" in reports and each.failed
        ),
        notes=tuple(_texts(lines, "note", set())),
    )


class Disproved(Failed):
    """A rehearsal found what forbids the change; `found` says all of it."""

    def __init__(self, host: str, found: Rehearsal) -> None:
        self.found = found
        said = [*found.findings[:5]]
        if found.failed:
            names = ", ".join(f'"{each.test}"' for each in found.failed[:3])
            more = f" and {len(found.failed) - 3} more" if found.failed[3:] else ""
            said.append(f"policy tests fail: {names}{more}")
        super().__init__(
            host,
            "rehearsal",
            "; ".join(said),
            help="this was found before anything was touched; nothing was changed",
        )


def check(host: str, found: Rehearsal) -> None:
    """Raises `Disproved` where the rehearsal found what forbids the change."""
    if found.findings or found.failed:
        raise Disproved(host, found)


_STAGES = frozenset(Stage)
_NOT_HELD = "this conversation was not held: the configuration is too broken to start Postfix"


def _texts(lines: Sequence[str], kind: str, known: set[str]) -> Iterator[str]:
    for line in lines:
        word, _, text = line.partition(" ")
        if word == kind and line not in known:
            yield text[:1000]


def _verdicts(lines: Sequence[str]) -> Iterator[Verdict]:
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "verdict":
            yield _verdict(rest)


def _verdict(line: str) -> Verdict:
    said: dict[str, list[str]] = {}
    for word in line.split():
        name, _, value = word.partition("=")
        text = unquote_to_bytes(value).decode("utf-8", "surrogateescape")
        said.setdefault(name, []).append(text)

    def one(name: str) -> str:
        return said.get(name, [""])[0]

    replies = zip(*(said.get(name, ()) for name in ("stage", "said", "code", "text")), strict=False)
    return Verdict(
        test=one("test"),
        replies=tuple(
            Reply(Stage(stage), what, code, text)
            for stage, what, code, text in replies
            if stage in _STAGES and re.fullmatch(r"\d{3}", code)
        ),
        offers=tuple(said.get("offers", ())),
        decision=Decision(*said["decision"][:4]) if "decision" in said else None,
        asked=tuple(said.get("restriction", ())),
        fault=one("fault"),
        failed=tuple(said.get("failed", ())),
        questions=tuple(said.get("question", ())),
    )
