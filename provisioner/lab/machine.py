"""One host: its overlay over the cached root, and the container that runs it.

Overlay mounts live in a mount namespace of the container's own supervisor: they go
with it, whatever way it ends, and never show in this machine's mount table.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.lab import cgroups, network, system
from provisioner.lab.recipe import DOMAIN, PLACEHOLDER, init_of
from provisioner.lab.system import (
    MARKER,
    LabError,
    carries,
    end_processes,
    marked_processes,
    namespace_inits,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provisioner.lab.state import Host, LabState

#: Releases whose systemd boots only on the unified cgroup hierarchy.
_UNIFIED = frozenset({"trixie", "forky"})

#: Enters the control groups named in $1, mounts the overlay in the mount namespace of its
#: own, then becomes systemd-nspawn. nspawn's own notes are hidden in that namespace too:
#: a supervisor that is killed would leave them.
_LAUNCH = """
for group in $1; do echo $$ > "$group/cgroup.procs" || exit; done
mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn || exit
mount -t overlay overlay -o "lowerdir=$2,upperdir=$3,workdir=$4" "$5" || exit
shift 5
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a host is born with: its private host keys by type, and who may log in."""

    host_keys: dict[str, str]
    public_keys: dict[str, str]
    authorized: str


@dataclass(slots=True)
class Machine:
    """The container of one lab host."""

    lab: LabState
    host: Host
    keys: Keys
    _leader: int = 0

    @property
    def name(self) -> str:
        return self.lab.machine(self.host)

    @property
    def marker(self) -> str:
        return f"{self.lab.name}/{self.name}"

    @property
    def directory(self) -> Path:
        return self.lab.host_directory(self.host)

    @property
    def console(self) -> Path:
        """What the container printed while it ran."""
        return self.directory / "console.log"

    def processes(self) -> list[int]:
        """Its supervisor and its process 1, while they live."""
        return sorted(marked_processes(self.marker))

    def leader(self) -> int | None:
        """The container's process 1, as this machine numbers it."""
        if self._leader and carries(self._leader, self.marker):
            return self._leader
        inits = namespace_inits(self.processes())
        self._leader = inits[0] if inits else 0
        return self._leader or None

    def prepare(self) -> None:
        """A fresh overlay holding what makes this host itself."""
        shutil.rmtree(self.directory, ignore_errors=True)
        for name in ("upper", "work", "root"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "upper").chmod(0o755)
        for path, (text, mode, owner) in host_files(self.lab, self.host, self.keys).items():
            self._place(path, text, mode, owner)

    def _place(self, path: str, text: str, mode: int, owner: int) -> None:
        upper = self.directory / "upper"
        below = Path(path)
        for parent in reversed(below.parents[:-1]):
            made = upper / parent
            if made.exists():
                continue
            made.mkdir()
            try:  # a directory of the root keeps its owner and mode
                like = (Path(self.host.root) / parent).lstat()
                made.chmod(like.st_mode & 0o7777)
                os.chown(made, like.st_uid, like.st_gid)
            except FileNotFoundError:
                made.chmod(0o700 if owner or "root" in parent.parts else 0o755)
                os.chown(made, owner, owner)
        file = upper / below
        file.write_text(text)
        file.chmod(mode)
        os.chown(file, owner, owner)
        # As old as the root: Postfix programs wait while main.cf is seconds young.
        born = (Path(self.host.root) / "etc").stat().st_mtime
        os.utime(file, (born, born))

    def start(self) -> subprocess.Popen[bytes]:
        """Boot the container; returns its supervisor's process at once."""
        lab, directory = self.lab, self.directory
        has_systemd = Path("/run/systemd/system").is_dir()
        groups = [] if has_systemd else cgroups.create(self.name)
        argv = [
            *("nsenter", f"--net=/run/netns/{lab.namespace}"),
            *("unshare", "--mount", "sh", "-c", _LAUNCH, "sh"),
            " ".join(str(group) for group in groups),
            *(self.host.root, str(directory / "upper"), str(directory / "work")),
            str(directory / "root"),
            *("systemd-nspawn", "--quiet", f"--directory={directory / 'root'}"),
            f"--machine={self.name}",
            f"--hostname={self.host.name}",
            f"--uuid={machine_id(lab, self.host)}",
            f"--setenv={MARKER}={self.marker}",
            *("--network-bridge=br0", "--boot", "--register=no", "--link-journal=no"),
            *("--resolv-conf=off", "--timezone=off", "--console=pipe"),
        ]
        if not has_systemd:
            argv.append("--keep-unit")  # there is nobody to ask for a scope
        unified = self.host.release in _UNIFIED
        env = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"} if unified else {}
        return system.start(argv, self.console, self.marker, env)

    def stop(self, graceful_seconds: float = 0) -> None:
        """End the container: ask for a shutdown first if time is given, then by force.

        Killing process 1 of a process namespace ends everything in it; what is
        certain here is that nothing of this host runs afterwards.
        """
        if graceful_seconds and self.leader():
            # Every init system knows this word; what nspawn would signal, only systemd.
            self.exec(["poweroff"], seconds=graceful_seconds)
            end = time.monotonic() + graceful_seconds
            while self.processes() and time.monotonic() < end:
                time.sleep(0.03)
        end_processes(self.marker)
        network.delete_link(self.lab, self.lab.link(self.host))
        cgroups.remove(self.name)

    def exec(
        self, argv: Sequence[str], stdin: bytes = b"", seconds: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program as root inside the container, past ssh.

        Raises `LabError` where the host does not run or the program takes longer
        than `seconds`.
        """
        leader = self.leader()
        if leader is None:
            raise LabError(f"{self.host.name} does not run")
        enter = ["nsenter", "--target", str(leader), "--mount", "--uts", "--ipc", "--net", "--pid"]
        try:
            return subprocess.run(
                [*enter, "--root", "--wd", *argv],
                input=stdin,
                capture_output=True,
                timeout=seconds,
                check=False,
                env={
                    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "HOME": "/root",
                    "USER": "root",
                    "LC_ALL": "C.UTF-8",
                },
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(
                f"{self.host.name}: `{' '.join(argv)[:80]}` did not end within {seconds:g} s"
            ) from error


def machine_id(lab: LabState, host: Host) -> str:
    """The host's machine-id(5): the same for the same host of the same lab."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{host.index}.{lab.name}.{lab.block}.{DOMAIN}").hex


def host_files(lab: LabState, host: Host, keys: Keys) -> dict[str, tuple[str, int, int]]:
    """Files that make a root this host: path below / to text, mode and owner."""
    block = lab.addresses
    resolver = f"search {DOMAIN}\nnameserver {block.dns}\noptions timeout:2 attempts:2\n"
    main_cf = (Path(host.root) / "etc/postfix/main.cf").read_text()
    files: dict[str, tuple[str, int, int]] = {
        "etc/hostname": (f"{host.name}\n", 0o644, 0),
        "etc/hosts": (
            f"127.0.0.1 localhost\n{host.address} {host.fqdn} {host.name}\n"
            "::1 localhost ip6-localhost ip6-loopback\n",
            0o644,
            0,
        ),
        "etc/mailname": (f"{host.fqdn}\n", 0o644, 0),
        "etc/machine-id": (f"{machine_id(lab, host)}\n", 0o444, 0),
        "etc/resolv.conf": (resolver, 0o644, 0),
        # Postfix programs that run chrooted read their own copy.
        "var/spool/postfix/etc/resolv.conf": (resolver, 0o644, 0),
        "etc/postfix/main.cf": (
            main_cf.replace(f"{PLACEHOLDER}.{DOMAIN}", host.fqdn),
            0o644,
            0,
        ),
        "root/.ssh/authorized_keys": (keys.authorized, 0o600, 0),
        "home/admin/.ssh/authorized_keys": (keys.authorized, 0o600, 1000),
        "home/deploy/.ssh/authorized_keys": (keys.authorized, 0o600, 1001),
    }
    if init_of(host.variant) == "systemd":
        # Sorts before systemd's own 80-container-host0.network, which else wins.
        files["etc/systemd/network/10-lab.network"] = (
            f"[Match]\nName=host0\n\n[Network]\nAddress={host.address}/{block.PREFIX}\n"
            "DHCP=no\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=no\n",
            0o644,
            0,
        )
    else:
        files["etc/network/interfaces"] = (
            "auto lo\niface lo inet loopback\n\nauto host0\niface host0 inet static\n"
            f"    address {host.address}/{block.PREFIX}\n",
            0o644,
            0,
        )
    for kind, private in keys.host_keys.items():
        files[f"etc/ssh/ssh_host_{kind}_key"] = (private, 0o600, 0)
        files[f"etc/ssh/ssh_host_{kind}_key.pub"] = (f"{keys.public_keys[kind]}\n", 0o644, 0)
    return files
