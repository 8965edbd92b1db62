"""Policy tests in a throw-away Postfix: the real one of each release, in a chroot."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from releases import DEFAULT_RELEASES
from sandbox import Sandbox, root_of

from provisioner.errors import Failed
from provisioner.host import rehearsal, session
from provisioner.host.program import Program
from provisioner.host.rehearsal import Disproved, Rehearsal
from provisioner.host.transaction import Owner
from provisioner.lab.recipe import RELEASES
from provisioner.planning.planner import Desired
from provisioner.policy.conversation import (
    Client,
    Conversation,
    Decision,
    Expectation,
    PolicyTest,
    Stage,
    Verdict,
)
from provisioner.postfix.master_cf import Service
from provisioner.resources.base import Origin, Resource
from provisioner.resources.file import File, FileState
from provisioner.resources.parameter import Parameter
from provisioner.resources.service import MasterService

ORIGIN = Origin("test")
OWNER = Owner("20260101T000000Z-abcdef", "apply by somebody")
HERE = "root@mx.test.example"
OF_CLASS = ("class@mx.test.example",)
SENDERS = "hash:/etc/postfix/senders"

#: A policy with something of every kind that decides.
POLICY = r"""
cd /etc/postfix
postconf -X myhostname mydestination mynetworks compatibility_level inet_protocols \
  smtpd_relay_restrictions smtpd_tls_cert_file smtpd_tls_key_file smtpd_tls_security_level
cat >>main.cf <<'EOF'
myhostname = mx.test.example
mydestination = $myhostname
mynetworks = 127.0.0.0/8
compatibility_level = 2
inet_protocols = all
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_restriction_classes = class
class = check_sender_access hash:/etc/postfix/of_class, reject_non_fqdn_sender
smtpd_helo_required = yes
smtpd_client_restrictions = check_client_access cidr:/etc/postfix/clients
smtpd_helo_restrictions = reject_invalid_helo_hostname, check_helo_access hash:/etc/postfix/helo
smtpd_sender_restrictions = check_sender_access hash:/etc/postfix/senders
smtpd_recipient_restrictions = check_recipient_access hash:/etc/postfix/recipients,
  check_policy_service { unix:private/policy, timeout=5s }
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_milters = inet:127.0.0.1:9
header_checks = regexp:/etc/postfix/headers
body_checks = regexp:/etc/postfix/bodies
smtpd_tls_cert_file = /etc/ssl/certs/ssl-cert-snakeoil.pem
smtpd_tls_key_file = /etc/ssl/private/ssl-cert-snakeoil.key
smtpd_tls_security_level = may
always_bcc = archive@elsewhere.example
content_filter = smtp:[127.0.0.1]:9
EOF
cat >>master.cf <<'EOF'
submission inet n - y - - smtpd
  -o syslog_name=postfix/submission -o smtpd_tls_security_level=encrypt
  -o { smtpd_relay_restrictions = permit_sasl_authenticated, reject }
smtps inet n - y - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_client_restrictions=
EOF
echo '198.51.100.0/24 REJECT go away' >clients
echo 'bad.helo REJECT' >helo
echo 'a@example.biz REJECT' >of_class
printf '%s\n' 'evil@example.com REJECT nobody' 'example.info 550 5.7.9 own words' \
  'later.example DEFER_IF_PERMIT later' 'good@example.com OK' >senders
