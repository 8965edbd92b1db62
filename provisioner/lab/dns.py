"""The lab's DNS server: a process in the lab's network namespace, and a handle on it.

Run as ``python -m provisioner.lab.dns ZONES ADDRESS``. The zones file is read again
whenever it changed, so what `Dns.save` wrote is what the next question is answered by.
"""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from dnslib import QTYPE, RCODE, RR, DNSHeader, DNSQuestion, DNSRecord

from provisioner.lab import system, zones
from provisioner.lab.recipe import DOMAIN
from provisioner.lab.state import LabState, write_aside
from provisioner.lab.system import LabError, marked_processes

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds that a resolver may keep an answer. Tests change their minds quickly.
TTL = 1


class ZonesFile:
    """The zones, read anew when the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._data: zones.Zones = {"records": {}, "zones": {}}
        self._lock = Lock()

    def read(self) -> zones.Zones:
        with self._lock:
            now = self._path.stat()
            stamp = (now.st_mtime_ns, now.st_ino)
            if stamp != self._stamp:
                self._data = json.loads(self._path.read_text())
                self._stamp = stamp
            return self._data


def reply(data: Mapping[str, Any], query: bytes) -> tuple[bytes | None, str]:
    """The answer to one packet (None: say nothing), and a line for the log."""
    asked = DNSRecord.parse(query)
    question: DNSQuestion = asked.q
    name, kind = str(question.qname), str(QTYPE[question.qtype])
    answer = zones.look_up(data, name, kind)
    said = " ".join(value for _, value in answer.records)
    line = f"{name} {kind} {answer.status} {said}".rstrip()
    if answer.status == "silent":
        return None, line
    codes = {"nxdomain": RCODE.NXDOMAIN, "servfail": RCODE.SERVFAIL}
    header = DNSHeader(
        id=asked.header.id, qr=1, aa=1, ra=1, rcode=codes.get(answer.status, RCODE.NOERROR)
    )
    record = DNSRecord(header, q=question)
    owner = name
    for found, value in answer.records:
        dotted = value if found in ("A", "AAAA", "TXT") or value.endswith(".") else f"{value}."
        shown = json.dumps(dotted) if found == "TXT" else dotted
        record.add_answer(*RR.fromZone(f"{owner} {TTL} {found} {shown}"))
        if found == "CNAME":
            owner = dotted
    if not answer.records:
        soa = f". {TTL} SOA ns.{DOMAIN}. root.{DOMAIN}. 1 {TTL} {TTL} {TTL} {TTL}"
        record.add_auth(*RR.fromZone(soa))
    return record.pack(), line


def _serve(path: Path, address: str) -> None:
    source = ZonesFile(path)

    def answer(query: bytes) -> bytes | None:
        try:
            packet, line = reply(source.read(), query)
        except Exception as error:  # noqa: BLE001 - a strange packet must not end the server
            packet, line = None, f"not understood: {type(error).__name__}: {error}"
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
        return packet

    class Datagram(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            packet, socket = self.request
            back = answer(packet)
            if back is not None:
                socket.sendto(back, self.client_address)

    class Stream(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = int.from_bytes(self.rfile.read(2), "big")
            back = answer(self.rfile.read(length))
            if back is not None:
                self.wfile.write(len(back).to_bytes(2, "big") + back)

    socketserver.TCPServer.allow_reuse_address = True
    stream = socketserver.ThreadingTCPServer((address, 53), Stream)
    stream.daemon_threads = True
    Thread(target=stream.serve_forever, daemon=True).start()
    with socketserver.UDPServer((address, 53), Datagram) as datagram:
        datagram.serve_forever()


class Dns:
    """A lab's DNS: its data, and its server process."""

    def __init__(self, lab: LabState) -> None:
        self._lab = lab
        self.path = lab.directory / "zones.json"
        self.log = lab.directory / "dns.log"

    @property
    def marker(self) -> str:
        return f"{self._lab.name}/dns"

    def load(self) -> zones.Zones:
        """The zones as they are answered now (see `provisioner.lab.zones`)."""
        data: zones.Zones = json.loads(self.path.read_text())
        return data

    def save(self, data: zones.Zones) -> None:
        """Replace all zones; the next question is answered by them."""
        write_aside(self.path, json.dumps(data, indent=2) + "\n")

    def reset(self) -> None:
        """The zones as they were when the lab came up."""
        lab = self._lab
        self.save(zones.initial(lab.addresses, [(host.name, host.address) for host in lab.hosts]))

    def set(self, name: str, **records: list[str] | None) -> None:
        """Answer these records at `name`: ``set("x.example", A=["192.0.2.1"])``.

        Types not named keep what they were; None takes a type away; without any
        type the name is taken away.
        """
        data = self.load()
        key = name.rstrip(".").lower()
        here = data["records"].setdefault(key, {})
        here.update({kind: values for kind, values in records.items() if values is not None})
        for kind in [kind for kind, values in records.items() if values is None]:
            here.pop(kind, None)
        if not records or not here:
            del data["records"][key]
        self.save(data)

    def set_zone(self, suffix: str, mode: str | None, **settings: Any) -> None:
        """How everything at and below `suffix` answers; mode None takes the zone away."""
        data = self.load()
        key = suffix.rstrip(".").lower()
        if mode is None:
            data["zones"].pop(key, None)
        else:
            data["zones"][key] = {"mode": mode, **settings}
        self.save(data)

    def list_address(self, zone: str, entry: str, answer: str | None = zones.LISTED) -> None:
        """Put an address or domain on the list `zone`, or (answer None) take it off."""
        data = self.load()
        entries = data["zones"][zone].setdefault("entries", {})
        if answer is None:
            entries.pop(entry, None)
        else:
            entries[entry] = answer
        self.save(data)

    def asked(self) -> list[str]:
        """The questions so far: `NAME. TYPE STATUS ANSWER`, oldest first."""
        return [line.partition(" ")[2] for line in self.log.read_text().splitlines()]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server and wait until it listens."""
        lab = self._lab
        argv = [
            *("nsenter", f"--net=/run/netns/{lab.namespace}"),
            *(sys.executable, "-m", "provisioner.lab.dns"),
            *(str(self.path), lab.addresses.dns),
        ]
        return system.start(argv, self.log, self.marker)

    def wait(self, process: subprocess.Popen[bytes], seconds: float = 15) -> None:
        """Wait until the server answers. Raises `LabError` with its log where it does not."""
        import socket

        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            try:
                socket.create_connection((self._lab.addresses.dns, 53), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise LabError(f"the lab's DNS server does not answer:\n{self.log.read_text()[-2000:]}")

    def processes(self) -> list[int]:
        return sorted(marked_processes(self.marker))


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
