"""`verify`, `ask` and `plan --rehearse` against hosts that answer as a rehearsal does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.cli import main
from provisioner.errors import HostError, Unreachable
from provisioner.fleet.outcome import Outcome, Status
from provisioner.host.rehearsal import Rehearsal
from provisioner.marks import Mark
from provisioner.planning.planner import Desired
from provisioner.policy.conversation import (
    Conversation,
    Expectation,
    PolicyTest,
    Reply,
    Stage,
    Verdict,
)
from provisioner.report.verdictfiles import junit
from provisioner.resources.base import Origin
from provisioner.transport.base import Exchange
from provisioner.transport.fake import Answer, FakeTransport

SITE = "- hosts: mx\n  roles: [postfix, smtpd_restrictions, access_maps]\n"
INVENTORY = "mx:\n  hosts:\n    mx1:\n    mx2:\n"
VARIABLES = """\
mail: {domains: [example.com]}
access_maps:
  client:
    entries:
      80.218.40.251: REJECT
policy_tests:
  - name: the listed spammer is refused
    client: 80.218.40.251
    expect: {reply: 554, text: Client host rejected}
  - {name: strangers cannot relay, skip: tried elsewhere}
  - {name: nobody minds, expect: accept}
"""
DECISION = ("check_client_access", "hash:/etc/postfix/maps/access_client", "80.218.40.251", "OK")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    site = tmp_path / "site"
    (site / "inventory" / "group_vars").mkdir(parents=True)
    (site / "site.yml").write_text(SITE)
    (site / "inventory" / "hosts.yml").write_text(INVENTORY)
    (site / "inventory" / "group_vars" / "mx.yml").write_text(VARIABLES)
    monkeypatch.chdir(site)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CI", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str, hosts: Mapping[str, Answer | HostError]) -> tuple[int, str, str]:
        transport = FakeTransport(hosts)
        monkeypatch.setattr("provisioner.cli.workspace.open_transport", lambda: transport)
        capsys.readouterr()
        code = main.run(list(arguments))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        for connection in transport.connections:
            assert connection.counters.execs == 1
        assert len(transport.connections) <= len(hosts)
        return code, out, err

    return command


def verdict(test: str, code: str = "354", text: str = "go on", *failed: str, **more: str) -> str:
    """A verdict as a host tells it."""
    words = [f"test={quote(test)}", "stage=rcpt", f"said={quote('RCPT TO:<x>')}"]
    words += [f"code={code}", f"text={quote(text)}"]
    words += [f"failed={each}" for each in failed]
    words += [f"{name}={quote(value)}" for name, value in more.items()]
    if code == "250":
        words += [f"decision={quote(each)}" for each in DECISION]
    return "verdict " + " ".join(words)


def answering(**special: str) -> Answer:
    """A host on which every conversation goes as it should, but for those named."""
    told = {name.replace("_", " "): line for name, line in special.items()}

    def answer(script: bytes, payload: bytes) -> Exchange:
        import gzip

        # What is held travels compressed where it is long.
        start = payload.find(b"\x1f\x8b")
        data = gzip.decompress(payload[start:]) if start >= 0 else payload
        names = [unquote(each) for each in re.findall(r"^test name=(\S+)", data.decode(), re.M)]
        assert names
        nonce = re.findall(rb"^N='?([0-9a-f]+)'?$", script, re.M)[0].decode()
        lines = [told.get(name) or verdict(name) for name in names]
        lines = [*lines, *(line for name, line in told.items() if name == "finding")]
        body = "\n".join(lines)
        frames = [f"report live\n{body}\ncomplete", "result ok", "end"]
        text = "".join(f"\n@@{nonce} {each}\n" for each in frames)
        return Exchange(0, text.encode(), b"")

    return answer


SPAMMER = "the_listed_spammer_is_refused"
ACCEPTED = {SPAMMER: verdict("the listed spammer is refused", "250", "Ok", "reply", "text")}


def test_all_pass(run: Run) -> None:
    code, out, err = run("verify", hosts={"mx1": answering(), "mx2": answering()})
    assert code == 0, err
    total = re.fullmatch(r"Policy tests: (\d+) held on 2 hosts: \1 passed; 2 skipped.\n", out)
    assert total, out
    assert int(total[1]) > 4


def test_a_failure_reads_like_a_compilers(run: Run) -> None:
    code, out, _ = run("verify", hosts={"mx1": answering(**ACCEPTED), "mx2": answering()})
    assert code == 2
    assert out.startswith("inventory/group_vars/mx.yml:7:5: error: ") or ":7:5: error:" in out
    assert '"the listed spammer is refused" fails: the reply is 250, not 554; ' in out
    assert "[mx1]\n    7 |   - name: the listed spammer is refused\n      |     ^\n" in out
    assert "  said:     client.example.org[80.218.40.251] on smtp, HELO client.example.org" in out
    assert '  expected: 554, "Client host rejected"\n  got:      250 Ok  (to RCPT TO:<x>)\n' in out
    decided = re.search(
        r"decided:  check_client_access hash:(\S+): 80.218.40.251 OK  \[(.*)\]", out
    )
    assert decided
    assert decided[2].endswith("group_vars/mx.yml:5:22")
    assert out.count(" fails: ") == 1


def test_what_fails_alike_on_two_hosts_is_told_once(run: Run) -> None:
    hosts = {"mx1": answering(**ACCEPTED), "mx2": answering(**ACCEPTED)}
    code, out, _ = run("verify", "-v", hosts=hosts)
    assert code == 2
    assert out.count(" fails: ") == 1
    assert "[2 hosts: mx1, mx2]" in out
    assert "passed   nobody minds  [2 hosts: mx1, mx2]" in out
    assert "skipped  strangers cannot relay: tried elsewhere  [2 hosts: mx1, mx2]" in out
    assert "FAILED   the listed spammer is refused  [2 hosts: mx1, mx2]" in out


def test_a_host_that_cannot_be_reached_costs_the_others_nothing(run: Run) -> None:
    gone = Unreachable("mx2", "connect", "no route to host")
    code, out, err = run("verify", hosts={"mx1": answering(), "mx2": gone})
    assert code == 5
    assert "held on 1 host: " in out
    assert "mx2: unreachable: connect: no route to host" in err
    code, _, _ = run("verify", hosts={"mx1": answering(**ACCEPTED), "mx2": gone})
    assert code == 5


def test_a_finding_fails_the_host(run: Run) -> None:
    broken = answering(finding="finding smtp/inet: the connection ends after EHLO")
    code, out, _ = run("verify", hosts={"mx1": broken, "mx2": answering()})
    assert code == 2
    assert "mx1: smtp/inet: the connection ends after EHLO" in out


def test_json_says_all_of_it(run: Run) -> None:
    hosts = {"mx1": answering(**ACCEPTED), "mx2": Unreachable("mx2", "connect", "no")}
    code, out, _ = run("verify", "--json", hosts=hosts)
    assert code == 5
    told = json.loads(out)
    assert told["version"] == 1
    assert told["hosts"]["mx2"]["error"]["message"] == "no"
    tests = {each["name"]: each for each in told["hosts"]["mx1"]["tests"]}
    assert told["hosts"]["mx1"]["status"] == "failing"
    spammer = tests["the listed spammer is refused"]
    assert spammer["result"] == "failed"
    mark = spammer["origin"]["mark"]
    assert (mark["line"], mark["column"]) == (7, 5)
    assert spammer["reply"] == {"code": "250", "text": "Ok", "stage": "rcpt"}
    assert spammer["decided"]["key"] == "80.218.40.251"
    assert spammer["decided"]["origin"]["mark"]["line"] == 5
    assert tests["strangers cannot relay"]["result"] == "skipped"
    assert tests["strangers cannot relay"]["origin"]["role"] == "smtpd_restrictions"
    assert tests["nobody minds"]["result"] == "passed"


def test_junit_counts_what_ci_counts(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "results.xml"
    text = "no \x1b[31m & <b>"
    hosts = {
        "mx1": answering(
            **{SPAMMER: verdict("the listed spammer is refused", "451", text, "reply", "text")}
        ),
        "mx2": Unreachable("mx2", "connect", "no"),
    }
    run("verify", "--junit", str(file), hosts=hosts)
    root = ET.parse(file).getroot()  # noqa: S314 - our own file
    first, second = root.findall("testsuite")
    assert first.attrib["failures"] == "1"
    assert first.attrib["skipped"] == "1"
    assert int(first.attrib["tests"]) == len(first.findall("testcase"))
    (failure,) = first.iter("failure")
    assert "the reply is 451, not 554" in failure.attrib["message"]
    assert "got: 451 no \\x1b[31m & <b>" in (failure.text or "")
    assert second.attrib["errors"] == "1"


@given(text=st.text(), name=st.text(min_size=1), file=st.text(min_size=1))
def test_junit_can_be_read_whatever_anybody_is_called(text: str, name: str, file: str) -> None:
    origin = Origin("role", mark=Mark(file, 1, 1))
    test = PolicyTest(name, Conversation(), Expectation(("250",)), origin)
    reply = Reply(Stage.RCPT, text, "554", text)
    found = Rehearsal(
        (text,), (Verdict(name, (reply,), fault=text, failed=("reply",)),), notes=(text,)
    )
    outcome = Outcome(name, Status.FAILED, error=Unreachable(name, "x", text), rehearsal=found)
    root = ET.fromstring(junit([outcome], {name: Desired(name, (), tests=(test,))}))  # noqa: S314
    assert len(root.findall("testsuite/testcase")) == 3
    assert len(root.findall("testsuite/system-out")) == 1


def test_only_the_test_that_is_named(run: Run) -> None:
    hosts = {"mx1": answering(), "mx2": answering()}
    code, out, _ = run("verify", "-t", "nobody minds", hosts=hosts)
    assert code == 0
    assert out == "Policy tests: 2 held on 2 hosts: 2 passed.\n"
    code, _, err = run("verify", "-t", "nobody mind", hosts=hosts)
    assert code == 3
    assert 'did you mean "nobody minds"?' in err


def test_the_list_contacts_nobody(run: Run) -> None:
    code, out, _ = run("verify", "--list", hosts={})
    assert code == 0
    assert "client 80.218.40.251 is refused  [role access_maps, " in out
    assert "skipped: tried elsewhere" in out


# ---- ask --------------------------------------------------------------------------------

QUESTION = ("ask", "mx", "--client", "80.218.40.251", "--from", "a@example.net")


def test_equal_answers_are_one_and_differences_are_named(run: Run) -> None:
    refused = verdict("the mail", "554", "Client host rejected")
    hosts = {"mx1": answering(the_mail=refused), "mx2": answering(the_mail=refused)}
    code, out, _ = run(*QUESTION, hosts=hosts)
    assert code == 0
    assert out.startswith("(resolved)[80.218.40.251] on smtp, HELO client.example.org, ")
    assert "from <a@example.net> to <postmaster@example.com>\n2 hosts: mx1, mx2:\n" in out
    assert "  refused: 554 Client host rejected  (to RCPT TO:<x>)\n" in out
    assert "differ" not in out
    hosts["mx2"] = answering(the_mail=verdict("the mail", "250", "Ok"))
    code, out, _ = run(*QUESTION, hosts=hosts)
    assert code == 0
    assert "mx1:\n  refused: " in out
    assert "mx2:\n  accepted: 250 Ok" in out
    assert re.search(r"decided by check_client_access .*mx.yml:5:22\]", out)
    assert out.endswith("Verdicts differ: refused on 1 host, accepted on 1 host.\n")


def test_an_answer_as_json(run: Run) -> None:
    host = answering(the_mail=verdict("the mail", "250", "Ok"))
    code, out, _ = run("ask", "mx1", "--client", "80.218.40.251", "--json", hosts={"mx1": host})
    assert code == 0
    told = json.loads(out)["hosts"]["mx1"]
    assert told["verdict"] == "accepted"
    assert told["decided"]["restriction"] == "check_client_access"
    assert told["decided"]["origin"]["mark"]["line"] == 5


def test_no_answer_is_the_hosts_failure(run: Run) -> None:
    line = f"verdict test={quote('the mail')} failed=fault fault={quote('no such service')}"
    code, out, _ = run("ask", "mx1", hosts={"mx1": answering(the_mail=line)})
    assert code == 4
    assert "no answer: no such service" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--client", "mail.example.net"), "is no IP address"),
        (("--header", "Subject"), 'write --header "Name: text"'),
        (("--from", "<a@b>"), "write it without < and >"),
    ],
)
def test_a_question_that_makes_no_sense(run: Run, arguments: tuple[str, ...], says: str) -> None:
    code, _, err = run("ask", "mx1", *arguments, hosts={})
    assert code == 3
    assert says in err
