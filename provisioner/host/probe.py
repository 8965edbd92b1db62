"""The probe of one host: its program from requests, its answer as `Observed`."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from provisioner.errors import Failed
from provisioner.host.frames import Frame, split
from provisioner.host.program import Program
from provisioner.planning import manifest
from provisioner.postfix import main_cf, master_cf
from provisioner.resources.observed import (
    CompiledState,
    Facts,
    FileRequest,
    FirewallRequest,
    FirewallState,
    Observed,
    OpenTransaction,
    PackageRequest,
    PathKind,
    PathState,
    Request,
    TableRequest,
    UnitRequest,
    UnitState,
)

#: Most file content that is taken from a host, in bytes, uncompressed; and of main.cf and
#: master.cf each, which are read line by line.
MAX_CONTENT = 256 << 20
MAX_CONFIGURATION = 4 << 20

#: What a host remembers, by the names that `probe_contents` gives it.
REMEMBERED = ("manifest.json", "manifest.next", "pending")
CONFIG_DIRECTORY = "/etc/postfix"


T = TypeVar("T")


class ProbeRequests:
    """All requests of one host in a fixed order, so that answers go by number."""

    def __init__(self, requests: Iterable[Request]) -> None:
        wanted = set(requests)
        wanted |= {
            FileRequest(f"{CONFIG_DIRECTORY}/{name}", content=True)
            for name in ("main.cf", "master.cf")
        }
        self.files = _one_per_path(each for each in wanted if isinstance(each, FileRequest))
        self.tables = sorted(each for each in wanted if isinstance(each, TableRequest))
        self.packages = sorted(each.name for each in wanted if isinstance(each, PackageRequest))
        self.ports = sorted(each for each in wanted if isinstance(each, FirewallRequest))
        self.units = sorted(each.name for each in wanted if isinstance(each, UnitRequest))

    def add_calls(self, program: Program) -> None:
        """Append the probe's calls to a program that has `probe.sh` in it."""
        program.call("probe_open")
        with program.piped("at_once"):
            program.call("probe_facts")
            tables = [word for each in self.tables for word in (each.path, each.type)]
            if tables:
                program.call("probe_compiled", *tables)
            program.call("probe_paths", *(each.path for each in self.files))
            wanted = ((i, each) for i, each in enumerate(self.files) if each.content)
            program.call(
                "probe_contents",
                *(word for i, each in wanted for word in (i, each.path, each.known)),
            )
            if tables:
                program.call("probe_tables", *tables)
            if self.packages:
                program.call("probe_packages", *self.packages)
            program.call("probe_units", *self.units)
            for index, port in enumerate(self.ports):
                program.need("firewall.sh")
                program.call(
                    "probe_firewall", index, port.port, port.where or "-", port.file or "-"
                )
            program.call("probe_end")


def _one_per_path(requests: Iterable[FileRequest]) -> list[FileRequest]:
    """One request a path: content wins over state alone, unknown over known."""
    by_path: dict[str, FileRequest] = {}
    for each in sorted(requests):
        other = by_path.get(each.path)
        if other is None or (each.content, not each.known) > (other.content, not other.known):
            by_path[each.path] = each
    return list(by_path.values())


def parse(host: str, asked: ProbeRequests, answer: bytes, nonce: str) -> Observed:
    """What the answer says. Raises `Failed` for one that cannot be believed."""
    frames = split(answer, nonce)
    if not frames or frames[-1].kind != "end":
        raise Failed(host, "probe", "the answer is incomplete", help=_seen(answer))
    try:
        return _Answer(asked, frames).observed()
    except (ValueError, IndexError, KeyError, EOFError, OSError, zlib.error) as error:
        raise Failed(host, "probe", f"the answer cannot be understood: {error}") from error


def _seen(answer: bytes) -> str:
    tail = answer[-200:].decode("utf-8", "replace").strip()
    return f"the host said: {tail}" if tail else "the host said nothing"


