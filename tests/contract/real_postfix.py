"""Runs the programs of a real Postfix, out of a root file system or on this machine."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.postfix.version import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How far back the files under test are dated, in seconds: Postfix programs wait until a
#: main.cf is older than about two.
AGE = 60


@dataclass(frozen=True)
class Answer:
    """What one command said: status, standard output and error, as bytes."""

    status: int
    out: bytes
    err: str


class Postfix:
    """The Postfix of one root, or of this machine (root None)."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self.version = Version.parse(self.one({}, "postconf -h mail_version").out.decode())
        self.types = set(self.one({}, "postconf -m").out.decode().split())

    def one(self, files: dict[str, bytes], command: str, *, own_net: bool = False) -> Answer:
        """Run a shell command in a directory that holds `files`."""
        return self.run([files], command, own_net=own_net)[0]

    def run(
        self, cases: Sequence[dict[str, bytes]], command: str, *, own_net: bool = False
    ) -> list[Answer]:
        """Run one shell command in a directory of its own for each case, all in one chroot.

        The command finds the directory's absolute path in `$D`. Nothing is written to the
        root: its /tmp is covered by a directory of ours.
        """
        with tempfile.TemporaryDirectory(prefix="contract-") as name:
            # As main.cf's directory it must be readable to all, and not be root's alone.
            base = Path(name)
            base.chmod(0o755)
            for number, files in enumerate(cases):
                _write(base / str(number), files)
            self._execute(base, command, own_net=own_net)
            return [_answer(base / str(number)) for number in range(len(cases))]

    def _execute(self, base: Path, command: str, *, own_net: bool) -> None:
        inside = "/tmp" if self.root else str(base)
        # All at once, because a Postfix program that refuses its input sleeps for a second.
        loop = (
            f'for D in {inside}/[0-9]*; do export D; ( cd "$D"; '
            f'( {command}\n) >"$D/.out" 2>"$D/.err" </dev/null; echo $? >"$D/.rc" ) & done; wait'
        )
        argv = ["sh", "-c", loop]
        if self.root:
            enter = 'mount --bind "$1" "$2/tmp" && mount -t proc proc "$2/proc" && exec chroot "$2"'
            unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
            if own_net:
                unshare.append("--net")
                enter = f"ip link set lo up && {enter}"
            argv = [
                *unshare,
                *("sh", "-c", f'{enter} sh -c "$3"', "sh", str(base), str(self.root), loop),
            ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr


def _write(directory: Path, files: dict[str, bytes]) -> None:
    directory.mkdir(mode=0o755)
    past = time.time() - AGE
    for name, content in files.items():
        path = directory / name
        path.write_bytes(content)
        os.utime(path, (past, past))


def _answer(directory: Path) -> Answer:
    return Answer(
        int((directory / ".rc").read_text()),
        (directory / ".out").read_bytes(),
        (directory / ".err").read_text(errors="replace"),
    )
