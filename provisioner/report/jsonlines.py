"""Events as NDJSON on standard output: one record a line, the first carries `version`."""

from __future__ import annotations

import json
import sys
from typing import Any

from provisioner.fleet.events import (
    Event,
    HostEnded,
    HostNote,
    HostStarted,
    HostStep,
    RunEnded,
    RunStarted,
)
from provisioner.planning import planfile

VERSION = 1


def record(event: Event) -> dict[str, Any]:
    """One event as a JSON value."""
    match event:
        case RunStarted(verb, hosts, run):
            return {
                "version": VERSION,
                "event": "run_started",
                "verb": verb,
                "hosts": list(hosts),
                "run": run,
            }
        case HostStarted(host):
            return {"event": "host_started", "host": host}
        case HostStep(host, step):
            return {"event": "host_step", "host": host, "step": step}
        case HostNote(host, text):
            return {"event": "host_note", "host": host, "text": text}
        case HostEnded(outcome):
            ended: dict[str, Any] = {
                "event": "host_ended",
                "host": outcome.host,
                "status": str(outcome.status),
                "seconds": round(outcome.seconds, 3),
            }
            if outcome.plan:
                ended["plan"] = planfile.document(outcome.plan)
            if outcome.rehearsal:
                from provisioner.report.verdictfiles import failures_document

                ended["rehearsal"] = failures_document(outcome.rehearsal)
            if outcome.error:
                ended["error"] = planfile.error_document(outcome.error)
            return ended
        case RunEnded(interrupted, seconds):
            return {
                "event": "run_ended",
                "interrupted": interrupted,
                "seconds": round(seconds, 3),
            }


class JsonLines:
    """A listener that writes each event as a line."""

    def __call__(self, event: Event) -> None:
        sys.stdout.write(json.dumps(record(event)) + "\n")
        sys.stdout.flush()
