"""Disposable real hosts: a `Lab` is some of them, with a network and a DNS of their own.

::

    with Lab.up("demo", [HostSpec(release="bookworm"), HostSpec(release="trixie")]) as lab:
        lab.exec("mx1", "postconf -n").stdout
        lab.write_inventory(Path("inventory.yml"))

The hosts run on after the process that started them has ended; `Lab.open` finds them
again, and `down` removes them, also after a crash of whoever started them.
"""

from __future__ import annotations

import json
import subprocess
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from threading import Event
from typing import TYPE_CHECKING, Any

from provisioner.errors import InputError
from provisioner.lab import cleanup, health, keys, network, requirements, roots, state
from provisioner.lab.addresses import Block
from provisioner.lab.dns import Dns
from provisioner.lab.inventory import connection_vars, known_hosts, render_inventory
from provisioner.lab.machine import Keys, Machine
from provisioner.lab.state import Host, HostSpec, LabState
from provisioner.lab.system import LabError, progress, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

DEFAULT_NAME = "default"

#: How often a host is booted before it is given up.
ATTEMPTS = 3

#: Hosts that boot at once.
_AT_ONCE = 16


class Lab:
    """A running lab. Methods take a host by name or as a `Host`."""

    def __init__(self, lab: LabState) -> None:
        self._state = lab
        self._children: list[subprocess.Popen[bytes]] = []
        self._keys: dict[str, Keys] = {}
        self._machines: dict[str, Machine] = {}
        self._abandoned = Event()
        self.dns = Dns(lab)

    # -- life ------------------------------------------------------------------

    @classmethod
    def up(
        cls,
        name: str = DEFAULT_NAME,
        hosts: Iterable[HostSpec] = (HostSpec(),),
        *,
        mirror: str | None = None,
    ) -> Lab:
        """Boot a lab of `hosts`, all healthy when this returns.

        Raises `InputError` where this machine cannot run a lab, a lab of that name
        is up or a host cannot be as asked; `LabError` where a host does not come up
        after some attempts (nothing is left running then).
        """
        state.check_name(name, "lab")
        specs = named(hosts)
        requirements.require()
        paths = {
            pair: roots.ensure(pair[0], mirror, pair[1])
            for pair in dict.fromkeys((spec.release, spec.variant) for spec in specs)
        }
        with state.machine_lock():
            cleanup.sweep()
            lab = cls(_allocate(name, specs, paths))
            network.prepare_machine()
        try:
            lab._create()
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def open(cls, name: str = DEFAULT_NAME) -> Lab:
        """A lab that is up. Raises `InputError` where there is none of that name."""
        lab = cls(state.load(name))
        try:
            stored = json.loads((lab.directory / "keys.json").read_text())
        except FileNotFoundError:
            raise LabError(
                f"lab {name!r} is still being started, or its start was cut short",
                help=f"wait, or remove it: provisioner lab down --name {name}",
            ) from None
        lab._keys = {host: Keys(**each) for host, each in stored.items()}
        return lab

    def down(self) -> None:
        """Remove the lab: processes, network, files. Safe to call twice."""
        cleanup.down(self.name)
        for child in self._children:
            child.wait()
        self._children.clear()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def _create(self) -> None:
        started = time.monotonic()
        private, public = keys.make_pair(comment=f"lab {self.name}")
        state.write_aside(self.key_file, private)
        state.write_aside(self.key_file.with_suffix(".pub"), public + "\n", 0o644)
        self._keys = {
            host.name: keys.make_host_keys(public + "\n", host.fqdn) for host in self.hosts
        }
        stored = {host: asdict(each) for host, each in self._keys.items()}
        state.write_aside(self.directory / "keys.json", json.dumps(stored))
        state.write_aside(
            self.known_hosts_file,
            known_hosts((host, self._keys[host.name].public_keys) for host in self.hosts),
            0o644,
        )
        self.dns.reset()
        network.create(self._state)
        server = self.dns.start()
        self._children.append(server)
        self._all(self._boot_first, self.hosts)
        self.dns.wait(server)
        count = len(self.hosts)
        progress(f"{self.name}: {count} hosts up in {time.monotonic() - started:.1f} s")

    def _all(self, work: Callable[[Host], None], hosts: Sequence[Host]) -> None:
        """Do `work` for all hosts at once; one error names every host that failed."""
        failures: list[str] = []

        def attempt(host: Host) -> None:
            try:
                work(host)
            except LabError as error:
                failures.append(error.message)

        self._abandoned.clear()
        with ThreadPoolExecutor(min(_AT_ONCE, len(hosts))) as pool:
            try:
                list(pool.map(attempt, hosts))
            except BaseException:
                self._abandoned.set()  # the threads are waited for: let them end soon
                pool.shutdown(cancel_futures=True)
                raise
        if failures:
            raise LabError("\n".join(failures))

    # -- what there is ---------------------------------------------------------

    @property
    def name(self) -> str:
        return self._state.name

    @property
    def hosts(self) -> list[Host]:
        return self._state.hosts

    @property
    def directory(self) -> Path:
        return self._state.directory

    @property
    def addresses(self) -> Block:
        return self._state.addresses

    @property
    def link(self) -> str:
        """This machine's interface towards the hosts: all that passes to them passes here."""
        return self._state.namespace

    @property
    def key_file(self) -> Path:
        """The private key that opens root, admin and deploy on every host."""
        return self.directory / "id_ed25519"

    @property
    def known_hosts_file(self) -> Path:
        return self.directory / "known_hosts"

    def host(self, host: Host | str) -> Host:
        """The host called so. Raises `InputError` where the lab has none."""
        name = host if isinstance(host, str) else host.name
        for each in self.hosts:
            if name in (each.name, each.fqdn):
                return each
        raise InputError(
            f"lab {self.name!r} has no host {name!r}",
            help=f"its hosts: {', '.join(each.name for each in self.hosts)}",
        )

    def machine(self, host: Host | str) -> Machine:
        """The container behind a host."""
        found = self.host(host)
        if found.name not in self._machines:
            self._machines[found.name] = Machine(self._state, found, self._keys[found.name])
        return self._machines[found.name]

    def client_address(self, name: str) -> str:
        """An address of this machine that hosts see as the client `name` (see docs/lab.md)."""
        return self.addresses.client(name)

    def is_running(self, host: Host | str) -> bool:
        return self.machine(host).leader() is not None

    def console(self, host: Host | str) -> str:
        """What the host printed while booting."""
        return self.machine(host).console.read_text(errors="replace")

    def connection_vars(self, host: Host | str, user: str = "root") -> dict[str, Any]:
        """Ansible's names for how to log in to `host` as root, admin or deploy."""
        return connection_vars(self._state, self.host(host), user)

    def write_inventory(self, path: Path, user: str = "root") -> Path:
        """Write a YAML inventory of all hosts; returns `path`."""
        path.write_text(render_inventory(self._state, user))
        return path

    # -- what can be done to a host --------------------------------------------

    def exec(
        self,
        host: Host | str,
        command: str | Sequence[str],
        *,
        stdin: bytes | str = b"",
        seconds: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script (text) or a program (list) as root on the host, past ssh.

        Raises `LabError` where the host does not run, the program takes longer than
        `seconds`, or (with `check`) its status is not 0.
        """
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = self.machine(host).exec(argv, data, seconds)
        out = done.stdout.decode(errors="replace")
        err = done.stderr.decode(errors="replace")
        if check and done.returncode != 0:
            name = self.host(host).name
            raise LabError(
                f"{name}: `{' '.join(argv)[:200]}` ended with status {done.returncode}: "
                f"{tail(err) or tail(out)}"
            )
        return subprocess.CompletedProcess(argv, done.returncode, out, err)

    def cut(self, host: Host | str) -> None:
        """Pull the host's network cable."""
        network.set_link(self._state, self._state.link(self.host(host)), "down")

    def restore(self, host: Host | str) -> None:
        """Plug it in again; its sshd answers when this returns. Raises `LabError` if not."""
        here = self.host(host)
        network.set_link(self._state, self._state.link(here), "up")
        end = time.monotonic() + health.BOOT_SECONDS
        while not health.greets(here.address, 22):
            if time.monotonic() > end:
                raise LabError(f"{here.name} does not answer, though its cable is plugged in")
            time.sleep(0.1)

    def delay(self, milliseconds: float) -> None:
        """Put all hosts so far away, each way; 0: as near as they were."""
        slow = network.set_delay(self._state, milliseconds)
        if slow:
            self._children.append(slow)

    def kill(self, host: Host | str) -> None:
        """Power off at once, as by pulling the plug; its disk stays."""
        self.machine(host).stop()

    def start(self, host: Host | str, *, expect: Sequence[int] = health.PORTS) -> None:
        """Boot a host that was killed, on the disk it left; healthy when this returns.

        `expect` are the ports (22, 25) that must answer: leave 25 away where Postfix
        is broken on purpose.
        """
        self._boot(self.host(host), expect)

    def reboot(self, host: Host | str, *, expect: Sequence[int] = health.PORTS) -> None:
        """Shut the host down in order and boot it again on the same disk."""
        self.machine(host).stop(graceful_seconds=20)
        self._boot(self.host(host), expect)

    def reset(self, *hosts: Host | str) -> None:
        """Make hosts (all, if none is named) what they were when the lab came up.

        Their disks are replaced, their keys and addresses stay: about two seconds.
        """
        self._all(self._boot_fresh, [self.host(host) for host in hosts] or self.hosts)

    def _boot_first(self, host: Host) -> None:
        self.machine(host).prepare()
        self._boot(host, health.PORTS)

    def _boot_fresh(self, host: Host) -> None:
        self.machine(host).stop()
        self._boot_first(host)

    def _boot(self, host: Host, expect: Sequence[int]) -> None:
        machine = self.machine(host)
        for attempt in range(1, ATTEMPTS + 1):
            process = machine.start()
            self._children.append(process)
            trouble = health.wait(machine, process, expect, self._abandoned.is_set)
            if trouble is None:
                return
            machine.stop()
            if self._abandoned.is_set():
                break
            progress(f"{self.name}: {host.name} (boot {attempt} of {ATTEMPTS}): {trouble}")
        raise LabError(
            f"{host.name} ({host.release}) did not come up: {trouble}\n"
            f"{tail(self.console(host)) or 'its console is empty'}"
        )


def named(specs: Iterable[HostSpec]) -> list[HostSpec]:
    """`specs` with a name each. Raises `InputError` for none, doubles, or too many."""
    found: list[HostSpec] = []
    for number, spec in enumerate(specs, 1):
        name = spec.name or f"mx{number}"
        state.check_name(name, "host")
        if any(each.name == name for each in found):
            raise InputError(f"two hosts of the lab are called {name!r}")
        found.append(HostSpec(name, spec.release, spec.variant))
    if not 1 <= len(found) <= Block.HOSTS:
        raise InputError(f"a lab has 1 to {Block.HOSTS} hosts, not {len(found)}")
    return found


def _allocate(name: str, specs: Sequence[HostSpec], paths: dict[tuple[str, str], Path]) -> LabState:
    """A free block, written down; call with the machine lock held."""
    if (state.run_directory() / name).exists():
        raise InputError(
            f"a lab {name!r} is up already",
            help=f"another name: --name; away with it: provisioner lab down --name {name}",
        )
    taken = network.taken_blocks() | {int(each[7:]) for each in network.leftovers()}
    first = zlib.crc32(name.encode()) % Block.COUNT
    free = [n % Block.COUNT for n in range(first, first + Block.COUNT)]
    number = next((n for n in free if n not in taken), None)
    if number is None:
        raise LabError(f"all of {Block.RANGE} is in use on this machine")
    block = Block(number)
    lab = LabState(name, number, time.time())
    lab.hosts = [
        Host(
            spec.name,
            spec.release,
            spec.variant,
            index,
            block.host(index),
            str(paths[spec.release, spec.variant]),
        )
        for index, spec in enumerate(specs, 1)
    ]
    lab.save()
    return lab
