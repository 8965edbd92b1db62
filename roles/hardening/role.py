"""Hardening: single settings that make smtpd stricter, each with its cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from provisioner.policy.promises import helo_demanded
from provisioner.roles import (
    Client,
    Contribution,
    Conversation,
    Expectation,
    HostContext,
    Parameter,
    PolicyTest,
    RoleOptions,
    Said,
)


class Limits(RoleOptions):
    """What one client may do, per `anvil_rate_time_unit` (a minute, unless you change it).
    Own networks are never limited (`smtpd_client_event_limit_exceptions`). Not set: as
    Postfix has it."""

    connections: int | None = Field(default=None, ge=0)
    """Connections of one client at the same time (Postfix: 50). Cost: a busy neighbour that
    opens many at once is told to come back."""

    connection_rate: int | None = Field(default=None, ge=0)
    """New connections of one client. Cost: large senders come from few addresses; too low a
    number delays their mail (421, they try again)."""

    message_rate: int | None = Field(default=None, ge=0)
    """Messages of one client. Cost: as above, and mailing lists."""

    recipient_rate: int | None = Field(default=None, ge=0)
    """Recipients of one client. Cost: as above."""

    auth_rate: int | None = Field(default=None, ge=0)
    """AUTH commands of one client (Postfix 3.1 and later). Cost: many users behind one
    address; slows down guessing of passwords."""


class Options(RoleOptions):
    """Every setting can be left alone with `null`: then the host keeps what it has."""

    helo_required: bool | None = True
    """`smtpd_helo_required`: no mail without HELO or EHLO; without it every HELO check can
    be walked around. Cost: home-grown programs that say no HELO (every RFC since 821 asks
    for one) are refused."""

    disable_vrfy: bool | None = True
    """`disable_vrfy_command`: VRFY does not tell strangers which addresses exist. Cost: none
    known; RCPT tells as much, but can be limited and logged. A tool of your own that asks
    VRFY has to ask otherwise."""

    strict_envelopes: bool | None = True
    """`strict_rfc821_envelopes`: addresses in MAIL and RCPT stand in <> and carry no
    comments. Cost: ancient mail clients and home-grown programs fail (501); Postfix' own
    default is no for that reason."""

    etrn: bool | None = False
    """Whether ETRN is offered. Off: it is left out of the EHLO reply. Cost: sites that
    fetch their queued mail by ETRN cannot any more."""

    reject_pipelining: Literal["data", "always", "auto"] | None = "auto"
    """What happens to a client that sends commands before it may. `always` is
    `smtpd_forbid_unauth_pipelining` (Postfix 3.9 and later: the connection is closed);
    `auto` leaves Postfix' default, which is that from 3.9 on. `data` switches it off and
    relies on `reject_unauth_pipelining` alone. Cost: broken bulk mailers, which is the
    point."""

    bare_newline: Literal["normalize", "reject", "no"] | None = None
    """`smtpd_forbid_bare_newline` against SMTP smuggling. Not set: Postfix' default, which is
    `normalize` from 3.9 on; 3.5.23, 3.6.13, 3.7.9 and 3.8.4 brought the setting, 3.8.5 the
    words (before: yes or no). Cost of `reject`: mail from programs that end lines in LF is
    refused."""

    show_version: bool | None = False
    """Whether the greeting says which Postfix this is (`smtpd_banner`). Debian adds the
    distribution. Cost: none; gain: none against anybody who looks harder."""

    soft_error_limit: int | None = Field(default=None, ge=0)
    """Errors after which each reply is delayed (`smtpd_soft_error_limit`; Postfix: 10)."""

    hard_error_limit: int | None = Field(default=None, ge=1)
    """Errors after which the connection is closed (`smtpd_hard_error_limit`; Postfix: 20).
    Cost of a low number: a sender with many unknown recipients in one message is cut off."""

    timeout: str | None = None
    """Seconds that smtpd waits for a client (`smtpd_timeout`), as Postfix writes times
    (`120s`). Cost of a low number: slow, far clients."""

    tls: bool | None = None
    """Whether port 25 offers STARTTLS (`smtpd_tls_security_level`: may, or none). A
    certificate has to be there: Debian makes one. Never enforced here: mail from hosts
    without TLS would be lost."""

    limits: Limits = Limits()
    """How much one client may do."""


SWITCHES = {
    "helo_required": "smtpd_helo_required",
    "disable_vrfy": "disable_vrfy_command",
    "strict_envelopes": "strict_rfc821_envelopes",
}
NUMBERS = {
    "soft_error_limit": "smtpd_soft_error_limit",
    "hard_error_limit": "smtpd_hard_error_limit",
    "timeout": "smtpd_timeout",
    "bare_newline": "smtpd_forbid_bare_newline",
}
LIMITS = {
    "connections": "smtpd_client_connection_count_limit",
    "connection_rate": "smtpd_client_connection_rate_limit",
    "message_rate": "smtpd_client_message_rate_limit",
    "recipient_rate": "smtpd_client_recipient_rate_limit",
    "auth_rate": "smtpd_client_auth_rate_limit",
}


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    for option, parameter in SWITCHES.items():
        wanted = getattr(options, option)
        if wanted is not None:
            yield Parameter(host.origin(option), parameter, "yes" if wanted else "no")
    for option, parameter in NUMBERS.items():
        wanted = getattr(options, option)
        if wanted is not None:
            yield Parameter(host.origin(option), parameter, str(wanted))
    for option, parameter in LIMITS.items():
        limit = getattr(options.limits, option)
        if limit is not None:
            yield Parameter(host.origin("limits", option), parameter, str(limit))
    yield from _replies(options, host)


def _replies(options: Options, host: HostContext) -> Iterator[Contribution]:
    """What the greeting and the answer to EHLO tell."""
    if options.show_version is not None:
        version = " $mail_name ($mail_version)" if options.show_version else ""
        yield Parameter(host.origin("show_version"), "smtpd_banner", f"$myhostname ESMTP{version}")
    if options.etrn is not None:
        words = "" if options.etrn else "etrn"
        yield Parameter(host.origin("etrn"), "smtpd_discard_ehlo_keywords", words)
    if options.tls is not None:
        level = "may" if options.tls else "none"
        yield Parameter(host.origin("tls"), "smtpd_tls_security_level", level)
    if options.reject_pipelining in ("always", "data"):
        wanted = "yes" if options.reject_pipelining == "always" else "no"
        yield Parameter(host.origin("reject_pipelining"), "smtpd_forbid_unauth_pipelining", wanted)


def tests(options: Options, host: HostContext) -> Iterator[PolicyTest]:
    if options.helo_required:
        yield helo_demanded(host.origin("helo_required"))
    if options.disable_vrfy:
        yield PolicyTest(
            "VRFY tells nobody which addresses exist",
            Conversation(commands=("VRFY postmaster",), until=Said.COMMAND),
            Expectation(("502",)),
            host.origin("disable_vrfy"),
        )
    if options.strict_envelopes:
        yield PolicyTest(
            "an envelope address without <> is refused",
            Conversation(commands=("MAIL FROM:someone@example.org",), until=Said.COMMAND),
            Expectation(("501",)),
            host.origin("strict_envelopes"),
        )
    if options.etrn is False:
        yield PolicyTest(
            "ETRN is not offered",
            Conversation(until=Said.HELO),
            Expectation(("250",), lacks=("ETRN",)),
            host.origin("etrn"),
        )
    if options.tls is not None:
        offered = options.tls
        yield PolicyTest(
            "a TLS handshake completes on port 25" if offered else "STARTTLS is not offered",
            Conversation(client=Client(tls=offered), until=Said.HELO),
            Expectation(("250",)) if offered else Expectation(("250",), lacks=("STARTTLS",)),
            host.origin("tls"),
        )
