"""What the tests of shipped roles share."""

from __future__ import annotations

import smtplib
import ssl
import time
from typing import TYPE_CHECKING

from support import conversation, postconf, state

from provisioner.lab.recipe import PASSWORDS

if TYPE_CHECKING:
    from support import Site

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


#: The name of a well-behaved stranger.
STRANGER = "mail.good.example"


def answer(
    lab: Lab,
    host: Host,
    client: str = "good",
    *,
    helo: str = STRANGER,
    sender: str = "someone@good.example",
    to: str = "root@lab.example",
) -> tuple[int, str]:
    """The answer to RCPT on port 25."""
    with conversation(lab, host, client) as smtp:
        smtp.ehlo(helo)
        smtp.docmd(f"MAIL FROM:<{sender}>")
        code, text = smtp.docmd(f"RCPT TO:<{to}>")
        return code, text.decode()


def logged_in(lab: Lab, host: Host, port: int) -> smtplib.SMTP:
    """A session of alice from a laptop somewhere, on 587 or 465."""
    context = ssl._create_unverified_context()  # noqa: S323 - a certificate made by Debian
    source = (lab.client_address("nameless"), 0)
    session: smtplib.SMTP
    if port == 465:
        session = smtplib.SMTP_SSL(
            host.address, port, timeout=20, source_address=source, context=context
        )
    else:
        session = smtplib.SMTP(host.address, port, timeout=20, source_address=source)
        session.starttls(context=context)
    session.ehlo("laptop")
    session.login("alice", PASSWORDS["alice"])
    return session


def pruned(
    lab: Lab, host: Host, site: Site, before: dict[str, str], settings: dict[str, str]
) -> None:
    """Take the roles away again: Postfix is as it was before."""
    site.say({"postfix": {"parameters": {"biff": False}}}, ["postfix"])
    site.apply("--prune")
    site.plan(code=0)
    after = state(lab, host)
    changed = {p for p in {*before, *after} if before.get(p) != after.get(p)}
    rewritten = {f"/etc/postfix/{name}" for name in ("main.cf", "master.cf")}
    assert changed <= {"/etc/postfix", *rewritten}, changed
    assert postconf(lab, host) == {**settings, "biff": "no"}
