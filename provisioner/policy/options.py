"""The variable `policy_tests`: what people write, and the policy tests it means. Pure.

What is not said is a well-behaved stranger: a client that has a name, says it in HELO, and
has mail for the postmaster here.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

from pydantic import Field, StrictInt, field_validator, model_validator

from provisioner.diagnostics import nearest
from provisioner.policy import message
from provisioner.policy.conversation import (
    Client,
    Conversation,
    Expectation,
    PolicyTest,
    Stage,
)
from provisioner.policy.promises import ACCEPTED
from provisioner.policy.strangers import Surroundings
from provisioner.resources.base import Origin
from provisioner.roles.interface import RoleOptions

#: Services whose clients log in, and do so under TLS only.
WITH_TLS = frozenset({"submission", "submissions", "smtps", "587", "465"})

_CODE = re.compile(r"[2-5](\d\d|\dx|xx)")
_HEADER = re.compile(r"[!-9;-~]+")
_REFUSALS = frozenset({"reject", "refuse", "refused", "rejected", "deny", "block", "fail"})
_ACCEPTANCES = frozenset({"ok", "permit", "pass", "allow", "accepted"})


class ClientOptions(RoleOptions):
    """Who connects. Of its two names each is as the other where only one is said."""

    address: str | None = None
    """Its IP address. Not set: an address that is in none of your own networks."""

    name: str | None = None
    """Its verified name (address to name and back). `''`: it has none. Not set: it has one."""

    reverse_name: str | None = None
    """The name its address leads to, verified or not. `''`: there is no PTR record."""

    login: str | None = None
    """The user name it has logged in with (SASL)."""

    tls: bool | None = None
    """Whether it speaks TLS. Not set: where it logs in, and on the services for that."""

    proxy: bool = False
    """Whether it comes through a proxy in front of the host that speaks the PROXY protocol
    (HAProxy). No listener is made to wait for one unless a test says that it is there; the
    rehearsal itself leaves the proxy out."""

    @field_validator("address")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        return None if value is None else _address(value)

    @model_validator(mode="after")
    def _combined(self) -> ClientOptions:
        if self.name and self.reverse_name == "":
            raise ValueError("a client with a verified name has a reverse_name, too")
        if self.login == "":
            raise ValueError("a login is a user's name; leave it out for a client without")
        return self


class ExpectOptions(RoleOptions):
    """What must come of it, in detail."""

    reply: str | StrictInt | list[str | StrictInt] | None = None
    """The code of the last reply: `554`, any of several `[450, 554]`, `5xx` for all that
    refuse, `4xx` for all that ask to try again, `accept`."""

    text: str = ""
    """A text in the last reply, in whatever case."""

    offers: str | list[str] = []
    """Keywords that EHLO must offer: `STARTTLS`, `[AUTH, SIZE]`."""

    lacks: str | list[str] = []
    """Keywords that EHLO must not offer."""

    @field_validator("reply")
    @classmethod
    def _reply(cls, value: Any) -> Any:
        codes(value)
        return value

    @field_validator("offers", "lacks")
    @classmethod
    def _keywords(cls, value: str | list[str]) -> str | list[str]:
        for each in _listed(value):
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", each):
                raise ValueError(f"{each!r} is no keyword of EHLO")
        return value

    @model_validator(mode="after")
    def _something(self) -> ExpectOptions:
        both = {e.upper() for e in _listed(self.offers)} & {e.upper() for e in _listed(self.lacks)}
        if both:
            raise ValueError(f"{', '.join(sorted(both))} cannot be offered and lacking")
        if self.reply is None and not (self.text or self.offers or self.lacks):
            raise ValueError("nothing is expected here: say reply, text, offers or lacks")
        return self


class TestOptions(RoleOptions):
    """One policy test: a conversation with the host's own Postfix, and what must come of it."""

    __test__ = False  # pytest looks for classes of this name

    name: str = Field(min_length=1)
    """What the policy must do, in a few words. A test takes the place of one of the same name
    that a wider group, or a role, has."""

    client: str | ClientOptions = ClientOptions()
    """Who connects: an IP address, or a mapping."""

    helo: str | None = None
    """What it says in HELO. `''`: it says neither HELO nor EHLO. Not set: its name."""

    from_: str | None = Field(default=None, alias="from")
    """The envelope sender. `''`: the empty one, as in bounces. Not set: a stranger's; the
    user's own where the client logs in with an address."""

    to: str | list[str] | None = None
    """The envelope recipient, or several. Not set: the postmaster of the host's first domain."""

    service: str | StrictInt = "smtp"
    """Which service of master.cf it connects to, by name or port: `submission`, 587."""

    headers: dict[str, str] = {}
    """Headers of the message; then the whole of it is sent."""

    body: str | None = None
    """The text of the message; then the whole of it is sent."""

    expect: str | StrictInt | ExpectOptions | None = None
    """`accept`, a code (`554`), `5xx` (refused), `4xx` (try again), or a mapping."""

    skip: str = ""
    """Why this test is not held. `{name: …, skip: …}` alone sets aside one of a role or of a
    wider group."""

    @field_validator("client")
    @classmethod
    def _client(cls, value: str | ClientOptions) -> str | ClientOptions:
        return _address(value) if isinstance(value, str) else value

    @field_validator("expect")
    @classmethod
    def _expect(cls, value: Any) -> Any:
        if isinstance(value, str | int):
            codes(value)
        return value

    @field_validator("helo", "name", "service")
    @classmethod
    def _line(cls, value: Any) -> Any:
        return _one_line(value) if isinstance(value, str) else value

    @field_validator("from_")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        return None if value is None else _mailbox("" if value == "<>" else value)

    @field_validator("to")
    @classmethod
    def _recipients(cls, value: str | list[str] | None) -> str | list[str] | None:
        given = [] if value is None else _listed(value)
        if value is not None and not all(given):
            raise ValueError("a mail has a recipient; leave `to` out for the postmaster")
        for each in given:
            _mailbox(each)
        return value

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if re.search(r"\r|\n(?![ \t])|\n\s*\Z|\0", text):
                raise ValueError(
                    f"{name}: a header is one line; go on after a line end and a blank"
                )
        return value

    @model_validator(mode="after")
    def _combined(self) -> TestOptions:
        if self.expect is None and not self.skip:
            raise ValueError("what must come of it? say expect: accept, 554, 5xx or 4xx")
        return self

    @property
    def sets_aside(self) -> bool:
        """Whether it only says that a test somebody else wrote is not held."""
        return self.expect is None


