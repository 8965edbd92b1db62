"""SMTP from outside while something happens: a probe that measures gaps, and a load."""

from __future__ import annotations

import smtplib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

#: Seconds after which a conversation counts as failed.
PATIENCE = 10


@dataclass
class Probe:
    """Asks again and again, as a stranger, whether a user of the host would be given mail.

    `gap` is the longest time in seconds for which a client that came would have been
    without service: from the start of the first attempt that failed (or was slow) to the
    end of the first that succeeded.
    """

    lab: Lab
    host: Host
    every: float = 0.1
    attempts: int = 0
    failures: int = 0
    gap: float = 0.0
    said: str = ""
    _since: float | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Probe:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            last = self._stop.is_set()
            started = time.monotonic()
            well = self._ask()
            self.attempts += 1
            if self._since is None:
                self._since = started
            if well:
                self.gap = max(self.gap, time.monotonic() - self._since)
                self._since = None
            else:
                self.failures += 1
            # A gap that is open is measured to its end, at most so long.
            if last and (well or time.monotonic() - (self._since or 0) > PATIENCE):
                if not well and self._since is not None:
                    self.gap = max(self.gap, time.monotonic() - self._since)
                return
            self._stop.wait(self.every)

    def _ask(self) -> bool:
        source = (self.lab.client_address("good"), 0)
        try:
            with smtplib.SMTP(timeout=PATIENCE, source_address=source) as smtp:
                replies = [smtp.connect(self.host.address, 25)]
                replies.append(smtp.ehlo("mail.good.example"))
                replies.append(smtp.mail("probe@good.example"))
                replies.append(smtp.rcpt(f"root@{self.host.fqdn}"))
        except (OSError, smtplib.SMTPException) as error:
            self.said = f"{type(error).__name__}: {error}"
            return False
        worst = max(replies)
        if worst[0] >= 300:
            self.said = f"{worst[0]} {worst[1]!r}"
        return worst[0] < 300
