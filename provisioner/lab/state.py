"""What the lab writes down, found again by anybody who is root.

``/run/provisioner-lab/NAME/``
    lab.json     the lab (this module's `LabState`)
    id_ed25519   the key that opens every host of the lab, and its public half
    known_hosts  the hosts' own keys
    zones.json   what the lab's DNS server answers
    dns.log      what it was asked

``/var/cache/provisioner/disks/NAME/HOST/``
    a host's overlay and its console log, on a disk because /run may be small

The first is written before anything else of a lab exists and removed after
everything else is gone, so what it names is all that can be left after a crash.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import InputError
from provisioner.lab.addresses import Block
from provisioner.lab.recipe import DOMAIN
from provisioner.lab.system import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What a host shall be. Empty name: mx1, mx2, …"""

    name: str = ""
    release: str = "bookworm"
    variant: str = "systemd"


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a lab: `index` counts from 1 and gives address and machine name."""

    name: str
    release: str
    variant: str
    index: int
    address: str
    root: str

    @property
    def fqdn(self) -> str:
        return f"{self.name}.{DOMAIN}"


@dataclass(slots=True)
class LabState:
    """A lab as it is written down."""

    name: str
    block: int
    created: float
    hosts: list[Host] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_name(self.name, "lab")

    @property
    def directory(self) -> Path:
        return run_directory() / self.name

    @property
    def addresses(self) -> Block:
        return Block(self.block)

    @property
    def namespace(self) -> str:
        """The network namespace, also the name of the link into it."""
        return f"provlab{self.block}"

    def machine(self, host: Host) -> str:
        """The host's machine name: unique on this machine and short enough for a link name."""
        return f"lab{self.block}h{host.index}"

    def link(self, host: Host) -> str:
        """The host's end of the bridge, as systemd-nspawn(1) names it."""
        return f"vb-{self.machine(host)}"

    def host_directory(self, host: Host) -> Path:
        """The host's disk and console log."""
        return disks_directory() / self.name / host.name

    def save(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_aside(self.directory / "lab.json", json.dumps(asdict(self), indent=2) + "\n")


def run_directory() -> Path:
    """Where labs are written down: PROVISIONER_LAB_RUN or /run/provisioner-lab."""
    return Path(os.environ.get("PROVISIONER_LAB_RUN") or "/run/provisioner-lab")


def cache_directory() -> Path:
    """Where roots and disks are kept: PROVISIONER_LAB_CACHE or /var/cache/provisioner."""
    return Path(os.environ.get("PROVISIONER_LAB_CACHE") or "/var/cache/provisioner")


def disks_directory() -> Path:
    """The directory that holds one directory of disks a lab."""
    return cache_directory() / "disks"


def check_name(name: str, what: str) -> None:
    """Raises `InputError` unless `name` can name a lab or host."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a {what}",
            help="use small letters, digits and hyphens, a letter first, 32 characters at most",
        )


def write_aside(path: Path, text: str, mode: int = 0o600) -> None:
    """Write `path` whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text)
    aside.chmod(mode)
    aside.rename(path)


def load(name: str) -> LabState:
    """The lab `name`. Raises `InputError` where there is none, `LabError` where unreadable."""
    path = run_directory() / name / "lab.json"
    try:
        data = json.loads(path.read_text())
        hosts = [Host(**each) for each in data.pop("hosts")]
        return LabState(hosts=hosts, **data)
    except FileNotFoundError:
        known = names()
        raise InputError(
            f"no lab {name!r} is up",
            help=f"labs that are: {', '.join(known)}" if known else "start one: provisioner lab up",
        ) from None
    except PermissionError:
        raise _not_root() from None
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{path} cannot be read: {error}", help=f"provisioner lab down --name {name}"
        ) from error


def names() -> list[str]:
    """Names of the labs that are written down, also of broken ones."""
    try:
        return sorted(path.name for path in run_directory().iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
    except PermissionError:
        raise _not_root() from None


def _not_root() -> InputError:
    return InputError("only root can look at labs and touch them", help="run this by sudo")


@contextmanager
def machine_lock() -> Iterator[None]:
    """Held while blocks, shared routes and limits of this machine are changed."""
    path = run_directory() / ".lock"
    while True:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # Whoever removes the last lab removes this file too: then lock the new one.
            if not _is_still(path, handle.fileno()):
                continue
            yield
            return


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