echo 'class@ class' >recipients
echo '/^Subject: money/ REJECT no money' >headers
echo '/pills/ REJECT no pills' >bodies
for table in helo of_class senders recipients; do postmap hash:$table; done
[ -e /etc/ssl/certs/ssl-cert-snakeoil.pem ] || make-ssl-cert generate-default-snakeoil
postalias /etc/aliases
touch -d '1 hour ago' main.cf master.cf
"""


#: What is said wherever the rehearsal has no namespaces.
WEAKER = (
    "rehearsed in a rewritten copy, since this host has no unshare: weaker; chroot, and paths "
    "inside of tables, are not proven"
)


def scenes() -> Iterator[Any]:
    """Releases, in namespaces and in a rewritten copy."""
    for each in RELEASES:
        marks = () if each in DEFAULT_RELEASES else pytest.mark.matrix
        yield pytest.param((each, False), id=each, marks=marks)
    for each in RELEASES:
        marks = () if each == DEFAULT_RELEASES[0] else pytest.mark.matrix
        yield pytest.param((each, True), id=f"{each}-copy", marks=marks)


@pytest.fixture(scope="module", params=[*scenes()])
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    release, in_copy = request.param
    folder = tmp_path_factory.mktemp(release)
    box = Sandbox(root_of(release), folder, rehearsal=True)
    if in_copy:
        box.hide("/usr/bin/unshare")
    box.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    box.sh(POLICY)
    return box


def case(name: str, *replies: str, expect: Expectation | None = None, **said: Any) -> PolicyTest:
    said.setdefault("recipients", (HERE,))
    return PolicyTest(name, Conversation(**said), expect or Expectation(replies), ORIGIN)


def verify(box: Sandbox, *tests: PolicyTest) -> dict[str, Verdict]:
    """Every test is held with the live files, and came out as it should."""
    found = session.verify(box.connection(), tests)
    assert found.findings == ()
    assert found.notes == label(box)
    assert {each.test: (each.failed, each.fault or each.last) for each in found.failed} == {}
    return {each.test: each for each in found.verdicts}


def label(box: Sandbox) -> tuple[str, ...]:
    """What is said of how this host rehearses."""
    return () if box.sh("command -v unshare || :") else (WEAKER,)


def message(text: str) -> dict[str, Any]:
    return {"until": Stage.MESSAGE, "message": text.encode()}


DECISIONS: list[tuple[PolicyTest, Decision | None]] = [
    (case("a stranger is heard", "354"), None),
    (
        case("nobody relays", "554", recipients=("x@elsewhere.example",)),
        Decision("reject_unauth_destination"),
    ),
    (
        case("our own hosts do", "354", client=Client("127.0.0.1"), recipients=("x@y.example",)),
        Decision("permit_mynetworks"),
    ),
    (
        case("client by cidr", "554", client=Client("198.51.100.7")),
        Decision(
            "check_client_access", "cidr:/etc/postfix/clients", "198.51.100.7", "REJECT go away"
        ),
    ),
    (
        case("sender", "554", sender="evil@example.com"),
        Decision("check_sender_access", SENDERS, "evil@example.com", "REJECT nobody"),
    ),
    (
        case("domain of a sender", "550", sender="a@sub.example.info"),
        Decision("check_sender_access", SENDERS, "example.info", "550 5.7.9 own words"),
    ),
    (
        case("deferred", "450", sender="a@later.example"),
        Decision("check_sender_access", SENDERS, "later.example", "DEFER_IF_PERMIT later"),
    ),
    (
        case("permitted", "354", sender="good@example.com"),
        Decision("check_sender_access", SENDERS, "good@example.com", "OK"),
    ),
    (
        case("helo by table", "554", helo="bad.helo"),
        Decision("check_helo_access", "hash:/etc/postfix/helo", "bad.helo", "REJECT"),
    ),
    (case("helo", "501", helo="-bad-"), Decision("reject_invalid_helo_hostname")),
    (case("no helo", "503", helo=None), None),
    (
        case("table of a class", "554", sender="a@example.biz", recipients=OF_CLASS),
        Decision("check_sender_access", "hash:/etc/postfix/of_class", "a@example.biz", "REJECT"),
    ),
    (
        case("word of a class", "504", sender="a@b", recipients=OF_CLASS),
        Decision("reject_non_fqdn_sender"),
    ),
    (
        case("unknown recipient", "550", recipients=("nobody-here@mx.test.example",)),
        Decision("reject_unlisted_recipient"),
    ),
    (
        case("header", "550", **message("Subject: money\n\nx\n")),
        Decision("header_checks", "", "Subject: money", "REJECT no money"),
    ),
    (
        case("body", "550", **message("Subject: x\n\nour pills\n")),
        Decision("body_checks", "", "our pills", "REJECT no pills"),
    ),
    (case("message", "250", **message("Subject: x\n\n.dot\n..\nend")), None),
    (case("587 demands TLS", "530", service="587"), None),
    (
        case("587 demands AUTH", "554", service="submission", client=Client(tls=True)),
        Decision("reject"),
    ),
    (
        case("465", "554", service="submissions", sender="evil@example.com"),
        Decision("check_sender_access", SENDERS, "evil@example.com", "REJECT nobody"),
    ),
    (case("STARTTLS", "354", client=Client(tls=True)), None),
    (case("IPv6, nameless", "354", client=Client("2001:db8::1", "", "")), None),
    (
        case("VRFY", "252", client=Client("127.0.0.1"), commands=("VRFY root",)),
        Decision("permit_mynetworks"),
    ),
]  # fmt: skip


def test_who_decided(box: Sandbox) -> None:
    found = verify(box, *(test for test, _ in DECISIONS))
    assert {name: each.decision for name, each in found.items()} == {
        test.name: decision for test, decision in DECISIONS
    }


def test_offers_names_and_what_was_asked(box: Sandbox) -> None:
    unnamed = Client("192.0.2.9", name="", reverse_name="")
    plain = Expectation(("354",), offers=("STARTTLS", "vrfy"), lacks=("AUTH",))
    inside = Expectation(
        ("354",), lacks=("STARTTLS", "XCLIENT"), asks=("reject_unauth_pipelining",)
    )
    found = verify(
        box,
        case("plain", expect=plain),
        case("inside TLS", expect=inside, client=Client(tls=True)),
        case("unnamed", expect=Expectation(("554",), "unknown[198.51.100.1]"),
             client=Client("198.51.100.1", "", "")),
        case("asked", "354", client=unnamed, sender="asker@example.net"),
    )  # fmt: skip
    assert "check_policy_service" in found["asked"].asked
    policy, milter = (
        [each for each in found["asked"].questions if each.startswith(endpoint)]
        for endpoint in ("unix:private/policy:", "inet:127.0.0.1:9:")
    )
    assert len(policy) == 1
    assert "client_address=192.0.2.9" in policy[0]
    assert "sender=asker@example.net" in policy[0]
    assert [each.split()[1] for each in milter] == [
        "event=connect", "event=helo", "event=mail", "event=rcpt",
    ]  # fmt: skip


def test_stand_ins_answer_what_a_test_says(box: Sandbox) -> None:
    greylisted = case("policy", "450", policy="DEFER_IF_PERMIT 4.2.0 Greylisted, see our site")
    found = verify(
        box,
        greylisted,
        case("own words", expect=Expectation(("550",), "not this one"),
             milter="rcpt 550 5.7.1 not this one"),
        case("milter", "451", milter="mail tempfail"),
        case("message", "550", milter="message reject", **message("Subject: x\n\nx\n")),
        case("none of that", "354"),
    )  # fmt: skip
    assert found["policy"].decision == Decision(
        "check_policy_service unix:private/policy",
        "unix:private/policy",
        action="DEFER_IF_PERMIT 4.2.0 Greylisted, see our site",
    )
    assert {found[name].decision for name in ("own words", "milter", "message")} == {
        Decision("smtpd_milters")
    }


def test_what_was_not_expected_is_named(box: Sandbox) -> None:
    wrong = Expectation(
        ("5xx",), "no such words", offers=("AUTH",), lacks=("STARTTLS",), asks=("x",)
    )
    found = session.verify(
        box.connection(),
        [
            case("wrong", expect=wrong),
            case("nowhere", "354", service="2525"),
            case("login", "354", client=Client(login="user@mx.test.example")),
        ],
    )
    wrong_one, nowhere, login = found.verdicts
    assert wrong_one.failed == ("reply", "text", "offers AUTH", "lacks STARTTLS", "asks x")
    assert nowhere.fault == "master.cf has no smtpd service 2525"
    assert "AUTH" in login.fault
    assert all("fault" in each.failed for each in (nowhere, login))


def test_names_and_texts_travel_whole(box: Sandbox) -> None:
    odd = "quotes ' \" $(reboot) `id` \\ = %41 ü \N{ESCAPE}[31m \n end"
    found = session.verify(
        box.connection(), [case(odd, "501", "555", sender="a b\r\nRCPT TO:<x>$(id)", recipients=())]
    )
    assert [each.test for each in found.verdicts] == [odd]


def state(box: Sandbox) -> set[str]:
    """Every path with what it is; of files also when they were written."""
    # mount(8) of a new util-linux makes /run/mount, which every booted host has.
    script = (
        "find / -xdev ! -path /run/program ! -path /run/mount ! -path '/proc*' "
        "\\( -type f -printf '%p %m %u %s %T@\\n' -o -printf '%p %m %u %l\\n' \\)"
    )
    return set(box.sh(script).decode().splitlines())


def test_the_host_stays_as_it_was(box: Sandbox) -> None:
    """Asked or proven, refused or not: no file, no process, no mount."""
    before = state(box)
    verify(box, case("x", "354"), case("y", "250", **message("Subject: x\n\nx\n")))
    assert state(box) ^ before == set()
    wanted = Desired("mx1", (Parameter(ORIGIN, "smtpd_sender_restrictions", "reject"),))
    connection = box.connection()
    plan = session.plan(connection, wanted)
    found = session.rehearse(connection, plan, OWNER, tests=[case("x", "354")])
    assert [each.failed for each in found.verdicts] == [("reply",)]
    assert found.failed_before == frozenset()
    box.sh("rm -rf /var/lib/provisioner")
    assert state(box) ^ before == set()


def refused(box: Sandbox, *wanted: Resource, tests: tuple[PolicyTest, ...] = ()) -> str:
    """How `apply` refuses a change."""
    connection = box.connection()
    plan = session.plan(connection, Desired("mx1", wanted))
    with pytest.raises(Failed) as error:
        session.apply(connection, plan, OWNER, tests=tests)
    assert "nothing was changed" in (error.value.help or "")
    return str(error.value)


def test_a_failing_test_stops_the_change(box: Sandbox) -> None:
    one_sender = "inline:{someone@example.org=reject}"
    wanted = Parameter(ORIGIN, "smtpd_sender_restrictions", f"check_sender_access {one_sender}")
    connection = box.connection()
    plan = session.plan(connection, Desired("mx1", (wanted,)))
    tests = (case("partners get through", "354"), case("old fault", "299"))
    with pytest.raises(
        Disproved, match='policy tests fail: "partners get through", "old fault"'
    ) as e:
        session.apply(connection, plan, OWNER, tests=tests)
    found = e.value.found
    assert [each.failed for each in found.failed] == [("reply",), ("reply",)]
    decision = found.failed[0].decision
    assert decision is not None
    assert decision.restriction.startswith("check_sender_access")
    assert found.failed_before == {"old fault"}
    again = session.plan(connection, Desired("mx1", (wanted,)))
    assert again.steps == plan.steps, "all is as it was"


def rehearsed(box: Sandbox, *wanted: Resource) -> Rehearsal:
    connection = box.connection()
    return session.rehearse(connection, session.plan(connection, Desired("mx1", wanted)), OWNER)


def service(name: str, type_: str = "inet", command: str = "smtpd", **about: Any) -> MasterService:
    about.setdefault("private", "n")
    return MasterService(ORIGIN, name, type_, Service(name, type_, command=command, **about))


#: What no conversation with smtpd shows, or shows only late; and a word of what is said.
FAULTS: dict[str, tuple[Resource, str]] = {
    "table of a client": (
        Parameter(ORIGIN, "smtp_tls_policy_maps", "hash:/etc/postfix/nowhere"),
        "there is no /etc/postfix/nowhere.db",
    ),
    "type of a table": (
        Parameter(ORIGIN, "transport_maps", "nosuch:/etc/postfix/x"), "unsupported dictionary",
    ),
    "transport": (Parameter(ORIGIN, "default_transport", "nowhere"), "no service nowhere"),
    "filter": (Parameter(ORIGIN, "content_filter", "scan:[127.0.0.1]:9"), "no service scan"),
    "policy service": (
        Parameter(
            ORIGIN, "smtpd_data_restrictions", "check_policy_service unix:private/not-there"
        ),
        "the policy service unix:private/not-there does not answer",
    ),
    "milter": (
        Parameter(ORIGIN, "smtpd_milters", "inet:localhost:8"), "the milter inet:localhost:8",
    ),
    "key": (
        Parameter(ORIGIN, "smtpd_tls_key_file", "/etc/ssl/private/not-there"),
        "/etc/ssl/private/not-there",
    ),
    "sizes": (Parameter(ORIGIN, "mailbox_size_limit", "1000"), "mailbox_size_limit"),
    "TLS of the client": (Parameter(ORIGIN, "smtp_tls_security_level", "often"), "often"),
    "room": (Parameter(ORIGIN, "queue_minfree", "900000000000000"), "less room than that"),
    "room for a message": (
        Parameter(ORIGIN, "message_size_limit", "900000000000000"), "less room than that",
    ),
    "TLS of everybody": (
        Parameter(ORIGIN, "smtpd_tls_security_level", "encrypt"),
        "a stranger without TLS is refused (MAIL FROM:<rehearsal@example.org> is answered: 530",
    ),
    "every mail at DATA": (
        Parameter(ORIGIN, "smtpd_data_restrictions", "reject"),
        "smtp/inet: a stranger is refused (DATA is answered: 554",
    ),
    "every message": (
        Parameter(ORIGIN, "smtpd_end_of_data_restrictions", "reject"),
        "smtp/inet: a stranger is refused (the message is answered: 554",
    ),
    "cache": (
        Parameter(ORIGIN, "address_verify_map", "btree:/var/nowhere/verify"),
        "there is no directory /var/nowhere",
    ),
    "instances": (
        Parameter(ORIGIN, "multi_instance_directories", "/etc/postfix-out"),
        "there is no /etc/postfix-out/main.cf",
    ),
    "program of mailboxes": (
        Parameter(ORIGIN, "mailbox_command", "/usr/bin/no-procmail -a x"),
        "there is no program /usr/bin/no-procmail",
    ),
    "domain": (
        Parameter(ORIGIN, "virtual_alias_domains", "other.example, MX.test.example"),
        "MX.test.example is in mydestination and in virtual_alias_domains",
    ),
    "program": (service("2525", command="smtpdd"), "there is no program"),
    "port": (service("nosuchport"), "nobody knows the port nosuchport"),
    "address": (service("203.0.113.9:2525"), "203.0.113.9 is no address of this host"),
    "user": (
        service("x", "unix", "pipe", arguments=("user=nobody-here", "argv=/bin/true")),
        "there is no user nobody-here",
    ),
    "blanks around =": (
        service("x", "unix", "smtp", arguments=("smtp_helo_name", "=", "x")), "blanks around =",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_no_mail_shows(box: Sandbox, fault: str) -> None:
    wanted, word = FAULTS[fault]
    assert word in " ".join(rehearsed(box, wanted).findings)


def test_a_port_that_somebody_else_has(box: Sandbox) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = rehearsed(box, service(f"127.0.0.1:{port}"))
    assert f"another program listens on port {port}" in " ".join(found.findings)


def certificates() -> dict[str, bytes]:
    """By file name: a key, and two certificates of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.test.example")])
    now = datetime.now(UTC)

    def signed(days: int) -> bytes:
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=9))
        signed = builder.not_valid_after(now + timedelta(days=days)).sign(key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    form = serialization.PrivateFormat.TraditionalOpenSSL
    none = serialization.NoEncryption()
    plain = key.private_bytes(serialization.Encoding.PEM, form, none)
    return {"today.key": plain, "today.pem": signed(9), "yesterday.pem": signed(-1)}


def test_that_strangers_are_refused_can_be_meant(box: Sandbox) -> None:
    """By what is expected of anybody; of a client that was named it says nothing."""

    def findings(parameter: Parameter, test: PolicyTest) -> str:
        connection = box.connection()
        plan = session.plan(connection, Desired("mx1", (parameter,)))
        found = session.rehearse(connection, plan, OWNER, tests=(test,))
        assert [each.failed for each in found.verdicts] == [()]
        return " ".join(found.findings)

    here = {"recipients": ("postmaster@mx.test.example",)}
    encrypt = Parameter(ORIGIN, "smtpd_tls_security_level", "encrypt")
    listed = case("listed", "530", client=Client("198.51.100.7"), **here)
    assert findings(encrypt, case("TLS is demanded", "530", **here)) == ""
    assert "without TLS is refused" in findings(encrypt, listed)

    nobody = Parameter(ORIGIN, "smtpd_sender_restrictions", "permit_mynetworks, reject")
    listed = case("listed", "554", client=Client("198.51.100.7"), **here)
    assert findings(nobody, case("nobody writes to us", "554", **here)) == ""
    assert "a stranger is refused" in findings(nobody, listed)


def test_a_certificate_of_yesterday(box: Sandbox) -> None:
    """One that the change brings counts; today's does not, nor what was there before."""
    for name, certificate in certificates().items():
        box.write(f"/etc/postfix/{name}", certificate)
    key = Parameter(ORIGIN, "smtpd_tls_key_file", "/etc/postfix/today.key")

    def found(certificate: str, *more: Resource) -> tuple[str, ...]:
        cert = Parameter(ORIGIN, "smtpd_tls_cert_file", f"/etc/postfix/{certificate}")
        return rehearsed(box, key, cert, *more).findings

    assert found("today.pem") == ()
    assert found("yesterday.pem") == (
        "smtpd_tls_cert_file: the certificate in /etc/postfix/yesterday.pem has expired",
    )
    yesterday = box.path("/etc/postfix/yesterday.pem").read_bytes()
    renewed = File(ORIGIN, "/etc/postfix/today.pem", FileState.FILE, yesterday)
    assert "today.pem has expired" in " ".join(found("today.pem", renewed))
    box.sh("rm /etc/postfix/*day.pem /etc/postfix/today.key")


def test_a_sound_change_passes(box: Sandbox) -> None:
    """The dead milter and the dead policy service are not this change's fault."""
    found = rehearsed(box, Parameter(ORIGIN, "disable_vrfy_command", "yes"), service("2525"))
    assert found == Rehearsal(notes=label(box))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transport_maps", "inline:{ { example.net = smtp:[192.0.2.1] } }"),
        ("virtual_alias_maps", "inline:{ {a@example.net = root} }"),
        ("smtpd_milter_maps", "inline:{ { 192.0.2.9 = inet:127.0.0.1:8 } }"),
    ],
)
def test_a_table_in_place_names_no_tables(box: Sandbox, name: str, value: str) -> None:
    assert rehearsed(box, Parameter(ORIGIN, name, value)).findings == ()