def codes(value: Any) -> tuple[str, ...]:
    """The replies that are meant. Raises ValueError for what is no reply."""
    if value is None:
        return ()
    found: list[str] = []
    for each in value if isinstance(value, list) else [value]:
        word = str(each).lower()
        if word == "accept":
            found += ACCEPTED.replies
        elif _CODE.fullmatch(word):
            found.append(word)
        elif word in _REFUSALS:
            raise ValueError(
                "a refusal is 5xx (for good) or 4xx (try again later): they differ, say which"
            )
        else:
            near = "accept" if word in _ACCEPTANCES else nearest(word, ["accept"])
            raise ValueError(
                f"is no reply; did you mean {near}?"
                if near
                else "is no reply: say accept, a code like 554, 5xx or 4xx"
            )
    if not found:
        raise ValueError("name at least one reply")
    return tuple(found)


def _address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError(
            "is no IP address; a client's name goes below `client: {name: …}`"
        ) from None


def _mailbox(value: str) -> str:
    if re.search(r"[\x00-\x1f\x7f<>]", value):
        raise ValueError("is no mail address: write it without < and >, on one line")
    return value


def _one_line(value: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise ValueError("holds a control character")
    return value


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


# ---- from what is written to the test -------------------------------------------------


def test_of(options: TestOptions, origin: Origin, around: Surroundings) -> PolicyTest:
    """The test that is meant, on a host with these surroundings."""
    expect = expectation(options)
    return PolicyTest(
        options.name, conversation(options, expect, around), expect, origin, options.skip
    )


test_of.__test__ = False  # type: ignore[attr-defined]  # nor is this one of pytest's


def expectation(options: TestOptions) -> Expectation:
    wanted = options.expect
    if not isinstance(wanted, ExpectOptions):
        return Expectation(codes(wanted))
    replies = codes(wanted.reply)
    offers, lacks = _listed(wanted.offers), _listed(wanted.lacks)
    if not replies and not wanted.text:
        replies = ("250",)  # a client that is not answered is offered nothing, and lacks all
    return Expectation(
        replies, wanted.text, tuple(e.upper() for e in offers), tuple(e.upper() for e in lacks)
    )


def conversation(options: TestOptions, expect: Expectation, around: Surroundings) -> Conversation:
    who = options.client
    given = ClientOptions(address=who) if isinstance(who, str) else who
    service = str(options.service)
    client = client_of(given, service, around)
    whole = bool(options.headers) or options.body is not None
    mail = whole or options.from_ is not None or options.to is not None
    only_asks = (expect.offers or expect.lacks) and not mail and expect.replies == ("250",)
    sender = options.from_
    if sender is None:
        sender = client.login if "@" in client.login else around.sender
    recipients = (around.recipient,) if options.to is None else tuple(_listed(options.to))
    helo = options.helo if options.helo is not None else client.name or around.client
    text = b""
    if whole:
        text = message.compose(sender, recipients, options.headers, options.body)
    return Conversation(
        service=service,
        client=client,
        helo=helo or None,
        sender=sender,
        recipients=recipients,
        message=text,
        until=Stage.HELO if only_asks else Stage.MESSAGE if whole else Stage.DATA,
    )


def client_of(given: ClientOptions, service: str, around: Surroundings) -> Client:
    name, reverse = given.name, given.reverse_name
    if name is None and reverse is None:
        name = reverse = around.client
    name = reverse if name is None else name
    return Client(
        address=given.address or around.stranger,
        name=name,
        reverse_name=name if reverse is None else reverse,
        login=given.login or "",
        tls=(bool(given.login) or service in WITH_TLS) if given.tls is None else given.tls,
        proxied=given.proxy,
    )
