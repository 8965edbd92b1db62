"""Mail from outside at full rate while good changes are applied: nothing that was accepted is
lost, and what a client that comes notices of it."""

from __future__ import annotations

import re
import smtplib
import threading
import time
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rig import Violation

if TYPE_CHECKING:
    from rig import Rig

#: Bounds on a load: clients at once, messages and seconds in all.
CLIENTS, MESSAGES, SECONDS = 3, 4000, 240

#: Seconds within which everything accepted must be delivered.
DELIVERY = 90

#: local(8) that is stopped while it delivers leaves the lock of the mailbox, and waits 500 s for
#: it afterwards (stale_lock_time): nothing is lost, but nobody wants to wait.
_DELIVER_AGAIN = """
find /var/mail -name alice.lock -not -newermt '-5 seconds' -delete
postqueue -p
postqueue -f
"""


@dataclass
class Loaded:
    """One load: how many messages were accepted, refused for good or for now, and lost; how
    many seconds a new client waited for the greeting (percentiles), and the longest time in
    which none was greeted."""

    name: str
    release: str
    changes: int = 0
    accepted: int = 0
    turned_away: int = 0
    lost: int = 0
    p50: float = 0.0
    p99: float = 0.0
    gap: float = 0.0
    wrong: str = ""

    @property
    def well(self) -> bool:
        return not self.wrong and not self.lost

    def __str__(self) -> str:
        return (
            f"{'well' if self.well else 'violation':9} {self.name} ({self.release}): "
            f"{self.changes} changes, {self.accepted} messages accepted, {self.lost} lost, "
            f"{self.turned_away} clients turned away; greeting after {self.p50 * 1000:.0f} ms "
            f"(p50), {self.p99 * 1000:.0f} ms (p99), longest gap {self.gap:.2f} s\n{self.wrong}"
        )

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Load:
    """Clients that send one message a connection to a user of the host, until told to stop."""

    rig: Rig
    word: str
    accepted: dict[str, str] = field(default_factory=dict)
    turned_away: list[str] = field(default_factory=list)
    #: When each greeting came, and how many seconds the client had waited.
    greeted: list[tuple[float, float]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self._end = time.monotonic() + SECONDS
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(CLIENTS)]
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def _send(self, client: int) -> None:
        number = 0
        while not self._stop.is_set() and time.monotonic() < self._end:
            if len(self.accepted) >= MESSAGES:
                return
            number += 1
            token = f"{self.word}-{client}-{number}"
            try:
                self._message(token)
            except (OSError, smtplib.SMTPException) as error:
                self.turned_away.append(f"{type(error).__name__}: {error}")
                self._stop.wait(0.1)
            self._stop.wait(0.02)

    def _message(self, token: str) -> None:
        rig = self.rig
        source = (rig.lab.client_address("good"), 0)
        started = time.monotonic()
        with smtplib.SMTP(timeout=30, source_address=source) as smtp:
            code, said = smtp.connect(rig.host.address, 25)
            if code != 220:
                raise smtplib.SMTPConnectError(code, said)
            now = time.monotonic()
            self.greeted.append((now, now - started))
            smtp.ehlo("mail.good.example")
            for reply in (
                smtp.mail("load@good.example"),
                smtp.rcpt(f"alice@{rig.host.fqdn}"),
            ):
                if reply[0] >= 300:
                    raise smtplib.SMTPResponseException(*reply)
            reply = smtp.data(f"From: load@good.example\r\nSubject: {token}\r\n\r\n{token}\r\n")
            if reply[0] < 300:
                self.accepted[token] = reply[1].decode()

    def lost(self) -> list[str]:
        """Accepted messages that are in no mailbox once the queue had its time; what a delivery
        that was cut short deferred is tried again at once."""
        end = time.monotonic() + DELIVERY
        while True:
            box = self.rig.sh("cat /var/mail/alice", check=False)
            arrived = {line[9:] for line in box.splitlines() if line.startswith("Subject: ")}
            missing = sorted(set(self.accepted) - arrived)
            if not missing:
                return []
            queue = self.rig.sh(_DELIVER_AGAIN, check=False)
            if time.monotonic() > end:
                return [self._fate(each, queue) for each in missing]
            time.sleep(0.5)

    def _fate(self, token: str, queue: str) -> str:
        """What became of a message that did not arrive: the words of its acceptance, and what
        the queue says of it."""
        said = self.accepted[token]
        lines, name = queue.splitlines(), said.split()[-1]
        found = [n for n, line in enumerate(lines) if re.match(rf"{name}[*!#]? ", line)]
        rest = " ".join(lines[found[0] : found[0] + 2]) if found else "not in the queue"
        return f"{token}: {said}: {rest}"

    def gap(self) -> float:
        """The longest time between two greetings, in seconds."""
        times = sorted(when for when, _ in self.greeted)
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def waited(self, share: float) -> float:
        """Seconds within which that share of the clients was greeted."""
        times = sorted(seconds for _, seconds in self.greeted)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0


#: What is applied during a load, and how often.
LOADS = {"nothing": 6, "reload": 6, "restart": 4}


class Loads:
    """Loads on one host."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def run(self, name: str) -> Loaded:
        rig = self.rig
        found = Loaded(name, rig.host.release)
        try:
            if not rig.version:
                rig.renew()
            rig.sh("rm -f /var/mail/alice")
            with Load(rig, name) as load:
                time.sleep(1)
                for _ in range(LOADS[name]):
                    self._change(name)
                    found.changes += name != "nothing"
                time.sleep(1)
            found.accepted, found.turned_away = (
                len(load.accepted),
                len(load.turned_away),
            )
            found.p50, found.p99 = (
                round(load.waited(0.5), 4),
                round(load.waited(0.99), 4),
            )
            found.gap = round(load.gap(), 3)
            lost = load.lost()
            found.lost = len(lost)
            found.wrong = "\n".join(lost[:10])
            if not load.accepted:
                raise Violation(f"nothing was accepted: {load.turned_away[:3]}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this load
            found.wrong = f"{type(error).__name__}: {error}"[:2000]
            rig.version = ""
        return found

    def _change(self, name: str) -> None:
        if name == "nothing":
            time.sleep(2)
            return
        self.rig.turn(restart=name == "restart")
        done = self.rig.run("apply", "-y", "--prune")
        if done.code != 0:
            raise Violation(done.err)
