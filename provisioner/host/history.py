"""The history of a host: its program, and its answer as generations."""

from __future__ import annotations

import json
from dataclasses import replace

from provisioner.errors import Failed
from provisioner.host.frames import Frame, split
from provisioner.host.probe import path_state
from provisioner.host.program import Program
from provisioner.planning import manifest
from provisioner.planning.generations import Generation, Touched
from provisioner.postfix.activation import Activation


def program(*, manifests: bool) -> Program:
    """Asks for the history; with `manifests`, also for what the host remembered before each."""
    asking = Program("journal.sh", "history.sh")
    asking.call("tell_history", "yes" if manifests else "no")
    return asking


def parse(host: str, answer: bytes, nonce: str) -> list[Generation]:
    """In the order of their runs. Raises `Failed` for an answer that cannot be believed."""
    frames = split(answer, nonce)
    if not frames or frames[-1].kind != "end":
        raise Failed(host, "history", "the answer is incomplete")
    found: dict[str, Generation] = {}
    try:
        for frame in frames:
            if frame.kind == "generation":
                each = _generation(frame)
                found[each.run] = each
            elif frame.kind == "before":
                run = frame.words[1]
                before = json.loads(frame.text())
                manifest.check(before)
                found[run] = replace(found[run], manifest=before)
    except (ValueError, IndexError, KeyError, RecursionError) as error:
        raise Failed(host, "history", f"the answer cannot be understood: {error}") from error
    return sorted(found.values(), key=lambda each: each.run)


def _generation(frame: Frame) -> Generation:
    _, run, state, number, level = frame.words
    owner, trouble, *record = frame.text().split("\n")
    while record and not record[-1]:
        record.pop()
    if len(record) % 4:
        raise ValueError(f"the record of run {run} is damaged")
    touched: list[Touched] = []
    units: list[tuple[str, str]] = []
    ports: list[tuple[str, str, str]] = []
    rows = [record[start : start + 4] for start in range(0, len(record), 4)]
    for path, about, before, after in rows:
        if path.startswith("unit:"):
            units.append((path.removeprefix("unit:"), about))
        elif path.startswith("firewall:"):
            verb, filter_, part, *rule = path.removeprefix("firewall:").split(" ")
            ports.append((verb, " ".join([filter_, *rule]), part))
        else:
            if not path.startswith("/") or "/../" in f"{path}/":
                raise ValueError(f"the record of run {run} is damaged: {path!r} is no path")
            type_ = "" if about == "-" else about
            touched.append(Touched(path, type_, path_state(path, before), path_state(path, after)))
    return Generation(
        run,
        state,
        int(number),
        owner,
        Activation[level.upper()],
        " ".join(trouble.split()[1:]),
        tuple(touched),
        tuple(units),
        tuple(ports),
    )
