"""A policy test as data: the conversation to hold, what must come of it, and what came.

The words are SMTP's (RFC 5321); who the client is, is told to smtpd(8) with XCLIENT
(XCLIENT_README), so that a host's own Postfix judges any client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from provisioner.resources.base import Origin


class Stage(StrEnum):
    """Where in a conversation a reply was given, in their order."""

    CONNECT = "connect"
    HELO = "helo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    MESSAGE = "message"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Client:
    """Who connects. `name` and `reverse_name`: None has the host resolve the address,
    an empty one is a client without (`[UNAVAILABLE]`). `login` is a SASL user name."""

    address: str = "192.0.2.25"
    name: str | None = "client.example.org"
    reverse_name: str | None = "client.example.org"
    login: str = ""
    #: Whether TLS is spoken: by STARTTLS, or from the first byte where the service wants that.
    tls: bool = False
    #: Whether it comes through a proxy that speaks the PROXY protocol. The rehearsal does not.
    proxied: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is said to which service. It ends after the reply to `until`, or at the first
    refusal.

    `service` is a name of master.cf (`smtp`, `submission`, `submissions`, `127.0.0.1:10025`)
    or its port. `helo` None: the client says neither EHLO nor HELO. `commands`, where there are
    any, are said after HELO in place of a mail (`VRFY root`). `message` is sent whole only
    where `until` is MESSAGE; with DATA the connection is dropped after the 354.

    `policy` is what the stand-ins of policy services answer, an action of access(5)
    (`DEFER_IF_PERMIT Greylisted`); empty: they have no opinion. `milter` is what those of
    milters answer, and when: `rcpt reject`, `mail tempfail`, `message 550 5.7.1 Not this`
    (at connect, helo, mail, rcpt or message); empty: they let it pass.
    """

    service: str = "smtp"
    client: Client = field(default_factory=Client)
    helo: str | None = "client.example.org"
    sender: str = "someone@example.org"
    recipients: tuple[str, ...] = ()
    message: bytes = b""
    commands: tuple[str, ...] = ()
    until: Stage = Stage.DATA
    policy: str = ""
    milter: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """`replies` are codes of which the last reply must have one, `x` for any digit (`554`,
    `5xx`); none: any will do. `text` stands in it somewhere, in whatever case. `offers` and
    `lacks` are keywords of EHLO's answer (`AUTH`, `STARTTLS`) after TLS, if there is any.
    `asks` are restrictions that smtpd(8) must have evaluated (`check_policy_service`)."""

    replies: tuple[str, ...] = ()
    text: str = ""
    offers: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """One conversation and what must come of it. `name` is unique on a host. One with a
    reason to `skip` it is not held, but told of."""

    name: str
    conversation: Conversation
    expect: Expectation
    origin: Origin
    skip: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of smtpd(8): the last line's code and text, and what it answered."""

    stage: Stage
    said: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided, as smtpd(8) -v logs it: the restriction, and the table, key and action
    where one was asked. Empty strings for what is not known."""

    restriction: str
    table: str = ""
    key: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a conversation. `offers` are EHLO's last keywords with what stands behind
    them, `asked` the names of all restrictions that were evaluated, in order. `fault` says why
    there is no reply to judge (the service does not exist, the connection broke, TLS failed);
    empty otherwise. `failed` names what was not as expected, as the host found by comparing:
    `fault`, `reply`, `text`, or `offers`, `lacks`, `asks` with the word (`lacks AUTH`); nothing:
    the test passed. `questions` are what stand-ins for policy services and milters were asked,
    a line each."""

    test: str
    replies: tuple[Reply, ...] = ()
    offers: tuple[str, ...] = ()
    decision: Decision | None = None
    asked: tuple[str, ...] = ()
    fault: str = ""
    failed: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()

    @property
    def last(self) -> Reply | None:
        return self.replies[-1] if self.replies else None
