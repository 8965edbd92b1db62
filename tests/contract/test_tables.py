"""Table sources as we read, write and dump them are tables as the real postmap makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from provisioner.postfix import tables
from provisioner.postfix.splice import encode
from provisioner.postfix.tables import COMPILED, Entry

if TYPE_CHECKING:
    from real_postfix import Postfix

BATCH = 40
real = settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a failure names its file; shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

keys = st.sampled_from(
    [
        "example.com",
        "Example.COM",
        "user@Example.com",
        "192.0.2.1",
        '"john doe"@example.com',
        '"open',
        "back\\ slash",
        "Ärger.example",
        "straße",
        "İ.example",
        "ΣΊΣΥΦΟΣ",
        "raw\udcff",
        "k:",
        "<>",
        "a=b",
    ]
)
texts = st.sampled_from(
    ["OK", "REJECT", "550 5.7.1 no  thanks", "x#y", "# z", "DUNNO ", "Ä ü", '"quoted"', "{ a }"]
)
lines = st.one_of(
    st.builds(
        lambda key, gap, text: key + gap + text, keys, st.sampled_from([" ", "\t", "   "]), texts
    ),
    st.builds(lambda gap, text: gap + text, st.sampled_from([" ", "\t"]), texts),
    keys,
    st.sampled_from(["# comment", "  # indented", "", "   "]),
)
files = st.builds(
    lambda lines, eol, end: eol.join(lines) + (eol if end and lines else ""),
    st.lists(lines, max_size=10),
    st.sampled_from(["\n", "\n", "\r\n"]),
    st.booleans(),
)

good_keys = st.sampled_from(
    ["example.com", "User@Example.org", "192.0.2", '"a b"@c.d', "Straße.example", "<>", "2001:db8"]
)
good_values = st.sampled_from(["OK", "REJECT go away", "550 5.7.1 no  thanks # really", "é"])
tidy = st.dictionaries(good_keys, good_values, max_size=7).map(
    lambda pairs: [Entry(key, value) for key, value in pairs.items()]
)


def supports(postfix: Postfix, kind: str) -> None:
    if kind not in postfix.types:
        pytest.skip(f"this Postfix {postfix.version} has no {kind} tables")


def compiled(
    postfix: Postfix, kind: str, sources: list[str], *, utf8: str = "yes"
) -> list[tuple[list[str], str]]:
    """For each source: what postmap complains of, and the sorted dump of the table."""
    main = f"smtputf8_enable = {utf8}\n".encode()
    cases = [{"t": encode(source), "main.cf": main, "master.cf": b""} for source in sources]
    command = (
        f'postmap -c "$D" {kind}:"$D/t" && postmap -c "$D" -s {kind}:"$D/t" 2>/dev/null'
        " | LC_ALL=C sort"
    )
    found = []
    for source, answer in zip(sources, postfix.run(cases, command), strict=True):
        assert answer.status == 0, (source, answer.err)
        dump = answer.out.decode("utf-8", "surrogateescape")
        found.append((tables.complaints(answer.err), dump))
    return found


@pytest.mark.parametrize("kind", COMPILED)
@real
@given(sources=st.lists(files, min_size=BATCH, max_size=BATCH))
def test_a_source_is_read_as_postmap_reads_it(
    postfix: Postfix, kind: str, sources: list[str]
) -> None:
    supports(postfix, kind)
    for source, (complaints, dump) in zip(sources, compiled(postfix, kind, sources), strict=True):
        table = tables.parse(source)
        if tables.can_dump(kind, postfix.version):
            assert tables.dump(table.entries) == dump, repr(source)
        ends_well = [each for each in table.problems if "newline" not in each.message]
        aliases = any(entry.key.endswith(":") for entry in table.entries)
        assert bool(complaints) == bool(ends_well or aliases), (source, complaints)


@pytest.mark.parametrize("kind", COMPILED)
@real
@given(batch=st.lists(tidy, min_size=BATCH, max_size=BATCH), utf8=st.sampled_from(["yes", "no"]))
def test_what_we_write_compiles_without_complaint(
    postfix: Postfix, kind: str, batch: list[list[Entry]], utf8: str
) -> None:
    supports(postfix, kind)
    sources = [tables.render(entries, kind) for entries in batch]
    said = compiled(postfix, kind, sources, utf8=utf8)
    for entries, (complaints, dump) in zip(batch, said, strict=True):
        assert complaints == []
        if tables.can_dump(kind, postfix.version):
            assert tables.dump(entries) == dump


def test_a_cdb_of_the_same_source_has_the_same_bytes(postfix: Postfix) -> None:
    supports(postfix, "cdb")
    source = encode(tables.render([Entry(f"key{n}.example", f"REJECT {n}") for n in range(50)]))
    command = 'postmap -c "$D" cdb:"$D/t" && cat "$D/t.cdb"'
    case = {"t": source, "main.cf": b"", "master.cf": b""}
    one, other = postfix.run([case, case], command)
    assert one.status == 0
    assert one.out
    assert one.out == other.out


def test_the_symbolic_type_becomes_one_that_compiles(postfix: Postfix) -> None:
    default = postfix.one({}, "postconf -h default_database_type").out.decode().strip()
    kind = tables.resolve_indexed(postfix.types, default)
    assert kind in COMPILED
    ((complaints, _),) = compiled(postfix, kind, ["a.example OK\n"])
    assert complaints == []
