"""The variable `policy_tests`: what it means, how lists are joined, what is refused where."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_roles_options import place, refusal, states

from provisioner.inventory.yamlfile import parse_yaml
from provisioner.policy.conversation import Client, Conversation, Expectation, PolicyTest, Stage
from provisioner.policy.options import TestOptions, test_of
from provisioner.policy.promises import ACCEPTED
from provisioner.policy.strangers import Surroundings, surroundings
from provisioner.policy.wording import expected, spoken
from provisioner.resources.base import Origin
from provisioner.roles.options import validate

HERE = Surroundings("203.0.113.25", "postmaster@example.com")
LITERAL = """
- name: the listed spammer is refused
  client: 80.218.40.251                    # or {address:, name:, reverse_name:, login:, tls:}
  from: someone@example.net
  to: user@example.com
  expect: {reply: 554, text: "Client host rejected"}
- {name: our own domain is not forged from outside, from: ceo@example.com, expect: 5xx}
- {name: a signed-in user may send on 587, service: submission,
   client: {login: user@example.com}, expect: accept}
- {name: money subject, headers: {Subject: Make Money Fast!}, expect: 550}
"""


def one(text: str, around: Surroundings = HERE) -> PolicyTest:
    """The test that one YAML mapping means."""
    source = parse_yaml("- " + text, "tests.yml").value[0]
    source.setdefault("name", "x")
    options, wrong = validate(TestOptions, source, "policy_tests")
    assert wrong == []
    assert options is not None
    return test_of(options, Origin("", "policy_tests"), around)


def test_the_four_kinds_of_tests_that_people_write() -> None:
    items = parse_yaml(LITERAL, "all.yml").value
    tests = []
    for item in items:
        options, wrong = validate(TestOptions, item, "policy_tests")
        assert wrong == []
        assert options is not None
        tests.append(test_of(options, Origin("", "policy_tests"), HERE))
    spammer, forged, user, money = tests
    assert spammer.conversation == Conversation(
        client=Client(address="80.218.40.251"),
        sender="someone@example.net",
        recipients=("user@example.com",),
    )
    assert spammer.expect == Expectation(("554",), "Client host rejected")
    assert forged.conversation.sender == "ceo@example.com"
    assert forged.conversation.recipients == ("postmaster@example.com",)
    assert forged.conversation.client.address == "203.0.113.25"
    assert forged.expect == Expectation(("5xx",))
    assert user.conversation.service == "submission"
    assert user.conversation.client.login == "user@example.com"
    assert user.conversation.client.tls
    assert user.conversation.sender == "user@example.com"
    assert user.expect == ACCEPTED
    assert money.conversation.until is Stage.MESSAGE
    assert b"\r\nSubject: Make Money Fast!\r\n" in money.conversation.message
    assert money.conversation.message.count(b"Subject:") == 1
    assert money.expect == Expectation(("550",))


MEANINGS = {
    "expect: 550": "client.example.org[203.0.113.25] on smtp, HELO client.example.org, "
    "from <someone@example.org> to <postmaster@example.com> | 550",
    "{client: {name: mail.example.net}, expect: accept}": "mail.example.net[203.0.113.25] "
    "on smtp, HELO mail.example.net, from <someone@example.org> to <postmaster@example.com> "
    "| accepted",
    "{client: {reverse_name: ''}, expect: 4xx}": "unknown[203.0.113.25] on smtp, HELO "
    "client.example.org, from <someone@example.org> to <postmaster@example.com> | 4xx (try again)",
    "{client: {name: '', reverse_name: a.example.net}, expect: 450}": ""
    "unknown[203.0.113.25] on smtp, PTR a.example.net, HELO client.example.org, "
    "from <someone@example.org> to <postmaster@example.com> | 450",
    "{from: '', to: [a@example.com, b@example.com], expect: accept}": ""
    "client.example.org[203.0.113.25] on smtp, HELO client.example.org, "
    "from <> to <a@example.com>, <b@example.com> | accepted",
    "{helo: '', expect: 503}": "client.example.org[203.0.113.25] on smtp, no HELO, "
    "from <someone@example.org> to <postmaster@example.com> | 503",
    "{expect: {lacks: AUTH}}": "client.example.org[203.0.113.25] on smtp, "
    "HELO client.example.org | 250, AUTH not offered",
    "{service: 465, expect: {offers: [auth, SIZE]}}": "client.example.org[203.0.113.25] "
    "on 465, TLS, HELO client.example.org | 250, AUTH offered, SIZE offered",
    "{service: submission, client: {tls: false}, expect: {reply: 530, text: STARTTLS}}": ""
    "client.example.org[203.0.113.25] on submission, HELO client.example.org, "
    'from <someone@example.org> to <postmaster@example.com> | 530, "STARTTLS"',
    "{client: '2001:DB8:0::1', expect: [450, 5xx]}": "refused",
    "{client: '2001:DB8:0::1', expect: {reply: [450, 5xx]}}": ""
    "client.example.org[2001:db8::1] on smtp, HELO client.example.org, "
    "from <someone@example.org> to <postmaster@example.com> | 450 or 5xx (refused)",
    "{body: 'click here', expect: {text: spam}}": "client.example.org[203.0.113.25] on "
    "smtp, HELO client.example.org, from <someone@example.org> to <postmaster@example.com>, "
    'with a message | a reply that says "spam"',
}


@pytest.mark.parametrize("text", MEANINGS)
def test_what_is_not_said_is_a_well_behaved_stranger(text: str) -> None:
    if MEANINGS[text] == "refused":
        source = parse_yaml(f"- {text}", "tests.yml").value[0]
        source["name"] = "x"
        assert validate(TestOptions, source, "policy_tests")[1]
        return
    test = one(text)
    said = f"{spoken(test.conversation)} | {expected(test.expect)}"
    assert said == MEANINGS[text]


# ---- what is refused, and where ---------------------------------------------------------

WRONG = {
    "unknown key": (
        "policy_tests:\n  - name: a\n    form: x\n    expect: 5xx\n",
        "mx.yml:3:5", 'policy_tests["a"].form: there is no such option', "did you mean from?",
    ),
    "unknown key below client": (
        "policy_tests:\n  - name: a\n    client: {adress: 192.0.2.1}\n    expect: 5xx\n",
        "mx.yml:3:14", "client.adress", "did you mean address?",
    ),
    "a bare reject": (
        "policy_tests:\n  - {name: a, expect: reject}\n",
        "mx.yml:2:23", "5xx (for good) or 4xx (try again later)", "",
    ),
    "a bare reject inside": (
        "policy_tests:\n  - {name: a, expect: {reply: [450, refused]}}\n",
        "mx.yml:2:31", "they differ, say which", "",
    ),
    "nearly accept": (
        "policy_tests:\n  - {name: a, expect: acept}\n", "mx.yml:2:23", "did you mean accept?", "",
    ),
    "an acceptance of another tool": (
        "policy_tests:\n  - {name: a, expect: permit}\n", "mx.yml:2:23", "did you mean accept?", "",
    ),
    "no code": (
        "policy_tests:\n  - {name: a, expect: 700}\n", "mx.yml:2:23", "say accept, a code", "",
    ),
    "yes": (
        "policy_tests:\n  - {name: a, expect: yes}\n", "mx.yml:2:23", "not true or false", "quotes",
    ),
    "nothing expected": (
        "policy_tests:\n  - {name: a, from: b@example.net}\n", "mx.yml:2:5", "what must come", "",
    ),
    "an empty expectation": (
        "policy_tests:\n  - {name: a, expect: {}}\n", "mx.yml:2:23", "nothing is expected", "",
    ),
    "offered and lacking": (
        "policy_tests:\n  - {name: a, expect: {offers: AUTH, lacks: auth}}\n",
        "mx.yml:2:23", "AUTH cannot be offered and lacking", "",
    ),
    "no address": (
        "policy_tests:\n  - {name: a, client: mail.example.net, expect: 5xx}\n",
        "mx.yml:2:23", "is no IP address", "",
    ),
    "a name without a reverse name": (
        "policy_tests:\n  - {name: a, client: {name: b.example, reverse_name: ''}, expect: 5xx}\n",
        "mx.yml:2:23", "with a verified name has a reverse_name", "",
    ),
    "nobody to write to": (
        "policy_tests:\n  - {name: a, to: '', expect: 5xx}\n", "mx.yml:2:19", "has a recipient", "",
    ),
    "an address in brackets": (
        "policy_tests:\n  - {name: a, from: <b@example.net>, expect: 5xx}\n",
        "mx.yml:2:21", "write it without < and >", "",
    ),
    "a header that is two": (
        'policy_tests:\n  - {name: a, headers: {Subject: "a\\nBcc: b"}, expect: 5xx}\n',
        "mx.yml:2:24", "a header is one line", "",
    ),
    "a number for a header": (
        "policy_tests:\n  - {name: a, headers: {X-Spam: 5}, expect: 5xx}\n",
        "mx.yml:2:33", "must be text, not a number", "put it in quotes",
    ),
    "a test without a name": (
        "policy_tests:\n  - {expect: 5xx}\n", "mx.yml:2:5", "policy_tests[1].name", "",
    ),
    "a text among the tests": (
        "policy_tests: [a]\n", "mx.yml:1:16", "policy_tests[1] must be a mapping", "",
    ),
    "a mapping for the list": (
        "policy_tests: {name: a}\n", "mx.yml:1:15", "is a list of tests", "joined by name",
    ),
    "the same name twice": (
        "policy_tests:\n  - {name: a, expect: 5xx}\n  - {name: a, expect: 4xx}\n",
        "mx.yml:3:5", 'two tests are called "a"', "mx.yml:2:5",
    ),
    "nothing to skip": (
        "policy_tests:\n  - {name: own networks may realy, skip: no}\n",
        "mx.yml:2:42", "must be text", "quotes",
    ),
    "nothing of that name to skip": (
        "policy_tests:\n  - {name: b, expect: 5xx}\n  - {name: c, skip: because}\n",
        "mx.yml:3:5", 'no test called "c" to skip', "verify",
    ),
    "a list for a service": (
        "policy_tests:\n  - {name: a, service: [x], expect: 5xx}\n",
        "mx.yml:2:24", "must be text or a whole number", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_pointed_at(case: str, tmp_path: Path) -> None:
    variables, where, message, advice = WRONG[case]
    found = refusal(tmp_path, variables, "postfix")
    assert place(found[0]) == where
    assert message in found[0].message
    assert advice in found[0].help
    assert "2 hosts" in found[0].message


def test_all_mistakes_of_all_hosts_are_told_at_once(tmp_path: Path) -> None:
    found = refusal(
        tmp_path,
        "policy_tests:\n  - {name: a, expect: no-such}\n",
        "postfix",
        mx1="policy_tests:\n  - {name: b, form: x, expect: 5xx}\n",
        mx2="postfix: {paramters: {}}\n",
    )
    assert [place(each) for each in found] == ["mx.yml:2:23", "mx1.yml:2:15", "mx2.yml:1:11"]


# ---- joining ----------------------------------------------------------------------------


def written(folder: Path, variables: str, host: str = "mx1", **files: str) -> dict[str, PolicyTest]:
    return {each.name: each for each in states(folder, variables, "postfix", **files)[host].tests}


def test_lists_are_joined_by_name_and_the_nearer_wins(tmp_path: Path) -> None:
    group = """
    policy_tests:
      - {name: a, expect: 5xx}
      - {name: b, expect: 5xx}
    """
    own = "policy_tests:\n  - {name: b, expect: 450}\n  - {name: c, expect: accept}\n"
    found = written(tmp_path, group, mx1=own)
    assert {name: each.expect.replies for name, each in found.items()} == {
        "a": ("5xx",),
        "b": ("450",),
        "c": ACCEPTED.replies,
    }
    assert Path(str(found["b"].origin.mark)).name == "mx1.yml:2:5"
    other = written(tmp_path, group, host="mx2", mx1=own)
    assert [*other] == ["a", "b"]


def test_a_nearer_place_sets_a_test_aside(tmp_path: Path) -> None:
    group = "policy_tests:\n  - {name: a, expect: 5xx}\n"
    own = "policy_tests:\n  - {name: a, skip: the store has no spam filter}\n"
    found = written(tmp_path, group, mx1=own)
    assert found["a"].skip == "the store has no spam filter"
    assert found["a"].expect.replies == ("5xx",)


@pytest.mark.parametrize("inside", [False, True])
def test_it_lives_under_the_umbrella_as_everything_does(tmp_path: Path, inside: bool) -> None:
    group = "policy_tests:\n  - {name: a, expect: 5xx}\n"
    own = "policy_tests:\n  - {name: b, expect: 4xx}\n"
    if inside:
        group = "provisioner:\n" + textwrap.indent(group, "  ")
        own = "provisioner:\n" + textwrap.indent(own, "  ")
    assert [*written(tmp_path, group, mx1=own)] == ["a", "b"]
    # With the umbrella, what stands outside belongs to somebody else.
    mixed = written(tmp_path, group, mx1="policy_tests: of another tool\n") if inside else {"a": 1}
    assert [*mixed] == ["a"]


NAMES = st.sampled_from(["a", "b", "c", "d"])
LAYER = st.dictionaries(NAMES, st.sampled_from(["450", "554", "5xx"]), max_size=4)


@given(LAYER, LAYER, LAYER)
def test_joining_is_a_union_in_which_the_nearest_wins(
    everywhere: dict[str, str], group: dict[str, str], host: dict[str, str]
) -> None:
    from tempfile import TemporaryDirectory

    from provisioner.inventory import load_inventory
    from provisioner.roles.policy import PolicyBook

    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hosts.yml").write_text("mx:\n  hosts:\n    mx1:\n")
        for file, layer in (
            ("group_vars/all.yml", everywhere),
            ("group_vars/mx.yml", group),
            ("host_vars/mx1.yml", host),
        ):
            (folder / file).parent.mkdir(exist_ok=True)
            lines = [f"  - {{name: {each}, expect: {code}}}" for each, code in layer.items()]
            (folder / file).write_text("\n".join(["policy_tests:", *lines, ""]))
        inventory = load_inventory([str(folder)], beside=folder)
        found = PolicyBook("provisioner").written(inventory.hosts["mx1"])
    told = {each.options.name: each.options.expect for each in found}
    assert told.keys() == {**everywhere, **group, **host}.keys()
    assert len(found) == len(told)
    wanted = {**everywhere, **group, **host}
    assert {name: str(code) for name, code in told.items()} == wanted
    marks = {each.options.name: Path(str(each.origin.mark)).name for each in found}
    for each in told:
        file = "mx1.yml" if each in host else "mx.yml" if each in group else "all.yml"
        assert marks[each].startswith(f"{file}:")


# ---- surroundings -----------------------------------------------------------------------


def test_a_stranger_is_in_none_of_the_own_networks() -> None:
    found = surroundings("mx1", [], ["example.com"], ["127.0.0.0/8", "[::1]/128", "192.0.2.0/24"])
    assert found == Surroundings("203.0.113.25", "postmaster@example.com")


def test_a_relay_has_a_domain_too(tmp_path: Path) -> None:
    variables = """
    postfix:
      parameters:
        mydestination: $myhostname, localhost
        relay_domains: [example.net, example.com]
    policy_tests: [{name: a, expect: accept}]
    """
    test = written(tmp_path, variables)["a"]
    assert test.conversation.recipients == ("postmaster@example.net",)


def test_a_stranger_is_from_no_domain_of_the_hosts(tmp_path: Path) -> None:
    variables = """
    mail: {domains: [example.org, Example.net]}
    policy_tests: [{name: a, expect: accept}]
    """
    found = states(tmp_path, variables, "postfix", "smtpd_restrictions")["mx1"].tests
    by_name = {each.name: spoken(each.conversation) for each in found}
    assert by_name["a"] == (
        "client.example.com[192.0.2.25] on smtp, HELO client.example.com, "
        "from <someone@example.com> to <postmaster@example.org>"
    )
    assert by_name["mail to the postmaster is accepted"] == by_name["a"]
