"""A Debian without a boot: a cached root file system under an overlay, programs in a chroot.

Remote programs run there for real, as root, against the real Postfix of that release,
under the shell and the tools a test asks for. Nothing of it is mounted outside the mount
namespace of each exec; what is written stays in the overlay until the sandbox goes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

from lacking import lacking

from provisioner.lab import roots
from provisioner.transport.base import Exchange, FakeConnection, Target

#: Each shell's command line in the sandbox.
SHELLS = {"dash": "/bin/dash", "bash": "/bin/bash", "busybox": "/usr/local/bin/busybox sh"}

#: The number of a new process.
_NUMBER = "sh -c 'echo $$' </dev/null"

#: Tools that a host without GNU coreutils has from busybox.
APPLETS = (
    "awk cat chgrp chmod chown cp cut date dd grep gzip head id ln ls mkdir mv printf readlink rm "
    "rmdir sed sha256sum sleep sort stat sync tail touch tr wc"
)


class Sandbox:
    """`shell` runs the programs; with `applets`, busybox stands in for coreutils.

    Without `rehearsal` the host has no perl, so that nothing is rehearsed.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        shell: str = "dash",
        *,
        applets: bool = False,
        rehearsal: bool = False,
    ) -> None:
        self.root = root
        self.shell = SHELLS[shell]
        self.upper, self._work, self._merged = (folder / n for n in ("upper", "work", "merged"))
        for each in (self.upper, self._work, self._merged):
            each.mkdir()
        #: Run in the mount namespace before the chroot; $1 is the root.
        self.before_chroot = ""
        self.answers: list[Exchange] = []
        #: How many processes the last command took, itself included.
        self.processes = 0
        self._counted = folder / "processes"
        binaries = self.path("/usr/local/bin")
        binaries.mkdir(parents=True)
        if shell == "busybox" or applets:
            found = shutil.which("busybox")
            if found is None:
                lacking("busybox is not on this machine (package busybox-static)")
            else:
                shutil.copy(found, binaries / "busybox")
        if not rehearsal:
            self.hide("/usr/bin/perl")
        for name in APPLETS.split() if applets else ():
            (binaries / name).symlink_to("busybox")

    def hide(self, path: str) -> None:
        """The root's file at this path is gone."""
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        # A character device 0:0 is how an overlay says that.
        os.mknod(self.path(path), 0o600 | stat.S_IFCHR, os.makedev(0, 0))

    def path(self, path: str) -> Path:
        """Where a path of the sandbox is written to; not there if nobody wrote it."""
        return self.upper / path.lstrip("/")

    def write(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        """Put a file there, with the directories it needs."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        target.write_bytes(data)
        target.chmod(mode)
        os.utime(target, (1e9, 1e9))  # Postfix programs wait while main.cf is young

    def read(self, path: str) -> bytes:
        """What stands at a path now."""
        return self.sh(f"cat {shlex.quote(path)}")

    def sh(self, script: str) -> bytes:
        """A command of the test's own. Raises CalledProcessError where it fails."""
        done = self._run(["/bin/sh", "-ec", script], b"")
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, script, done.stdout, done.stderr)
        return done.stdout

    def run(self, script: bytes, payload: bytes = b"") -> Exchange:
        """A remote program, as a transport would run it."""
        self.write("/run/program", script)
        done = self._run([*self.shell.split(), "/run/program"], payload)
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        self.answers.append(Exchange(status, done.stdout, done.stderr))
        return self.answers[-1]

    def connection(self, name: str = "mx1") -> FakeConnection:
        return FakeConnection(Target(name, name), self.run)

    def _run(self, command: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        mount = (
            f"mount -t overlay overlay -o lowerdir={self.root},upperdir={self.upper},"
            f'workdir={self._work} "$1" && mount -t proc proc "$1/proc" && {{ '
            f"{self.before_chroot or ':'}; }} && "
            # Its process numbers are the namespace's own, and are given in turn.
            f'shift && {{ first=$({_NUMBER}); chroot {self._merged} "$@"; status=$?; '
            f"echo $(($({_NUMBER}) - first - 1)) >{self._counted}; exit $status; }}"
        )
        inside = ["sh", "-c", mount, "sh", str(self._merged), *command]
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", *inside],
            input=stdin,
            capture_output=True,
            check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )
        self.processes = int(self._counted.read_text()) if self._counted.exists() else 0
        return done


def root_of(release: str) -> Path:
    """The cached root file system of a release; the test is skipped where there is none."""
    if os.geteuid() != 0:
        lacking("needs root (mount and PID namespaces, chroot)")
    found = roots.cached(release)
    if found is None:
        lacking(f"no cached root file system of {release}: provisioner lab build {release}")
    assert found is not None
    return found


def running_postfix(box: Sandbox, on_reload: str = ":") -> None:
    """A master that is alive and does as the test says when it is told to reload; what a
    service(8) starts anew does so, too."""
    master = f"#!/bin/sh\ntrap '{on_reload}' HUP\nwhile :; do sleep 60 & wait; done\n"
    box.write("/usr/local/bin/master", master, 0o755)
    start = (
        "/usr/local/bin/master >/dev/null 2>&1 </dev/null &\n"
        "printf '%20d\\n' $! >/var/spool/postfix/pid/master.pid; sleep 0.05\n"
    )
    service = f'#!/bin/sh\n[ "$2" != restart ] || {{\n{start}}}\n'
    box.write("/usr/local/sbin/service", service, 0o755)
    box.write("/usr/local/sbin/boot", f"#!/bin/sh\nmkdir -p /var/spool/postfix/pid\n{start}", 0o755)
    box.before_chroot = 'chroot "$1" /usr/local/sbin/boot'
