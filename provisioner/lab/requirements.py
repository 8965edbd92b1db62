"""What a machine needs to run a lab, and what to do where it is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import InputError
from provisioner.lab import apt
from provisioner.lab.state import disks_directory

if TYPE_CHECKING:
    from collections.abc import Callable

#: Programs, and the Debian package each comes in.
PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "ssh": "openssh-client",
}

OWN_HOST = (
    "the lab is only for trying things out. To work on hosts of your own instead, list them in "
    "an inventory file (`mail.example.net ansible_user=root`) and run "
    "`provisioner plan -i FILE`"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement: whether it is met, and how to meet it."""

    name: str
    met: bool
    remedy: str = ""
    package: str = ""


def check(
    which: Callable[[str], str | None] = shutil.which, os_release: Path = Path("/etc/os-release")
) -> list[Check]:
    """Every requirement of a lab, looked at on this machine."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    found = [
        Check("Linux", sys.platform == "linux", "labs are Linux containers"),
        Check(
            "Debian or Ubuntu",
            is_debian(os_release),
            "lab hosts are built by apt and mmdebstrap; use a Debian or Ubuntu machine",
        ),
        Check("root", is_root, "run as root (sudo): hosts are booted and networks made"),
    ]
    found += [
        Check(program, which(program) is not None, "", package)
        for program, package in PROGRAMS.items()
    ]
    found.append(
        Check(
            "Debian's archive keys",
            any(path.exists() for path in apt.KEYRINGS),
            "",
            "debian-archive-keyring",
        )
    )
    found.append(
        Check(
            "Python package dnslib",
            importlib.util.find_spec("dnslib") is not None,
            "pip install 'provisioner[lab]'",
        )
    )
    if is_root and all(each.met for each in found):
        found.append(
            Check(
                "namespaces and overlay file systems",
                _can_mount(),
                "this kernel or container forbids `unshare` or overlay mounts; use a real or "
                "virtual machine, or a privileged container",
            )
        )
    return found


def is_debian(os_release: Path) -> bool:
    """Whether an os-release(5) file describes Debian or one of its children."""
    try:
        text = os_release.read_text()
    except OSError:
        return False
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    words = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return bool({"debian", "ubuntu"} & set(words))


def _can_mount() -> bool:
    script = (
        'mkdir -p "$1" && d=$(mktemp -d -p "$1") && mkdir "$d/l" "$d/u" "$d/w" "$d/m" && '
        'mount -t overlay overlay -o "lowerdir=$d/l,upperdir=$d/u,workdir=$d/w" "$d/m"; s=$?; '
        'umount "$d/m" 2>/dev/null; rm -rf "$d"; rmdir "$1" 2>/dev/null; exit $s'
    )
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "sh",
            "-c",
            script,
            "sh",
            str(disks_directory()),
        ],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def install_line(missing: list[Check]) -> str:
    """The command that installs what Debian packages can; empty where nothing."""
    packages = sorted({each.package for each in missing if each.package})
    return f"apt-get install {' '.join(packages)}" if packages else ""


def require() -> None:
    """Raises `InputError` naming all that is missing and how to get it."""
    missing = [each for each in check() if not each.met]
    if not missing:
        return
    remedies = [each.remedy for each in missing if each.remedy]
    line = install_line(missing)
    if line:
        remedies.append(f"run `{line}`")
    raise InputError(
        f"this machine cannot run a lab: no {', no '.join(each.name for each in missing)}",
        help="; ".join([*remedies, OWN_HOST]),
    )
