"""The examples, applied to real hosts and judged from outside."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from roles_support import answer, logged, logged_in
from support import Done, Site, conversation, postconf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

EXAMPLES = Path(__file__).parents[2] / "examples"


class Example:
    """A copy of an example, its hosts being hosts of the lab."""

    def __init__(self, lab: Lab, name: str, folder: Path, hosts: Mapping[str, Host]) -> None:
        shutil.copytree(EXAMPLES / name, folder, dirs_exist_ok=True)
        self._site = Site(lab, folder)
        shutil.copy(EXAMPLES / name / "site.yml", folder)
        where = {each: lab.connection_vars(host) for each, host in hosts.items()}
        quick = {"parameters": {"smtpd_error_sleep_time": 0}}
        inventory = {"all": {"hosts": where, "vars": {"postfix": quick}}}
        (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def run(self, verb: str, *arguments: str, code: int = 0) -> Done:
        return self._site.run(verb, "-i", "inventory", *arguments, code=code)

    def settle(self) -> None:
        self.run("apply", "-y")
        self.run("plan")


def known_names(lab: Lab) -> None:
    """The world as the articles and examples know it."""
    zen = {
        lab.client_address("listed"): "127.0.0.4",
        lab.client_address("third"): "127.255.255.254",
    }
    lab.dns.set_zone("zen.spamhaus.org", "list", entries=zen)
    lab.dns.set_zone("dbl.spamhaus.org", "list", entries={"listed.example": "127.0.1.2"})
    lab.dns.set("example.com", MX=["10 mail.example.com"])


def test_clearos_article(lab: Lab, host: Host, tmp_path: Path) -> None:
    known_names(lab)
    lab.dns.set("news.example.com", MX=["10 mail.example.com"])
    Example(lab, "clearos-article", tmp_path, {"mail.example.com": host}).settle()

    def code(client: str = "good", sender: str = "a@good.example", **how: str) -> tuple[int, str]:
        return answer(lab, host, client, sender=sender, to="root@example.com", **how)

    assert "Greylisted" in code()[1]
    assert code("nameless")[0] == 450
    assert "blocked using zen.spamhaus.org" in code("listed")[1]
    assert "Greylisted" in code("third")[1]  # "you ask too much" is no listing
    assert code(helo="laptop")[0] == 504
    assert code(helo="bad..example")[0] == 501
    assert code(sender="fred@example.com")[0] == 550
    assert code(sender="fred@news.example.com")[0] == 550
    assert code(sender="x@nowhere.example")[0] == 450  # greylisted, not refused for its domain
    assert "Greylisted" in code(sender="x@nowhere.example")[1]
    for port in (25, 587):
        with conversation(lab, host, port=port) as smtp:
            smtp.ehlo("mail.good.example")
            assert smtp.has_extn("auth") is False
            assert smtp.has_extn("starttls") is True
    # Our own people, from a laptop without PTR and with a HELO name to match.
    for port in (587, 465):
        with logged_in(lab, host, port) as session:
            assert session.mail("fred@example.com")[0] == 250
            assert session.rcpt("x@good.example")[0] == 250
    lists = postconf(lab, host)["smtpd_recipient_restrictions"]
    assert lists.index("check_policy_service") < lists.index("reject_rbl_client")


def test_akadia_article(lab: Lab, host: Host, tmp_path: Path) -> None:
    known_names(lab)
    Example(lab, "akadia-article", tmp_path, {"mail.example.com": host}).settle()
    settings = postconf(lab, host)
    assert [settings[f"smtpd_{each}_restrictions"] for each in ("client", "helo", "sender")] == [
        "",
        "",
        "",
    ]
    # The article's own conversation, with a client that the lab has.
    lab.exec(
        host,
        "cd /etc/postfix/maps && postmap -q 80.218.40.251 $(postconf -h default_database_type):"
        "access_client | grep REJECT",
    )

    def code(client: str = "good", sender: str = "a@good.example", **how: str) -> int:
        return answer(lab, host, client, sender=sender, **{"to": "root@example.com", **how})[0]

    assert code() == 250
    assert code(to="root@elsewhere.example") == 554
    assert code(helo="friend.example") == 554
    assert code(sender="offers@bulk.example") == 554  # by the table, before DNS is asked
    assert code(sender="x@nowhere.example") == 450
    assert code(sender="x@nowhere") == 504
    assert code(to="sales@example.com") == 554
    assert code("listed") == 554
    assert code(sender="x@listed.example") == 554
    with conversation(lab, host) as smtp:
        smtp.ehlo("mail.good.example")
        smtp.mail("a@good.example")
        smtp.rcpt("root@example.com")
        assert smtp.data(b"Subject: how to\n Make Money Fast!\n\nx\n")[0] == 550


@pytest.mark.matrix
def test_company(lab: Lab, fresh_host: Callable[..., Host], tmp_path: Path) -> None:
    known_names(lab)
    releases = sorted({host.release for host in lab.hosts})[:2]
    names = ("mx1", "mx2", "out", "submit")
    hosts = {n: fresh_host(releases[i % len(releases)]) for i, n in enumerate(names)}
    lab.dns.set("out.example.com", A=[hosts["out"].address])
    example = Example(lab, "company", tmp_path, {f"{n}.example.com": h for n, h in hosts.items()})
    # Postfix says who it is from its host name, which is the lab's.
    network = f"{hosts['submit'].address}/32"
    group = tmp_path / "inventory/group_vars/outbound.yml"
    own = group.read_text().replace("192.0.2.0/24", network)
    group.write_text(own.replace("192.0.2.80", hosts["submit"].address))
    example.settle()
    mx = hosts["mx1"]
    code, text = answer(lab, mx, to="info@example.com")
    assert (code, "Greylisted" in text) == (450, True)
    assert answer(lab, mx, to="ghost@example.com")[0] == 550
    assert answer(lab, mx, to="x@elsewhere.example")[0] == 554
    assert answer(lab, mx, "listed", to="info@example.com")[0] == 554
    assert answer(lab, hosts["out"], to="info@good.example")[0] == 554
    # A person's mail goes from the submission host to the relay.
    with logged_in(lab, hosts["submit"], 587) as session:
        session.sendmail("alice@example.com", ["x@good.example"], "Subject: hello\n\nhello\n")
    assert logged(lab, hosts["submit"], "status=sent (250", 20)
