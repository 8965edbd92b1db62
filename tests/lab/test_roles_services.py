"""Roles with services of their own: greylisting, milters, postscreen."""

from __future__ import annotations

import http.server
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from roles_support import answer, logged, pruned
from support import Site, conversation, postconf, read, state

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

MAIL = {"domains": ["lab.example"], "networks": ["127.0.0.0/8", "[::1]/128"]}
QUICK = {"parameters": {"smtpd_error_sleep_time": 0}}


def test_greylisting(lab: Lab, host: Host, tmp_path: Path) -> None:
    before, settings = state(lab, host), postconf(lab, host)
    lists = state(lab, host, "/etc/postgrey", "/etc/default/postgrey", "/etc/cron.weekly")
    site = Site(lab, tmp_path, host)
    site.say(
        {
            "mail": MAIL,
            "postfix": QUICK,
            "greylisting": {
                "delay": 1,
                "whitelist_clients": [lab.client_address("second")],
                "refresh": {"url": "http://127.0.0.1:9/list"},
            },
        },
        ["postfix", "smtpd_restrictions", "greylisting"],
    )
    site.settle()
    code, text = answer(lab, host)
    assert (code, "Greylisted" in text) == (450, True)
    lab.exec(host, "sleep 1.1")
    assert answer(lab, host)[0] == 250
    assert answer(lab, host, "second")[0] == 250
    assert answer(lab, host, to="x@elsewhere.example")[0] == 554

    # postgrey is gone: mail is let in, not refused.
    lab.exec(host, "systemctl stop postgrey")
    assert answer(lab, host, "third")[0] == 250
    assert site.addresses(host) == {"unit:postgrey": "start"}
    site.apply()

    # The job runs as cron runs it, and changes nothing when it cannot get the list.
    job = "/etc/cron.weekly/postgrey-whitelist"
    assert lab.exec(host, "run-parts --test /etc/cron.weekly").stdout.split().count(job) == 1
    ran = lab.exec(host, [job], check=False)
    assert (ran.returncode, "download failed" in ran.stderr) == (1, True)
    assert logged(lab, host, "refused: the download failed")
    now = state(lab, host, "/etc/postgrey")
    assert now["/etc/postgrey/whitelist_clients"] == lists["/etc/postgrey/whitelist_clients"]
    pruned(lab, host, site, before, settings)
    after = state(lab, host, "/etc/postgrey", "/etc/default/postgrey", "/etc/cron.weekly")
    assert {p: v for p, v in after.items() if lists.get(p) != v} == {}
    assert sorted(after) == sorted(lists)
    active = lab.exec(host, "systemctl is-active postgrey", check=False).stdout
    assert active == "inactive\n"