class _Answer:
    """Reads the frames once, each kind by a method of its own."""

    def __init__(self, asked: ProbeRequests, frames: list[Frame]) -> None:
        self._asked = asked
        self._frames = frames
        self._contents = self._unpacked()

    def observed(self) -> Observed:
        facts, extra = _facts(self._one("facts"))
        if extra.get("uid", "0") != "0":
            raise ValueError("not logged in as root; become root with -b, or log in as root")
        if facts.missing_tools:
            return Observed(facts)  # without them, nothing else that it says holds
        for frame in self._all("untrusted"):
            raise ValueError(f"{' '.join(frame.words[1:])}: what is kept there is not ours")
        paths = self._paths()
        units = {frame.words[1]: _unit(frame.words[2:]) for frame in self._all("unit")}
        _complete("unit", self._asked.units, units)
        if "postfix" in units:
            active = "active" if extra.get("master") else "inactive"
            units["postfix"] = replace(units["postfix"], active=active)
        remembered, unfinished = (
            self._remembered("manifest.json"),
            self._remembered("manifest.next"),
        )
        found = Observed(
            facts=facts,
            paths=paths,
            compiled=self._tables(),
            packages=dict(self._packages()),
            units=units,
            firewall=self._firewall(),
            manifest=manifest.merged(_manifest(remembered), _manifest(unfinished)),
            unfinished=bool(unfinished),
            pending=self._remembered("pending"),
            open=self._open(),
        )
        for path in (found.main_cf_path, found.master_cf_path):
            state = found.paths.get(path)
            if state and len(state.content or b"") > MAX_CONFIGURATION:
                raise ValueError(f"{path} is larger than {MAX_CONFIGURATION >> 20} MiB")
        main, master = found.main_text, found.master_text
        return replace(
            found,
            main_cf=None if main is None else main_cf.parse(main, found.main_cf_path),
            master_cf=None if master is None else master_cf.parse(master, found.master_cf_path),
        )

    def _all(self, kind: str) -> Iterator[Frame]:
        return (frame for frame in self._frames if frame.kind == kind)

    def _one(self, kind: str) -> Frame:
        for frame in self._all(kind):
            return frame
        raise ValueError(f"it says nothing of {kind}")

    def _unpacked(self) -> dict[str, bytes]:
        """The contents that came, by number of the file asked for or name of what is remembered."""
        contents: dict[str, bytes] = {}
        expected = {*map(str, range(len(self._asked.files))), *REMEMBERED}
        room = MAX_CONTENT
        for frame in self._all("contents"):
            packed = frame.body
            for name in frame.words[1:]:
                if name not in expected:
                    raise ValueError(f"content that nobody asked for: {name[:20]!r}")
                expected.remove(name)
                contents[name], packed = _unpack(packed, room)
                room -= len(contents[name])
            if packed:
                raise ValueError("more content than it names")
        return contents

    def _remembered(self, name: str) -> str:
        return self._contents.get(name, b"").decode("utf-8", "surrogateescape")

    def _open(self) -> OpenTransaction | None:
        for frame in self._all("open"):
            _, run, state, until = frame.words
            owner, *outcome = _lines(frame)
            return OpenTransaction(run, state, int(until), owner, " ".join(outcome[1:]))
        return None

    def _paths(self) -> dict[str, PathState]:
        lines = _lines(self._one("states"))
        asked = [file.path for file in self._asked.files]
        states = {path: path_state(path, line) for path, line in zip(asked, lines, strict=True)}
        for frame in self._all("managed"):
            told = _lines(frame)
            for path, line in zip(told[::2], told[1::2], strict=True):
                states.setdefault(path, path_state(path, line))
        for name, content in self._contents.items():
            if name in REMEMBERED:
                continue
            path = _numbered(self._asked.files, name).path
            if hashlib.sha256(content).hexdigest() != states[path].digest:
                raise ValueError(f"{path} changed while it was read")
            states[path] = replace(states[path], content=content)
        for file in self._asked.files:
            state = states[file.path]
            wanted = file.content and state.kind is PathKind.FILE and state.digest != file.known
            if wanted and state.content is None:
                raise ValueError(f"the content of {file.path} is missing")
        return states

    def _tables(self) -> dict[str, CompiledState]:
        states = {}
        for frame in self._all("table"):
            _, index, type_, state, *dump = frame.words
            states[_numbered(self._asked.tables, index).path] = CompiledState(
                type_, state != "missing", state == "verified", dump[0] if dump else ""
            )
        _complete("table", (each.path for each in self._asked.tables), states)
        return states

    def _firewall(self) -> dict[FirewallRequest, FirewallState]:
        states = {}
        for frame in self._all("firewall"):
            _, index, filter_, now, kept = frame.words
            states[_numbered(self._asked.ports, index)] = FirewallState(
                filter_, now == "yes", kept == "yes"
            )
        missing = [each for each in self._asked.ports if each not in states]
        if missing:
            raise ValueError(f"it says nothing of port {missing[0].port}")
        return states

    def _packages(self) -> Iterator[tuple[str, str]]:
        for frame in self._all("packages"):
            for line in frame.text().splitlines():
                status, _, rest = line.partition(" ")
                name, _, version = rest.partition(" ")
                if status == "installed":
                    yield name, version or "present"


