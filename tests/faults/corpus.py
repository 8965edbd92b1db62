"""The corpus of bad configurations, applied to a host that is well: which stage catches each,
whether the host is as before, and how long a client outside was without service."""

from __future__ import annotations

import json
import subprocess
import time
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from probing import Probe
from rig import State, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rig import Rig
    from support import Done

FOLDER = Path(__file__).with_name("corpus")

#: Where a fault can be caught, earliest first.
STAGES = ("input", "plan", "host", "health", "nobody")

#: What the host has before: something of every kind that faults are about.
BASE: dict[str, Any] = {
    "postfix": {
        "parameters": {
            "smtpd_helo_required": True,
            "smtpd_banner": "$myhostname ESMTP",
            "relayhost": "",
            "smtpd_sender_restrictions": "check_sender_access hash:/etc/postfix/senders",
        },
        "tables": {"/etc/postfix/senders": {"type": "hash", "entries": {"bad.example": "REJECT"}}},
    }
}

#: Longest time in seconds that a client may find no service, whatever was applied.
LONGEST_GAP = 5.0


@dataclass(frozen=True)
class Entry:
    """One fault, as a file of the corpus has it (corpus/README.md)."""

    name: str
    by: str
    parameters: Mapping[str, Any] | None = None
    services: Mapping[str, Any] | None = None
    tables: Mapping[str, Any] | None = None
    absent_services: tuple[str, ...] = ()
    variables: Mapping[str, Any] | None = None
    roles: tuple[str, ...] = ()
    prepare: str = ""
    cleanup: str = ""
    releases: tuple[str, ...] = ()
    why: str = ""
    file: str = ""

    def wanted(self) -> dict[str, Any]:
        """The variables of the host: what it has, and the fault."""
        found = deepcopy(BASE)
        postfix = {
            key: value
            for key in ("parameters", "services", "tables", "absent_services")
            if (value := getattr(self, key))
        }
        merge(found, {"postfix": postfix})
        merge(found, self.variables or {})
        return found


@dataclass
class Caught:
    """What became of one fault. `stage` is of `STAGES`; `harm` says what an accepted one did;
    `wrong` what must not be. `gap` is in seconds."""

    name: str
    file: str
    release: str
    by: str
    stage: str = ""
    said: str = ""
    harm: str = ""
    gap: float = 0.0
    wrong: str = ""
    seconds: float = 0.0

    @property
    def late(self) -> bool:
        return not self.stage or STAGES.index(self.stage) > STAGES.index(self.by)

    @property
    def well(self) -> bool:
        return not self.wrong and not self.late

    def __str__(self) -> str:
        late = f", not {self.by}" if self.late else ""
        return (
            f"{self.stage or 'violation':9}{late} {self.name} ({self.file}, {self.release}, gap "
            f"{self.gap} s, {self.seconds} s): {self.said}{self.harm}\n{self.wrong}"
        )

    def document(self) -> dict[str, Any]:
        return asdict(self)


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = deepcopy(value)


def load() -> list[Entry]:
    """All faults, in the order of the files."""
    return [
        Entry(**each, file=path.stem)
        for path in sorted(FOLDER.glob("*.yml"))
        for each in yaml.safe_load(path.read_text())
    ]


def make_files(folder: Path) -> None:
    """Certificates and keys that faults name (corpus/README.md)."""
    folder.mkdir(exist_ok=True)

    def openssl(command: str) -> None:
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)

    new = "req -newkey rsa:2048 -nodes -subj /CN=mail.example.org"
    openssl(f"{new} -x509 -days 30 -keyout own.key -out own.pem")
    openssl(f"{new} -keyout other.key -out other.csr")
    openssl(f"{new} -keyout expired.key -out expired.csr")
    openssl("x509 -req -in expired.csr -signkey expired.key -days -1 -out expired.pem")
    openssl("rsa -aes256 -passout pass:secret -in own.key -out locked.key")
    (folder / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nnone\n")


class Corpus:
    """The faults, one after the other on one host."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.healthy: State | None = None
        make_files(rig.site.folder / "files")

    def _recover(self) -> State:
        """The host is well, as before the first fault."""
        self.rig.site.say(BASE, ["postfix"])
        self.rig.apply()
        now = self.rig.state()
        if self.healthy is None:
            self.healthy = now
        elif now != self.healthy:
            raise Violation(f"not as before:\n{self.healthy.difference(now)}")
        self.rig.take_mail()
        return now

    def run(self, entry: Entry) -> Caught:
        """Apply the fault; a host that did not stand it is made new."""
        rig, started = self.rig, time.monotonic()
        caught = Caught(entry.name, entry.file, rig.host.release, entry.by)
        try:
            before = self.healthy or self._recover()
            if entry.prepare:
                rig.sh(entry.prepare)
                before = rig.state()
            rig.site.say(entry.wanted(), ["postfix", *entry.roles])
            with Probe(rig.lab, rig.host) as probe:
                done = rig.run("apply", "-y", "--prune", "--json")
                caught.stage, caught.said = judge(done)
                rig.wait_until_settled()
            caught.gap = round(probe.gap, 2)
            if caught.stage == "nobody":
                caught.harm = probe.said if probe.failures else "nothing that a client sees"
            else:
                self._check_unharmed(before, probe)
            if entry.cleanup:
                rig.sh(entry.cleanup, check=False)
            if caught.stage == "nobody":
                # Put back by --prune: the values, not how the lines were written.
                self.healthy = None
                self._recover()
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this fault
            caught.wrong = f"{type(error).__name__}: {error}"[:2000]
            self.healthy = None
            rig.lab.reset(rig.host)
        caught.seconds = round(time.monotonic() - started, 1)
        return caught

    def _check_unharmed(self, before: State, probe: Probe) -> None:
        rig = self.rig
        now = rig.state()
        if now != before:
            raise Violation(f"not as before:\n{before.difference(now)}")
        rig.take_mail()
        if probe.gap > LONGEST_GAP:
            raise Violation(f"no service for {probe.gap:.1f} s: {probe.said}")
        if left := rig.left_over():
            raise Violation(f"left over: {left}")


def judge(done: Done) -> tuple[str, str]:
    """The stage that a run of `apply --json` ended in, and what was said."""
    records = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    verb, steps, error, status = "", set(), "", ""
    for record in records:
        match record["event"]:
            case "run_started":
                verb = record["verb"]
            case "host_step":
                steps.add(record["step"])
            case "host_ended":
                status = record["status"]
                error = record.get("error", {}).get("message", "")
    if done.code == 3 or (done.code and not records):
        return "input", done.err.strip()
    if verb == "plan":
        return "plan", error
    if status in ("changed", "ok"):
        return "nobody", ""
    if status not in ("failed", "rolled_back") or done.code != 4:
        raise Violation(f"{status}, exit {done.code}: {error} {done.err}")
    return ("health" if steps & {"swap", "undo"} else "host"), error