@contextmanager
def milter(address: str) -> Iterator[int]:
    """A milter on this machine that refuses the sender `virus@…`; yields its port."""

    class Conversation(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while head := self.request.recv(4, 0x100):  # MSG_WAITALL
                body = self.request.recv(struct.unpack("!I", head)[0], 0x100)
                command, data = body[:1], body[1:]
                if command == b"O":
                    # Version 6, no actions; ask for nothing but connect, helo, mail, rcpt.
                    self.reply(b"O" + struct.pack("!III", 6, 0, 0x78))
                elif command in b"DAKQ":
                    continue
                elif command == b"M" and b"virus@" in data:
                    self.reply(b"y550 5.7.1 refused by the filter\0")
                else:
                    self.reply(b"c")

        def reply(self, body: bytes) -> None:
            self.request.sendall(struct.pack("!I", len(body)) + body)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server((address, 0), Conversation) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_milters(lab: Lab, host: Host, tmp_path: Path) -> None:
    before, settings = state(lab, host), postconf(lab, host)
    site = Site(lab, tmp_path, host)
    roles = ["postfix", "smtpd_restrictions", "milters"]
    with milter(lab.addresses.controller) as port:
        endpoint = f"inet:{lab.addresses.controller}:{port}"
        site.say({"mail": MAIL, "postfix": QUICK, "milters": {"milters": [endpoint]}}, roles)
        site.settle()
        assert answer(lab, host)[0] == 250
        assert postconf(lab, host)["milter_default_action"] == "accept"
        with conversation(lab, host) as smtp:
            smtp.ehlo("mail.good.example")
            code, text = smtp.mail("virus@good.example")
            assert (code, text) == (550, b"5.7.1 refused by the filter")
        strict = {"endpoint": endpoint, "default_action": "tempfail", "connect_timeout": 1}
        site.say({"mail": MAIL, "postfix": QUICK, "milters": {"milters": [strict]}}, roles)
        site.settle()
    # It is gone: closed, as was asked for.
    with conversation(lab, host) as smtp:
        assert smtp.ehlo("mail.good.example")[0] == 250
        assert smtp.mail("someone@good.example")[0] == 451
    pruned(lab, host, site, before, settings)


KEY = "q3k9w2x7m4n8p5r6t1v0y2z4aa"


@pytest.mark.matrix
def test_postscreen(lab: Lab, host: Host, tmp_path: Path) -> None:
    second = lab.client_address("second")
    lab.dns.set_zone(f"{KEY}.keyed.lab.example", "list", entries={second: "127.0.0.4"})
    before, settings = state(lab, host), postconf(lab, host)
    site = Site(lab, tmp_path, host)
    site.say(
        {
            "mail": MAIL,
            "postfix": QUICK,
            "postscreen": {
                "sites": [
                    {"zone": "dnsbl.lab.example", "filter": "127.0.0.2", "weight": 2},
                    {"zone": "keyed.lab.example", "filter": "127.0.0.4", "weight": 3, "key": KEY},
                    {"zone": "dnswl.lab.example", "filter": "127.0.5.2", "weight": -5},
                ],
                "threshold": 2,
                "greet_wait": 1,
                "access": {f"{lab.client_address('third')}/32": "reject"},
            },
        },
        ["postfix", "smtpd_restrictions", "postscreen"],
    )
    planned = site.plan(code=2)
    assert KEY not in planned.said
    site.settle()
    assert answer(lab, host)[0] == 250
    assert answer(lab, host, "third")[0] in (521, 550)
    code, text = answer(lab, host, "listed")
    assert (code, "blocked using dnsbl.lab.example" in text) == (550, True)
    code, text = answer(lab, host, "second")
    assert (code, "blocked using keyed.lab.example" in text) == (550, True)
    assert KEY not in text.lower()
    assert "texthash" in read(lab, host, "/etc/postfix/main.cf")
    pruned(lab, host, site, before, settings)


@contextmanager
def web(address: str, text: str) -> Iterator[str]:
    """A web server on this machine with one page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            pass

    with http.server.HTTPServer((address, 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://{address}:{server.server_port}/list"
        server.shutdown()


@pytest.mark.matrix
def test_greylisting_from_nothing_and_a_fresh_list(lab: Lab, host: Host, tmp_path: Path) -> None:
    lab.exec(host, "DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge postgrey", seconds=120)
    site = Site(lab, tmp_path, host)
    roles = ["postfix", "smtpd_restrictions", "greylisting"]
    wanted = {"mail": MAIL, "postfix": QUICK, "greylisting": {"refresh": {}}}
    site.say(wanted, roles)
    planned = site.plan(code=2)
    assert "install package:postgrey" in planned.out
    site.settle()
    assert "Greylisted" in answer(lab, host)[1]

    path = "/etc/postgrey/whitelist_clients"
    better = read(lab, host, path) + f"{lab.client_address('third')}\n"
    with web(lab.addresses.controller, better) as url:
        site.say({**wanted, "greylisting": {"refresh": {"url": url}}}, roles)
        site.settle()
        assert "Greylisted" in answer(lab, host, "third", sender="one@good.example")[1]
        process = lab.exec(host, "systemctl show -p MainPID postgrey").stdout
        lab.exec(host, ["/etc/cron.weekly/postgrey-whitelist"])
        assert read(lab, host, path) == better
        assert logged(lab, host, "postgrey-whitelist: replaced")
        lab.exec(host, ["/etc/cron.weekly/postgrey-whitelist"])
        assert logged(lab, host, "postgrey-whitelist: nothing new")
    # Told by a hang-up, not by a restart; the new entry counts.
    assert lab.exec(host, "systemctl show -p MainPID postgrey").stdout == process
    assert answer(lab, host, "third", sender="two@good.example")[0] == 250
    site.plan(code=0)