def _lines(frame: Frame) -> list[str]:
    """The lines of a frame; only LF ends one, a path may hold any other character."""
    return [line for line in frame.text().split("\n") if line]


def _numbered(asked: Sequence[T], index: str) -> T:
    """What was asked for under this number."""
    return dict(zip(map(str, range(len(asked))), asked, strict=True))[index]


def _complete(kind: str, asked: Iterable[str], told: Mapping[str, object]) -> None:
    missing = [name for name in asked if name not in told]
    if missing:
        raise ValueError(f"it says nothing of the {kind} {', '.join(missing)}")


def _facts(frame: Frame) -> tuple[Facts, dict[str, str]]:
    single: dict[str, str] = {}
    missing = []
    for line in frame.body.decode("utf-8", "replace").splitlines():
        word, _, rest = line.partition(" ")
        if word == "missing":
            missing.append(rest)
        else:
            single[word] = rest.strip()
    facts = Facts(
        postfix_version=single.get("postfix", ""),
        config_directory=single.get("config", CONFIG_DIRECTORY),
        daemon_directory=single.get("daemons", ""),
        queue_directory=single.get("queue", ""),
        default_database_type=single.get("default_type", ""),
        map_types=frozenset(single.get("types", "").split()),
        init=single["init"],
        postfix_unit=single.get("unit", "postfix"),
        postfix_running="master" in single,
        package_manager=single.get("packages", ""),
        system=single.get("system", ""),
        missing_tools=tuple(missing),
        broken=single.get("broken", ""),
    )
    return facts, single


def path_state(path: str, line: str) -> PathState:
    """What a line of `path_states` says. Raises ValueError for what is none."""
    kind, *rest = line.split(" ", 6)
    if kind == PathKind.MISSING:
        return PathState(path)
    mode, owner, group, digest, size, real = rest
    digest = "" if digest == "-" else digest
    return PathState(path, PathKind(kind), real, int(mode, 8), owner, group, int(size), digest)


def _unit(words: tuple[str, ...]) -> UnitState:
    said = dict(word.split("=", 1) for word in words)
    return UnitState(
        load=said.get("LoadState", "not-found"),
        active=said.get("ActiveState", "inactive"),
        enabled=said.get("UnitFileState") or "disabled",
    )


def _unpack(body: bytes, room: int) -> tuple[bytes, bytes]:
    """The content of the first gzip member, at most `room` bytes, and what follows it."""
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    content = member.decompress(body, room + 1)
    if len(content) > room:
        raise ValueError(f"the files are larger than {MAX_CONTENT >> 20} MiB")
    if not member.eof:
        raise ValueError("content that was cut short")
    return content, member.unused_data


def _manifest(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        found = json.loads(text)
        manifest.check(found)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"/var/lib/provisioner/manifest.json is damaged: {error}") from error
    return dict(found)