def test_a_new_listener_inherits_a_fault_that_all_have(box: Sandbox) -> None:
    own = service("2526", options=(("smtpd_etrn_restrictions", "reject_bar"),))
    assert "2526/inet: ETRN: " in " ".join(rehearsed(box, own).findings)
    live = box.read("/etc/postfix/main.cf")
    try:
        box.write("/etc/postfix/main.cf", live + b"smtpd_etrn_restrictions = reject_foo\n")
        assert rehearsed(box, service("2525")) == Rehearsal(notes=label(box))
        assert 'restriction: "reject_bar"' in " ".join(rehearsed(box, own).findings)
    finally:
        box.write("/etc/postfix/main.cf", live)


def test_strangers_do_not_suffer_from_each_other(box: Sandbox) -> None:
    """They share a session, where one is cut off whose errors are too many."""
    strict = Parameter(ORIGIN, "smtpd_hard_error_limit", "3")
    assert rehearsed(box, strict).findings == ()
    half = Parameter(
        ORIGIN,
        "smtpd_relay_restrictions",
        "check_client_access inline:{45.0.2.25=OK}, permit_mynetworks, reject_unauth_destination",
    )
    found = rehearsed(box, strict, half).findings
    assert {each.split(": ")[1] for each in found} == {"a stranger at 45.0.2.25"}
    assert all(each.endswith("an open relay") for each in found)


