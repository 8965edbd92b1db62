"""master.cf as we read and edit it is master.cf as the real postconf reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from examples import BATCH, real
from provisioner.diagnostics import Severity
from provisioner.postfix import master_cf
from provisioner.postfix.master_cf import Service, same_key, same_service
from provisioner.postfix.splice import apply_splices, encode

if TYPE_CHECKING:
    from real_postfix import Postfix

option_values = st.sampled_from(
    ["yes", "", "permit_sasl_authenticated,reject", "a, b c", "{ x, y }", "$u", "a=b", "é d"]
)
flag = st.sampled_from("yn-")
services = st.builds(
    Service,
    name=st.sampled_from(["smtp", "25", "submission", "587", "smtps", "465", "a.b:10", "maildrop"]),
    type=st.sampled_from(["inet", "inet", "unix", "pass"]),
    private=st.sampled_from("n-"),
    unpriv=flag,
    chroot=flag,
    wakeup=st.sampled_from(["-", "0", "60", "300?"]),
    maxproc=st.sampled_from(["-", "0", "1", "20"]),
    command=st.sampled_from(["smtpd", "pipe", "spawn"]),
    options=st.lists(
        st.tuples(st.sampled_from(["syslog_name", "smtpd_tls_wrappermode", "x"]), option_values),
        max_size=3,
    ).map(tuple),
    flags=st.lists(st.sampled_from(["-v", "-D", "-vv"]), max_size=2).map(tuple),
    arguments=st.sampled_from(
        [(), ("flags=DRhu", "user=vmail", "argv=/x", "-f", "${sender}"), ("x", "a b", "{c}", "d")]
    ),
)

# The same services as people write them: folded anywhere, with comments in between.
gaps = st.sampled_from(
    [" ", "   ", "\t", "\n  ", "\n\t", "\n# note\n  ", "\n\n  ", "\n  # -o x=y\n "]
)


@st.composite
def written(draw: st.DrawFn) -> str:
    service = draw(services)
    words = [getattr(service, name) for name in master_cf.FIELDS]
    words += service.flags
    for name, value in service.options:
        blank = any(each in value for each in " \t")
        pair = f"{{ {name} = {value} }}" if blank or draw(st.booleans()) else f"{name}={value}"
        words += ["-o", pair]  # postconf, unlike the daemons, cuts -oname=value at any o
    words += [
        f"{{{word}}}" if " " in word or "{" in word[:1] else word for word in service.arguments
    ]
    line = words[0]
    for word in words[1:]:
        line += draw(gaps) + word
    return line


blocks = st.one_of(
    written(), written(), st.sampled_from(["#", "", "#smtps inet n - n - - smtpd", "  "])
)
files = st.builds(
    lambda blocks, crlf, end: ("\n".join(blocks) + ("\n" if end and blocks else "")).replace(
        "\n", "\r\n" if crlf else "\n"
    ),
    st.lists(blocks, max_size=6),
    st.booleans(),
    st.booleans(),
)
batches = st.lists(files, min_size=BATCH, max_size=BATCH)


def ask(postfix: Postfix, texts: list[str]) -> list[list[str]]:
    """What `postconf -M` lists for each master.cf, columns squeezed."""
    cases = [{"master.cf": encode(text), "main.cf": b""} for text in texts]
    found = []
    for text, answer in zip(texts, postfix.run(cases, 'postconf -c "$D" -M'), strict=True):
        assert answer.status == 0, (text, answer.err)
        lines = answer.out.decode("utf-8", "surrogateescape").splitlines()
        found.append([_squeeze(line) for line in lines])
    return found


def _squeeze(line: str) -> str:
    *fields, rest = line.split(None, len(master_cf.FIELDS) - 1)
    return " ".join([*fields, rest])


def as_postconf(service: Service) -> str:
    """`service` as `postconf -M` prints it, one blank between the columns."""
    words = [getattr(service, name) for name in master_cf.FIELDS]
    words += service.flags
    for name, value in service.options:
        text = f"{name}={value}"
        words += ["-o", f"{{{text}}}" if _has_blank(text) else text]
    words += [f"{{{word}}}" if _has_blank(word) else word for word in service.arguments]
    return " ".join(words)


def _has_blank(text: str) -> bool:
    return any(char in master_cf.BLANKS for char in text)


@real
@given(texts=batches)
def test_services_are_those_of_postconf(postfix: Postfix, texts: list[str]) -> None:
    for text, said in zip(texts, ask(postfix, texts), strict=True):
        assert [as_postconf(each) for each in master_cf.parse(text).entries] == said, repr(text)


@real
@given(texts=batches, wanted=st.lists(services, min_size=BATCH, max_size=BATCH))
def test_an_edit_says_what_was_asked_and_nothing_else(
    postfix: Postfix, texts: list[str], wanted: list[Service]
) -> None:
    edits = [
        master_cf.edit(text, {service.key: service})
        for text, service in zip(texts, wanted, strict=True)
    ]
    before = ask(postfix, texts)
    after = ask(postfix, [edit.text for edit in edits])
    for text, service, edit, old, new in zip(texts, wanted, edits, before, after, strict=True):
        assert apply_splices(encode(text), edit.splices) == encode(edit.text)
        others = [line for line in old if _key(line) != same_key(*service.key)]
        assert [line for line in new if _key(line) != same_key(*service.key)] == others
        (said,) = (line for line in new if _key(line) == same_key(*service.key))
        spelled = replace(service, name=said.split()[0])
        if edit.changed and said not in old:
            assert said == as_postconf(spelled)
        else:  # it was there already, perhaps with its options in another order
            assert same_service(master_cf.parse(said).entries[0], service)


def _key(line: str) -> master_cf.Key:
    name, kind, *_ = line.split()
    return same_key(name, kind)


def test_the_shipped_services_are_read_and_survive_an_edit(postfix: Postfix) -> None:
    stock = postfix.one({}, "cat /etc/postfix/master.cf").out.decode()
    listed = ask(postfix, [stock])[0]
    assert [as_postconf(each) for each in master_cf.parse(stock).entries] == listed
    submission = Service("submission", "inet", "n", command="smtpd", options=(("x", "a, b"),))
    edit = master_cf.edit(stock, {submission.key: submission})
    assert [each for each in ask(postfix, [edit.text])[0] if each not in listed] == [
        as_postconf(submission)
    ]


REFUSED = (
    "smtp inet n - n - -",
    "smtp tcp n - n - - smtpd",
    "smtp inet x - n - - smtpd",
    "smtp inet n - n 1m - smtpd",
    "smtp inet n - n - many smtpd",
    "smtp inet n - yes - - smtpd",
    "\ufeff# comment",
)


def test_what_postconf_refuses_is_an_error(postfix: Postfix) -> None:
    cases = [{"master.cf": f"{line}\n".encode(), "main.cf": b""} for line in REFUSED]
    for line, answer in zip(REFUSED, postfix.run(cases, 'postconf -c "$D" -M'), strict=True):
        assert answer.status != 0, line
        problems = master_cf.parse(f"{line}\n").problems
        assert [each.severity for each in problems].count(Severity.ERROR) == 1, line
