"""The controller as a process of its own, whose program on the host stops at one boundary.

`python controller.py HOLD SILENCE VERB ARGUMENT...` is `provisioner VERB ARGUMENT...`, but:

- every call of a host program that may change something, and every command in it that changes
  a file or a service, is a boundary, numbered from 1 in the order in which they are reached
  and written to `TRACE`. They are found in the program itself, so a step that is new is a
  boundary without anybody saying so;
- at boundary HOLD (0: nowhere) the program writes its process number to `REACHED` and waits
  until `HELD` is gone;
- a host that is silent for SILENCE seconds is given up.
"""

from __future__ import annotations

import sys

from provisioner.cli import main
from provisioner.host import session
from provisioner.host.program import Program, library
from provisioner.transport.base import Limits

FOLDER = "/run/faults"
TRACE, REACHED, HELD = (f"{FOLDER}/{name}" for name in ("trace", "reached", "held"))

#: Commands that change files or services. `command` gets past the function of that name.
COMMANDS = (
    "chgrp", "chmod", "chown", "cp", "ln", "mkdir", "mv", "postalias", "postfix", "postmap",
    "rm", "rmdir", "setsid", "sync", "systemctl", "touch",
)  # fmt: skip

_BOUNDARY = f"""
boundary() {{
printf '%s\\n' "$*" >>{TRACE}
[ "$(command wc -l <{TRACE})" -eq HOLD ] || return 0
echo "$$" >{REACHED}
while [ -e {HELD} ]; do command sleep 0.02 9>&-; done
}}
"""


def held(script: bytes, calls: list[str], hold: int) -> bytes:
    """`script`, which ends in `calls`, with its boundaries in it."""
    body = script.decode("utf-8", "surrogateescape").removesuffix("\n".join([*calls, ""]))
    lines = [body, _BOUNDARY.replace("HOLD", str(hold))]
    lines += [f'{name}() {{ boundary {name}; command {name} "$@"; }}' for name in COMMANDS]
    for call in calls:
        function = call.partition(" ")[0]
        lines += [call] if f"\n{function}()" in library("probe.sh") else [
            f"boundary call {function}", call
        ]  # fmt: skip
    return "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


def hold_at(number: int) -> None:
    """Let every program that may change a host stop at that boundary."""
    plain = Program.script

    def script(program: Program) -> bytes:
        only_looks = set(program._libraries) <= {"probe.sh"}
        calls = [] if only_looks else program._lines[1:]
        return held(plain(program), calls, number) if calls else plain(program)

    Program.script = script  # type: ignore[method-assign]


if __name__ == "__main__":
    hold_at(int(sys.argv[1]))
    silence = float(sys.argv[2])
    session.PROBE_LIMITS = session.APPLY_LIMITS = Limits(seconds=300, silence=silence)
    sys.exit(main.run(sys.argv[3:]))
