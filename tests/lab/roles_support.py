"""What the tests of shipped roles share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host


def logged(lab: Lab, host: Host, text: str, seconds: float = 5) -> bool:
    """Whether the mail log has `text`, or gets it while we wait."""
    end = time.monotonic() + seconds
    while True:
        if (
            lab.exec(host, ["grep", "-qF", "--", text, "/var/log/mail.log"], check=False).returncode
            == 0
        ):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
