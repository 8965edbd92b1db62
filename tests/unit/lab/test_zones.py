"""What the lab's DNS answers: the data, and the packets made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dnslib import QTYPE, RCODE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from provisioner.lab import zones
from provisioner.lab.addresses import Block
from provisioner.lab.dns import Dns, ZonesFile, reply
from provisioner.lab.state import Host, LabState

if TYPE_CHECKING:
    from ipaddress import IPv4Address
    from pathlib import Path

BLOCK = Block(7)
DATA = zones.initial(BLOCK, [("mx1", BLOCK.host(1)), ("mx2", BLOCK.host(2))])
CLIENTS = BLOCK.clients


def reversed_(address: str) -> str:
    return ".".join(reversed(address.split(".")))


CASES = [
    ("mx1.lab.example", "A", "answer", [BLOCK.host(1)]),
    ("MX1.Lab.Example.", "A", "answer", [BLOCK.host(1)]),
    ("mx1.lab.example", "AAAA", "nodata", []),
    ("mx9.lab.example", "A", "nxdomain", []),
    ("lab.example", "MX", "answer", ["10 mx1.lab.example", "10 mx2.lab.example"]),
    ("example", "A", "nodata", []),  # nothing there, but names below it
    (zones.reverse_name(BLOCK.host(2)), "PTR", "answer", ["mx2.lab.example"]),
    (zones.reverse_name(CLIENTS["nameless"]), "PTR", "nxdomain", []),
    (zones.reverse_name(CLIENTS["mismatched"]), "PTR", "answer", ["mismatched.client.example"]),
    ("mismatched.client.example", "A", "nxdomain", []),
    ("mail.good.example", "A", "answer", [CLIENTS["good"]]),
    ("nullmx.example", "MX", "answer", ["0 ."]),
    ("broken.example", "MX", "servfail", []),
    ("a.b.slow.example", "A", "silent", []),
    # RFC 5782: test points, entries, domains
    (f"2.0.0.127.{zones.DNSBL}", "A", "answer", ["127.0.0.2"]),
    (f"1.0.0.127.{zones.DNSBL}", "A", "nxdomain", []),
    (f"1.0.0.127.{zones.LISTS_EVERYTHING}", "A", "nxdomain", []),
    (f"{reversed_(CLIENTS['listed'])}.{zones.DNSBL}", "A", "answer", ["127.0.0.2"]),
    (f"{reversed_(CLIENTS['good'])}.{zones.DNSBL}", "A", "nxdomain", []),
    (f"{reversed_(CLIENTS['allowed'])}.{zones.ALLOW_LIST}", "A", "answer", ["127.0.5.2"]),
    (f"test.{zones.RHSBL}", "A", "answer", ["127.0.0.2"]),
    (f"invalid.{zones.RHSBL}", "A", "nxdomain", []),
    (f"listed.example.{zones.RHSBL}", "A", "answer", ["127.0.0.2"]),
    (f"good.example.{zones.RHSBL}", "A", "nxdomain", []),
    (f"9.9.9.9.{zones.REFUSES}", "A", "answer", ["127.255.255.254"]),
    (f"9.9.9.9.{zones.FAILS}", "A", "servfail", []),
    (f"9.9.9.9.{zones.SILENT}", "A", "silent", []),
    (zones.DNSBL, "A", "nodata", []),
    (f"9.9.9.9.{zones.LISTS_EVERYTHING}", "MX", "nodata", []),
]


@pytest.mark.parametrize(("name", "kind", "status", "values"), CASES)
def test_look_up(name: str, kind: str, status: str, values: list[str]) -> None:
    answer = zones.look_up(DATA, name, kind)
    assert (answer.status, [value for _, value in answer.records]) == (status, values)


def test_listings_say_why() -> None:
    name = f"{reversed_(CLIENTS['listed'])}.{zones.DNSBL}"
    [(_, text)] = zones.look_up(DATA, name, "TXT").records
    assert text == f"{CLIENTS['listed']} is listed by {zones.DNSBL}"


def test_aliases_are_followed() -> None:
    data = {"records": {"a.test": {"CNAME": ["b.test"]}, "b.test": {"A": ["192.0.2.1"]}}}
    answer = zones.look_up({**data, "zones": {}}, "a.test", "A")
    assert answer.records == (("CNAME", "b.test"), ("A", "192.0.2.1"))


def test_aliases_that_go_round_end() -> None:
    data = {"records": {"a.test": {"CNAME": ["b.test"]}, "b.test": {"CNAME": ["a.test"]}}}
    assert zones.look_up({**data, "zones": {}}, "a.test", "A").status == "servfail"


@given(st.ip_addresses(v=4))
def test_a_list_of_everything_lists_everything_but_its_test_point(address: IPv4Address) -> None:
    name = f"{reversed_(str(address))}.{zones.LISTS_EVERYTHING}"
    listed = zones.look_up(DATA, name, "A").status == "answer"
    assert listed == (str(address) != "127.0.0.1")


@given(st.ip_addresses(v=4))
def test_a_list_lists_its_entries_alone(address: IPv4Address) -> None:
    name = f"{reversed_(str(address))}.{zones.DNSBL}"
    listed = zones.look_up(DATA, name, "A").status == "answer"
    assert listed == (str(address) in (CLIENTS["listed"], "127.0.0.2"))


# -- packets ----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind", "status", "values"), CASES)
def test_packets(name: str, kind: str, status: str, values: list[str]) -> None:
    query = DNSRecord.question(name, kind)
    packet, line = reply(DATA, query.pack())
    assert f" {kind} {status}" in line
    if status == "silent":
        assert packet is None
        return
    assert packet is not None
    answer = DNSRecord.parse(packet)
    assert answer.header.id == query.header.id
    assert answer.header.aa
    codes = {"nxdomain": RCODE.NXDOMAIN, "servfail": RCODE.SERVFAIL}
    assert answer.header.rcode == codes.get(status, RCODE.NOERROR)
    assert [str(each.rdata).rstrip(".") for each in answer.rr] == [
        value.rstrip(".") for value in values
    ]
    assert all(QTYPE[each.rtype] == kind for each in answer.rr)


def test_text_is_quoted_in_packets() -> None:
    packet, _ = reply(DATA, DNSRecord.question("good.example", "TXT").pack())
    assert packet is not None
    assert str(DNSRecord.parse(packet).rr[0].rdata) == '"v=spf1 mx -all"'


# -- the handle -------------------------------------------------------------------


@pytest.fixture
def dns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dns:
    monkeypatch.setenv("PROVISIONER_LAB_RUN", str(tmp_path))
    lab = LabState("x", 7, 0.0, [Host("mx1", "bookworm", "systemd", 1, BLOCK.host(1), "")])
    lab.save()
    handle = Dns(lab)
    handle.reset()
    return handle


def test_records_are_set_kept_and_taken_away(dns: Dns) -> None:
    dns.set("X.example.", A=["192.0.2.1"], MX=["5 x.example"])
    dns.set("x.example", MX=None)
    assert dns.load()["records"]["x.example"] == {"A": ["192.0.2.1"]}
    dns.set("x.example", A=None)
    assert "x.example" not in dns.load()["records"]
    dns.set("never.example")
    assert "never.example" not in dns.load()["records"]


def test_lists_and_zones_are_changed_and_reset(dns: Dns) -> None:
    before = dns.load()
    dns.list_address(zones.DNSBL, "192.0.2.1", "127.0.0.4")
    dns.set_zone("lame.example", "servfail")
    assert zones.look_up(dns.load(), f"1.2.0.192.{zones.DNSBL}", "A").records == (
        ("A", "127.0.0.4"),
    )
    dns.list_address(zones.DNSBL, "192.0.2.1", None)
    dns.set_zone("lame.example", None)
    assert dns.load() == before
    dns.save({"records": {}, "zones": {}})
    dns.reset()
    assert dns.load() == before


def test_the_server_reads_what_was_written_last(dns: Dns) -> None:
    source = ZonesFile(dns.path)
    assert "new.example" not in source.read()["records"]
    dns.set("new.example", A=["192.0.2.1"])
    assert source.read()["records"]["new.example"] == {"A": ["192.0.2.1"]}
