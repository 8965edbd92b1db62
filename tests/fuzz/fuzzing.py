"""Fuzz targets for a while: `python tests/fuzz/fuzzing.py --seconds N [TARGET...]`.

With atheris (the optional extra `fuzz`) new code that an input reaches steers what is tried
next; without it, inputs are put together from what the formats are made of. What breaks a
promise is written beside this file as `found-TARGET` and ends the run with status 1.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def pieces() -> list[bytes]:
    from fuzz_targets import PIECES

    found = [p.encode("latin-1") for line in PIECES.split("\n") for p in line.split("|") if p]
    return [*found, b"\n", b"\n", b" ", b"  ", b"\t", b"\r\n", b"|", b"\n\n@@% "]


def random_input(chooser: random.Random, known: list[bytes]) -> bytes:
    """Pieces of the formats, some of them damaged."""
    data = bytearray(b"".join(chooser.choices(known, k=chooser.randrange(30))))
    for _ in range(chooser.randrange(3)):
        place = chooser.randrange(len(data) + 1)
        data[place : place + chooser.randrange(3)] = bytes([chooser.randrange(256)])
    return bytes(data)


def fuzz_plainly(name: str, seconds: float, seed: int) -> int:
    """How many inputs were tried. Raises what the target raises."""
    from fuzz_targets import TARGETS

    chooser, known = random.Random(seed), pieces()  # noqa: S311 - not a secret
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = random_input(chooser, known)
        tried += 1
        try:
            TARGETS[name](data)
        except Exception:
            (HERE / f"found-{name}").write_bytes(data)
            print(f"{name}: seed {seed}, input {tried}: {data!r}", file=sys.stderr)
            raise
    return tried


def fuzz_by_coverage(name: str, seconds: float, seed: int) -> None:
    """Never returns: atheris ends the process, with a status that says how."""
    import atheris

    with atheris.instrument_imports(include=["provisioner"]):
        from fuzz_targets import TARGETS
    words = HERE / f".words-{name}"
    spelled = ["".join(f"\\x{byte:02x}" for byte in piece) for piece in pieces()]
    words.write_text("".join(f'"{each}"\n' for each in spelled))
    atheris.Setup(
        [
            sys.argv[0], f"-max_total_time={int(seconds)}", f"-seed={seed}", "-max_len=4096",
            f"-dict={words}", f"-artifact_prefix={HERE}/found-{name}-", "-verbosity=0",
            "-print_final_stats=1", "-timeout=20", "-rss_limit_mb=2048",
        ],
        TARGETS[name],
    )  # fmt: skip
    atheris.Fuzz()


def main() -> int:
    from fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="do without atheris")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    given = parser.parse_args()
    unknown = [name for name in given.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}")
    names = given.targets or list(TARGETS)
    seed = given.seed or random.SystemRandom().randrange(1, 2**31)
    if given.inside:
        fuzz_by_coverage(names[0], given.seconds, seed)
    share, failed = given.seconds / len(names), []
    for name in names:
        if not given.plain and _has_atheris():
            again = [sys.executable, __file__, "--inside", f"--seconds={share}", f"--seed={seed}"]
            done = subprocess.run([*again, name], check=False, capture_output=True, text=True)
            tried = [e.split()[-1] for e in done.stderr.splitlines() if "executed_units" in e]
            print(f"{name}: {tried[0] if tried else '?'} inputs by coverage, seed {seed}")
            if done.returncode:
                failed.append(name)
                print(done.stderr[-4000:], file=sys.stderr)
            continue
        try:
            print(f"{name}: {fuzz_plainly(name, share, seed)} inputs, seed {seed}")
        except Exception:  # noqa: BLE001 - the next target has its turn, too
            failed.append(name)
            traceback.print_exc()
    return 1 if failed else 0


def _has_atheris() -> bool:
    import importlib.util

    return importlib.util.find_spec("atheris") is not None


if __name__ == "__main__":
    sys.exit(main())
