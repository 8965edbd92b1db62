"""Running system programs for the lab, and what a failure of one looks like."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import ExitCode, ProvisionerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Every process of a lab carries this variable; its value is `LAB/MACHINE`. That is how
#: leftovers are found after a crash: no process number is ever trusted to a file.
MARKER = "PROVISIONER_LAB"
_WANTED = f"{MARKER}=".encode()

#: Lines of a program's output that are shown when it failed.
TAIL_LINES = 20


class LabError(ProvisionerError):
    """The lab could not do what it was asked; says which step and shows the log's end."""

    exit_code = ExitCode.HOST_FAILED


def progress(message: str) -> None:
    """Say on standard error what goes on."""
    print(f"lab: {message}", file=sys.stderr, flush=True)


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last `lines` non-empty lines of `text`."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str = "",
    seconds: float = 60,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run one program to its end and keep what it said.

    Raises `LabError` where it is missing, takes longer than `seconds`, or (with
    `check`) ends with a status other than 0.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=dict(env) if env is not None else None,
        )
    except FileNotFoundError as error:
        raise LabError(
            f"{words[0]} is not installed", help="see `provisioner lab doctor`"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{' '.join(words[:4])} …` did not end within {seconds:g} s") from error
    if check and done.returncode != 0:
        said = tail(done.stderr) or tail(done.stdout) or "it said nothing"
        raise LabError(f"`{' '.join(words[:6])}` ended with status {done.returncode}: {said}")
    return done


def start(
    argv: Sequence[str], log: Path, marker: str, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process of a lab that runs on by itself; what it says goes to the end of `log`."""
    with log.open("ab") as said:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, **(env or {}), MARKER: marker},
            cwd="/",
            start_new_session=True,
        )


def marked_processes(value: str) -> dict[int, str]:
    """Process numbers whose environment carries the marker `value` (or lies below it).

    `value` is a lab's name, or `LAB/MACHINE` for one machine; the answer maps each
    process number to the full value found.
    """
    found: dict[int, str] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - hundreds of names, many times a boot
        text = _marker_of(name) if name.isdigit() else None
        if text is not None and (not value or text == value or text.startswith(value + "/")):
            found[int(name)] = text
    return found


def carries(process: int, value: str) -> bool:
    """Whether `process` lives and carries exactly the marker `value`."""
    return _marker_of(str(process)) == value


def _marker_of(process: str) -> str | None:
    try:
        with open(f"/proc/{process}/environ", "rb") as handle:  # noqa: PTH123 - as above
            environment = handle.read()
    except OSError:
        return None  # it ended meanwhile, or is the kernel's
    if _WANTED not in environment:
        return None
    for variable in environment.split(b"\0"):
        if variable.startswith(_WANTED):
            return variable[len(_WANTED) :].decode(errors="replace")
    return None


#: Processes of a lab that run for themselves, on this machine.
_ALONE = ("/dns", "/line")


def end_processes(value: str, seconds: float = 15) -> None:
    """End every process that carries the marker `value` (a lab, or one of its machines).

    First the DNS server, a slow line and each container's process 1, with which everything in it
    ends and its supervisor tidies up; after a second whatever is left: supervisors
    that hang or had not come so far. Raises `LabError` for what survives that.
    """
    began = time.monotonic()
    while True:
        left = marked_processes(value)
        if not left:
            return
        waited = time.monotonic() - began
        if waited > seconds:
            raise LabError(f"processes of {value} do not end: {sorted(left)}")
        gently = [*namespace_inits(left), *(n for n in left if left[n].endswith(_ALONE))]
        for process in left if waited > 1 else gently:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.03)


def namespace_inits(processes: Iterable[int]) -> list[int]:
    """Those of `processes` that are process 1 of a process namespace of their own."""
    inits = []
    for process in processes:
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        for line in status.splitlines():
            if line.startswith("NSpid:"):
                numbers = line.split()[1:]
                if len(numbers) > 1 and numbers[-1] == "1":
                    inits.append(process)
    return inits
