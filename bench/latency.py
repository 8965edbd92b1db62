"""Plan lab hosts that are far away: `inv latency --hosts 20 --delay 50`.

Between this program and each host stands a relay that holds every piece of data for DELAY
milliseconds each way, and a new connection for the round trip that TCP needs. What is printed
is the time from the first connection to the last plan; the start of the program is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import yaml
from tools import BENCH

import provisioner.transport.ssh  # noqa: F401 - its import is part of the start
from provisioner.cli import workspace
from provisioner.cli.options import Common
from provisioner.fleet import jobs, pool
from provisioner.fleet.outcome import Status
from provisioner.lab import HostSpec
from provisioner.lab.lab import Lab


class Relay(threading.Thread):
    """One listener a host on this machine; `ports` by the host's address."""

    def __init__(self, addresses: Sequence[str], seconds: float) -> None:
        super().__init__(daemon=True)
        self.addresses = addresses
        self.seconds = seconds
        self.ports: dict[str, int] = {}
        self.ready = threading.Event()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        for address in self.addresses:
            server = await asyncio.start_server(
                lambda reader, writer, to=address: self._relay(reader, writer, to),
                "127.0.0.1",
                0,
            )
            self.ports[address] = server.sockets[0].getsockname()[1]
        self.ready.set()
        await asyncio.Event().wait()

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        await asyncio.sleep(2 * self.seconds)
        far_reader, far_writer = await asyncio.open_connection(address, 22)
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Each piece arrives `seconds` after it was sent, however many are on the way."""
        loop = asyncio.get_running_loop()
        pending: list[asyncio.TimerHandle] = []
        try:
            while data := await reader.read(65536):
                pending.append(loop.call_later(self.seconds, writer.write, data))
        except ConnectionError:
            pass
        loop.call_later(self.seconds, writer.close)


def plan(inventory: Path, code: Status) -> tuple[float, int]:
    """Seconds that planning all hosts takes, and how many there are."""
    space = workspace.load(Common((str(inventory),), site=BENCH / "site.yml"))
    with space.logins() as logins:
        started = time.perf_counter()
        work = jobs.planning(space.desired)
        done = pool.run("plan", space.targets, logins, work, forks=32, listener=lambda _: None)
        seconds = time.perf_counter() - started
    wrong = [each for each in done if each.status is not code]
    if wrong:
        raise SystemExit(f"{wrong[0].host}: {wrong[0].status} {wrong[0].error}")
    return seconds, len(done)


def far(inventory: Path, relay: Relay) -> Path:
    """The same hosts, by way of the relay."""
    found = yaml.safe_load(inventory.read_text())
    for about in found["all"]["children"]["lab"]["hosts"].values():
        address = about["ansible_host"]
        about |= {"ansible_host": "127.0.0.1", "ansible_port": relay.ports[address]}
        about["ansible_ssh_extra_args"] = f"-o HostKeyAlias={address}"
    path = inventory.with_name("far.yml")
    path.write_text(yaml.safe_dump(found))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--delay", type=float, default=50.0, help="milliseconds each way")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    specs = [HostSpec() for _ in range(options.hosts)]
    with tempfile.TemporaryDirectory() as folder, Lab.up(f"far-{os.getpid()}", specs) as lab:
        near = lab.write_inventory(Path(folder) / "lab.yml")
        relay = Relay([str(host.address) for host in lab.hosts], options.delay / 1000)
        relay.start()
        relay.ready.wait()
        away = far(near, relay)
        plan(near, Status.PENDING)
        times = {name: [] for name in ("near", "far")}
        for _ in range(options.repeat):
            times["near"].append(plan(near, Status.PENDING)[0])
            times["far"].append(plan(away, Status.PENDING)[0])
        for name, seconds in times.items():
            print(f"{name}: {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
        trips = (min(times["far"]) - min(times["near"])) / (2 * options.delay / 1000)
        print(f"{options.hosts} hosts, {2 * options.delay:g} ms a round trip: {trips:.1f} of them")


if __name__ == "__main__":
    main()