def test_a_kernel_without_overlays(box: Sandbox) -> None:
    """A copy is mounted in their place; the live files are not written to."""
    box.write(
        "/usr/local/sbin/mount",
        '#!/bin/sh\ncase $* in *overlays) exit 32 ;; esac\nPATH=/usr/bin:/bin\nexec mount "$@"\n',
        0o755,
    )
    before = box.sh("find /etc -type f -exec sha256sum {} + | sort")
    try:
        assert rehearsed(box, service("2525")) == Rehearsal(notes=label(box))
        broken = service("2526", options=(("smtpd_etrn_restrictions", "reject_bar"),))
        assert "2526/inet: ETRN: " in " ".join(rehearsed(box, broken).findings)
    finally:
        box.sh("rm /usr/local/sbin/mount")
    assert box.sh("find /etc -type f -exec sha256sum {} + | sort") == before


@pytest.mark.parametrize("victim", ["shell", "perl", "timeout"])
def test_it_goes_away_with_whoever_is_killed(box: Sandbox, victim: str) -> None:
    """No process stays, and no file of a copy."""
    program = Program("rehearse.sh", "copy.sh")
    slow = [
        case(f"slow {number}", "354", sender="a@b", recipients=(HERE,)) for number in range(200)
    ]
    rehearsal.add_live(program, slow)
    box.write("/run/killed", program.script())
    box.write("/run/payload", program.payload())
    find = "for p in /proc/[0-9]*; do c=$(cat $p/comm 2>/dev/null); case $c in " \
        "master|smtpd|perl|unshare|timeout) echo $c ${p#/proc/};; esac; done"  # fmt: skip
    script = f"""
    set +e
    found() {{ {find}; }}
    left() {{ found; find /var/spool -maxdepth 1 -name 'provisioner-*'; }}
    waiting() {{ n=0; until eval "$1" || [ $n -ge 200 ]; do sleep 0.1; n=$((n + 1)); done; }}
    ( exec sh /run/killed </run/payload >/dev/null 2>&1 ) & pid=$!
    waiting 'found | grep -q smtpd'
    found | grep -q smtpd && echo started
    [ {victim} = shell ] || pid=$(found | sed -n 's/^{victim} //p' | sort -n | head -n 1)
    kill -9 $pid
    waiting '[ -z "$(left)" ]'
    left
    exit 0
    """
    assert box.sh(script).decode().split() == ["started"]
    box.path("/run/killed").unlink()
    box.path("/run/payload").unlink()


def test_a_host_without_perl(tmp_path: Path) -> None:
    box = Sandbox(root_of("bookworm"), tmp_path, rehearsal=True)
    box.sh("mv /usr/bin/perl /usr/bin/perl.away")
    said = refused(
        box,
        Parameter(ORIGIN, "disable_vrfy_command", "yes"),
        tests=(case("one", "354"),),
    )
    assert "the policy tests cannot be held: this host has no perl" in said
