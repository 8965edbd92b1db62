"""The controller as a process of its own, whose program on the host stops at one boundary.

`python controller.py HOLD GUARD SILENCE VERB ARGUMENT...` is `provisioner VERB ARGUMENT...`, but:

- every call of a host program that may change something, and every command in it that changes
  a file or a service, is a boundary, numbered from 1 in the order in which they are reached
  and written to `TRACE`. They are found in the program itself, so a step that is new is a
  boundary without anybody saying so;
- at boundary HOLD (a number, or the name of a call; 0: nowhere) the program writes its
  process number to `REACHED` and waits until `HELD` is gone;
- the same goes for the commands of the guard that it leaves on the host, once that undoes
  something: they are written to `GUARD_TRACE`, and boundary GUARD is where it waits;
- a host that is silent for SILENCE seconds is given up.
"""

from __future__ import annotations

import sys

from provisioner.cli import main
from provisioner.host import journal, session
from provisioner.host.program import Program, library
from provisioner.transport.base import Limits

FOLDER = "/run/faults"
TRACE, GUARD_TRACE, REACHED, HELD = (
    f"{FOLDER}/{name}" for name in ("trace", "guard-trace", "reached", "held")
)

#: Commands that change files or services. `command` gets past the function of that name.
COMMANDS = (
    "chgrp", "chmod", "chown", "cp", "ln", "mkdir", "mv", "postalias", "postfix", "postmap",
    "rm", "rmdir", "setsid", "sync", "systemctl", "touch",
)  # fmt: skip

_BOUNDARY = f"""
boundary() {{
[ -f TRACE ] || return 0
printf '%s\\n' "$*" >>TRACE
[ "$(command wc -l <TRACE)" = 'HOLD' ] || [ "$*" = 'call HOLD' ] || return 0
[ ! -e {REACHED} ] || return 0
echo "$$" >{REACHED}
while [ -e {HELD} ]; do command sleep 0.02 9>&-; done
}}
"""


def boundaries(trace: str, hold: str) -> list[str]:
    """Lines of a program from which on its commands are boundaries."""
    function = _BOUNDARY.replace("TRACE", trace).replace("HOLD", hold)
    return [
        function,
        *(f'{name}() {{ boundary {name}; command {name} "$@"; }}' for name in COMMANDS),
    ]


def held(script: bytes, calls: list[str], hold: str) -> bytes:
    """`script`, which ends in `calls`, with its boundaries in it."""
    body = script.decode("utf-8", "surrogateescape").removesuffix("\n".join([*calls, ""]))
    lines = [body, *boundaries(TRACE, hold)]
    for call in calls:
        function = call.partition(" ")[0]
        if f"\n{function}()" not in library("probe.sh"):
            lines.append(f"boundary call {function}")
        lines.append(call)
    return "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


def hold_at(where: str) -> None:
    """Let every program that may change a host stop at that boundary."""
    plain = Program.script

    def script(program: Program) -> bytes:
        only_looks = set(program._libraries) <= {"probe.sh"}
        calls = [] if only_looks else program._lines[1:]
        return held(plain(program), calls, where) if calls else plain(program)

    Program.script = script  # type: ignore[method-assign]


def hold_guard_at(where: str) -> None:
    """Let the guard stop at that boundary of its undo (what it does before is no boundary)."""
    body, call, end = journal.guard_script().rpartition('guard "$@"')
    lines = boundaries(GUARD_TRACE, where)
    lines[0] = lines[0].replace("boundary() {", 'boundary() {\n[ -n "$AT" ] || return 0')
    text = "\n".join([body, *lines, call + end])
    journal.guard_script = lambda: text  # type: ignore[assignment]


if __name__ == "__main__":
    hold_at(sys.argv[1])
    hold_guard_at(sys.argv[2])
    silence = float(sys.argv[3])
    session.PROBE_LIMITS = session.APPLY_LIMITS = Limits(seconds=300, silence=silence)
    sys.exit(main.run(sys.argv[4:]))
