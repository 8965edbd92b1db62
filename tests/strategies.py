"""Hypothesis strategies for hosts as people leave them, and for what is wanted of them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from simulate import FACTS, MemoryHost, Node

from provisioner.marks import Mark
from provisioner.postfix.master_cf import Service
from provisioner.postfix.tables import Entry, fold_key
from provisioner.resources.base import Attributes, Origin, Resource
from provisioner.resources.file import File, FileState
from provisioner.resources.observed import UnitState
from provisioner.resources.parameter import Parameter
from provisioner.resources.restriction import LISTS, Mode, RestrictionEntry, Stage
from provisioner.resources.service import HOST_CHROOT, MasterService
from provisioner.resources.table import Table
from provisioner.resources.unit import Unit

NAMES = ("myhostname", "mydestination", "inet_interfaces", "html_directory", "relayhost", "x_y")
VALUES = ("", "a", "$myhostname", "a, b", "a b,c", "yes", "hash:/etc/postfix/t", "é", "# no")
PATHS = ("/etc/postfix/t", "/etc/postfix/access", "/etc/cron.weekly/x")

origins = st.builds(
    Origin, st.sampled_from(["one", "two"]), st.just("o"), st.just(Mark("site.yml", 1, 1))
)
attributes = st.builds(
    Attributes,
    st.sampled_from([None, "root", "postfix"]),
    st.sampled_from([None, "root", "postfix"]),
    st.sampled_from([None, 0o644, 0o600, 0o755]),
)


# ---- files as they are found -----------------------------------------------------------

_settings = st.builds("{}{}={}{}".format, *(
    st.sampled_from(NAMES), st.sampled_from(["", " "]), st.sampled_from(["", " "]),
    st.sampled_from([*VALUES, "a\n  b", "a,\n# c\n\tb", "a\n\n b", "\udce9\udcff"]),
))  # fmt: skip
_noise = st.sampled_from(["", "# comment", "  # indented", "\t", "#x = 1", "broken line"])
_ends = st.sampled_from(["\n", "\n", "\n", "\r\n"])


@st.composite
def main_texts(draw: st.DrawFn) -> str:
    """A main.cf with duplicates, folds, comments, odd line ends and bytes."""
    lines = draw(st.lists(_settings | _noise, max_size=8))
    end = draw(_ends)
    text = "".join(line.replace("\n", end) + end for line in lines)
    if draw(st.booleans()):
        text = text.removesuffix(end)
    return ("\ufeff" if draw(st.integers(0, 9)) == 0 else "") + text


_SERVICES = ("smtp inet", "smtps inet", "465 inet", "submission inet", "587 inet", "x unix")
_master_lines = st.builds("{} - - {} - - {}".format, *(
    st.sampled_from(_SERVICES), st.sampled_from("yn-"),
    st.sampled_from(["smtpd", "smtpd -o a=1", "smtpd\n  -o a=1\n# c\n  -o b=2", "pipe\n\targv=/x"]),
)) | st.sampled_from(["# comment", "#smtps inet n - y - - smtpd", ""])  # fmt: skip


@st.composite
def master_texts(draw: st.DrawFn) -> str:
    text = "\n".join(draw(st.lists(_master_lines, max_size=6)))
    return text + draw(st.sampled_from(["", "\n"]))


_nodes = st.builds(
    Node,
    st.sampled_from([b"", b"a b\n", b"a b\nc d", b"\xff\xfe\n", b"A REJECT\r\n"]),
    owner=st.sampled_from(["root", "bob"]),
    mode=st.sampled_from([0o644, 0o600]),
)


@st.composite
def hosts(draw: st.DrawFn) -> MemoryHost:
    facts = replace(FACTS, postfix_running=draw(st.booleans()))
    host = MemoryHost.with_postfix(draw(main_texts()), draw(master_texts()), facts=facts)
    host.nodes |= draw(st.dictionaries(st.sampled_from(PATHS), _nodes))
    host.units["cron"] = UnitState("loaded", *draw(st.sampled_from(
        [("active", "enabled"), ("inactive", "disabled"), ("failed", "static")]
    )))  # fmt: skip
    if draw(st.booleans()):
        host.remember()
    host.pending = draw(st.sampled_from(["", "", "reload x", "restart x"]))
    return host


# ---- what is wanted --------------------------------------------------------------------

_plain_values = st.sampled_from([value for value in VALUES if value != "# no"])
parameters = st.one_of(
    st.builds(Parameter, origins, st.sampled_from(NAMES), _plain_values, st.booleans()),
    st.builds(Parameter, origins, st.sampled_from(NAMES), st.none()),
)


@st.composite
def services(draw: st.DrawFn) -> MasterService:
    name, type_ = draw(st.sampled_from(_SERVICES)).split()
    if draw(st.booleans()):
        return MasterService(draw(origins), name, type_, None)
    options = draw(st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["", "1", "x y"])))
    chroot = draw(st.sampled_from([HOST_CHROOT, "y", "n"]))
    service = Service(name, type_, chroot=chroot, command="smtpd", options=tuple(options.items()))
    return MasterService(draw(origins), name, type_, service)


_words = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='"\\#:'),
    min_size=1,
    max_size=6,
)


@st.composite
def table_resources(draw: st.DrawFn) -> Table:
    found = draw(st.dictionaries(_words, _words, max_size=4))
    entries = {fold_key(key): Entry(key, value) for key, value in found.items()}
    type_ = draw(st.sampled_from(["indexed", "hash", "cidr", "texthash"]))
    path = draw(st.sampled_from(PATHS[:2]))
    return Table(draw(origins), path, type_, tuple(entries.values()), None, draw(attributes))


files = st.builds(
    File,
    origins,
    st.just(PATHS[2]),
    st.sampled_from([FileState.FILE, FileState.ABSENT]),
    st.binary(max_size=20),
    attributes,
)
units = st.builds(
    Unit,
    origins,
    st.sampled_from(["cron", "postfix"]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, True, False]),
)


def _one_per_address(found: list[Resource]) -> list[Resource]:
    return list({each.address: each for each in found}.values())


resources = st.lists(parameters | services() | table_resources() | files | units, max_size=8).map(
    _one_per_address
)


# ---- contributions ---------------------------------------------------------------------

_TEXTS = {
    Stage.OWN_CLIENTS: ["permit_mynetworks", "permit_sasl_authenticated"],
    Stage.RELAY_GUARD: ["reject_unauth_destination"],
    Stage.EXEMPTIONS: ["check_client_access cidr:/e", "check_sender_access cidr:/s"],
    Stage.SYNTAX: ["reject_invalid_helo_hostname", "reject_invalid_hostname"],
    Stage.LOCAL_TABLES: ["check_client_access indexed:/c", "check_recipient_access indexed:/r"],
    Stage.DNS: ["reject_unknown_client_hostname", "reject_unknown_client"],
    Stage.DNSBL: ["reject_rbl_client a.example", "permit_dnswl_client w.example"],
    Stage.POLICY: ["check_policy_service inet:127.0.0.1:10023"],
    Stage.FINAL: ["permit"],
}


@st.composite
def restriction_entries(draw: st.DrawFn) -> RestrictionEntry:
    stage = draw(st.sampled_from(list(_TEXTS)))
    text = draw(st.sampled_from(_TEXTS[stage]))
    if stage is Stage.RELAY_GUARD:
        lists: tuple[str, ...] = ("smtpd_relay_restrictions", "smtpd_recipient_restrictions")
    else:
        lists = tuple(draw(st.lists(st.sampled_from(LISTS), min_size=1, max_size=3, unique=True)))
    modes = list(Mode) if stage > Stage.RELAY_GUARD else [Mode.ENFORCE, Mode.DISABLED]
    return RestrictionEntry(draw(origins), stage, lists, text, draw(st.sampled_from(modes)))
