"""Roles that filter: hardening, content checks, DNS lists, judged from outside."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from roles_support import logged
from support import Site, conversation, postconf, read, state

if TYPE_CHECKING:
    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

CASES = Path(__file__).parents[1] / "cases/roles"
KEY = "q3k9w2x7m4n8p5r6t1v0y2z4aa"
MAIL = {"domains": ["lab.example"], "networks": ["127.0.0.0/8", "[::1]/128"]}

POLICY = {
    "mail": MAIL,
    "postfix": {"parameters": {"smtpd_error_sleep_time": 0}},
    "hardening": {"limits": {"connections": 30}},
    "content_checks": {
        "header": [
            "/^Subject: .*Make Money Fast!/ REJECT no money here",
            {"pattern": "^X-Watched:", "action": "REJECT", "mode": "trial"},
        ],
        "body": [{"pattern": "^click here now$", "action": "REJECT no clicks"}],
        "reject_attachments": ["bat", "com", "exe", "dll"],
    },
    "dnsbl": {
        "zones": [
            {"zone": "dnsbl.lab.example", "filter": "127.0.0.2"},
            {"zone": "refused.lab.example", "filter": "127.0.0.[2..11]"},
            {"zone": "servfail.lab.example", "filter": "127.0.0.[2..11]"},
            {"zone": "keyed.lab.example", "filter": "127.0.0.[2;4..7]", "key": KEY},
        ],
        "domains": [{"zone": "rhsbl.lab.example", "filter": "127.0.0.2", "checks": ["sender"]}],
    },
}
ROLES = ["postfix", "smtpd_restrictions", "hardening", "content_checks", "dnsbl"]


def answer(
    lab: Lab, host: Host, client: str = "good", sender: str = "someone@good.example"
) -> tuple[int, str]:
    """The answer to RCPT from a stranger with a proper HELO name."""
    with conversation(lab, host, client) as smtp:
        smtp.ehlo("mail.good.example")
        smtp.mail(sender)
        code, text = smtp.rcpt("root@lab.example")
        return code, text.decode()


def message(**headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = "someone@good.example", "root@lab.example"
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("hello\n")
    return mail


def send(lab: Lab, host: Host, text: str | bytes) -> tuple[int, str]:
    """The answer to a whole message."""
    data = text.encode() if isinstance(text, str) else text
    with conversation(lab, host, "good") as smtp:
        smtp.ehlo("mail.good.example")
        smtp.mail("someone@good.example")
        assert smtp.rcpt("root@lab.example")[0] == 250
        code, said = smtp.data(data)
        return code, said.decode()


def test_filtering(lab: Lab, host: Host, tmp_path: Path) -> None:
    lab.dns.set_zone(
        f"{KEY}.keyed.lab.example", "list", entries={lab.client_address("second"): "127.0.0.4"}
    )
    before, settings = state(lab, host), postconf(lab, host)
    site = Site(lab, tmp_path, host)
    site.say(POLICY, ROLES)
    shown = site.plan(code=2)
    assert KEY not in shown.said
    site.settle()

    # DNS lists: who is listed, who is not, lists that will not or cannot answer.
    assert answer(lab, host)[0] == 250
    code, text = answer(lab, host, "listed")
    assert (code, "blocked using dnsbl.lab.example" in text) == (554, True)
    code, text = answer(lab, host, sender="spam@listed.example")
    assert (code, "blocked using rhsbl.lab.example" in text) == (554, True)

    # The private key shows in no reply, though the list's own text repeats it.
    code, text = answer(lab, host, "second")
    assert (code, "blocked using keyed.lab.example" in text) == (554, True)
    assert KEY not in text.lower()
    table = lab.exec(host, "stat -c '%a %U' /etc/postfix/maps/rbl_reply*").stdout.split()
    assert set(table) == {"600", "root"}
    saved = site.plan("-o", "plan.json", code=0)
    assert KEY not in saved.said

    # Hardening.
    with conversation(lab, host) as smtp:
        assert smtp.docmd("MAIL FROM:<a@good.example>")[0] == 503
        smtp.ehlo("mail.good.example")
        assert not smtp.has_extn("etrn")
        assert smtp.docmd("VRFY root")[0] == 502
        assert smtp.docmd("MAIL FROM: a@good.example")[0] == 501
    with smtplib.SMTP() as smtp:
        code, banner = smtp.connect(host.address, 25)
        assert (code, b"Debian" in banner) == (220, False)

    # Content: folded headers, attachments, body, and a rule on trial.
    assert send(lab, host, message(Subject="hello").as_bytes())[0] == 250
    folded = "Subject: how to\n Make Money Fast!\n\nhello\n"
    assert send(lab, host, folded) == (550, "5.7.1 no money here")
    assert send(lab, host, "X-Watched: yes\n\nhello\n")[0] == 250
    assert send(lab, host, "Subject: x\n\nclick here now\n") == (550, "5.7.1 no clicks")
    assert logged(lab, host, "warning: header X-Watched: yes")
    for name, expected in (("run.exe", 550), ("prices.company", 250)):
        mail = message(Subject="file")
        mail.add_attachment(b"MZ", maintype="application", subtype="octet-stream", filename=name)
        assert send(lab, host, mail.as_bytes())[0] == expected, name

    # And away again.
    site.say({"postfix": {"parameters": {"biff": False}}}, ["postfix"])
    site.apply("--prune")
    site.plan(code=0)
    after = state(lab, host)
    changed = {p for p in {*before, *after} if before.get(p) != after.get(p)}
    assert changed <= {"/etc/postfix/main.cf", "/etc/postfix"}, changed
    assert postconf(lab, host) == {**settings, "biff": "no"}


def test_attachment_patterns_in_the_real_postfix(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    site.say(
        {"content_checks": {"type": "pcre", "reject_attachments": ["bat", "com", "exe", "dll"]}},
        ["content_checks"],
    )
    site.apply()
    assert read(lab, host, "/etc/postfix/maps/mime_header_checks").count("REJECT") == 2
    cases = yaml.safe_load((CASES / "attachments.yaml").read_text("utf-8"))
    headers = [*cases["refused"], *cases["passes"]]
    for kind in ("pcre", "regexp"):
        script = "".join(
            f"postmap -hmq - {kind}:/etc/postfix/maps/mime_header_checks <<'E' "
            f">/dev/null && echo yes || echo no\n{header}\n\nbody\nE\n"
            for header in headers
        )
        found = lab.exec(host, script).stdout.split()
        expected = ["yes"] * len(cases["refused"]) + ["no"] * len(cases["passes"])
        assert found == expected, kind


@pytest.mark.matrix
def test_a_list_that_is_silent_or_lists_everything(lab: Lab, host: Host, tmp_path: Path) -> None:
    site = Site(lab, tmp_path, host)
    zones = [{"zone": "silent.lab.example", "filter": "127.0.0.2"}]
    site.say({"mail": MAIL, "dnsbl": {"zones": zones}}, ["postfix", "smtpd_restrictions", "dnsbl"])
    site.settle()
    assert answer(lab, host)[0] == 250  # after the resolver gave up
    zones = [{"zone": "all.lab.example", "filter": "127.0.0.2", "mode": "trial"}]
    site.say({"mail": MAIL, "dnsbl": {"zones": zones}}, ["postfix", "smtpd_restrictions", "dnsbl"])
    site.settle()
    assert answer(lab, host)[0] == 250
    assert logged(lab, host, "reject_warning: RCPT")
