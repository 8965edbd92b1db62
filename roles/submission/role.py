"""Mail from your own users: submission on 587 (STARTTLS) and 465 (implicit TLS)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from provisioner.policy.promises import ACCEPTED, ELSEWHERE, REFUSED
from provisioner.postfix.master_cf import Service
from provisioner.postfix.tables import HEADER
from provisioner.roles import (
    HOST_CHROOT,
    Activation,
    Attributes,
    Client,
    Contribution,
    Conversation,
    Expectation,
    File,
    FirewallPort,
    HostContext,
    MasterService,
    Parameter,
    PolicyTest,
    Requirement,
    RoleOptions,
    Said,
    one_line,
    word_list,
)

#: Where relative sockets are (`queue_directory`).
QUEUE = "/var/spool/postfix"


class Sasl(RoleOptions):
    """Who checks the passwords."""

    type: Literal["dovecot", "cyrus"] = "dovecot"
    """The SASL implementation (`smtpd_sasl_type`)."""

    path: str = "private/auth"
    """Dovecot's socket below the queue directory, or the name of Cyrus' configuration. The
    socket has to be there before anything is changed, unless a role provides it
    (`dovecot_auth`): without it the services would die, and Postfix would throttle them."""

    cyrus_conf: dict[str, str] = {}
    """For Cyrus: the settings of its configuration file, which is then ours:
    `{pwcheck_method: saslauthd, mech_list: "PLAIN LOGIN"}`. Not set: left alone."""

    cyrus_directory: str = "/etc/postfix/sasl"
    """For Cyrus: where that file lives (Debian's place)."""


class Tls(RoleOptions):
    """The certificate that clients see. Not set: what the host has."""

    certificate: str | None = None
    """The certificate chain's file on the host (`smtpd_tls_cert_file`). It has to be there;
    when it changed on disk (certbot), the plan has a reload."""

    key: str | None = None
    """The private key's file on the host (`smtpd_tls_key_file`)."""


class Nftables(RoleOptions):
    """A chain of the host's own nftables rules."""

    family: Literal["inet", "ip", "ip6"] = "inet"
    """The table's family."""

    table: str
    """The table (`filter`)."""

    chain: str
    """The chain that sees what comes in (`input`). Our rules go to its head, as it may end
    in a drop."""

    file: str = "/etc/nftables.conf"
    """The file that is loaded at boot; our rules stand at its end (RHEL:
    /etc/sysconfig/nftables.conf, Alpine: /etc/nftables.nft)."""


class Firewall(RoleOptions):
    """The host's own firewall, in which the ports are opened. One in front of the host is
    yours to open."""

    open: bool = True
    """Whether the ports are opened, where firewalld or ufw is active. False: left alone."""

    zone: str | None = Field(default=None, min_length=1)
    """The zone of firewalld's. Not set: the default zone."""

    nftables: Nftables | None = None
    """For rules written by hand: which table and chain. Not set: left alone."""


class Options(RoleOptions):
    """Both services override every list they inherit: your users' laptops have neither
    proper HELO names nor reverse DNS."""

    submission: bool = True
    """Port 587: STARTTLS, then a password."""

    submissions: bool = True
    """Port 465: TLS from the first byte, then a password (RFC 8314 prefers it)."""

    auth_on_smtp: bool = False
    """Whether port 25 goes on offering AUTH. Off, `permit_sasl_authenticated` lets nobody in
    there; bots that guess passwords on port 25 are out as well."""

    sasl: Sasl = Sasl()
    """The password check."""

    tls: Tls = Tls()
    """The certificate."""

    firewall: Firewall = Firewall()
    """The host's own firewall."""

    options: dict[str, str] = {}
    """Further main.cf parameters for both services alone (`-o name=value`): a milter that
    signs, a header check, a limit. They win over the role's own."""


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    yield Parameter(host.origin("sasl", "type"), "smtpd_sasl_type", options.sasl.type)
    origin = host.origin("sasl", "path")
    yield Parameter(origin, "smtpd_sasl_path", word_list([options.sasl.path]))
    yield Parameter(
        host.origin("auth_on_smtp"),
        "smtpd_sasl_auth_enable",
        "yes" if options.auth_on_smtp else "no",
    )
    yield from _password_check(options, host)
    for option, parameter in (
        ("certificate", "smtpd_tls_cert_file"),
        ("key", "smtpd_tls_key_file"),
    ):
        path = getattr(options.tls, option)
        if path is not None:
            origin = host.origin("tls", option)
            yield Parameter(origin, parameter, path)
            why = f"{parameter} names it; without it no client can log in"
            yield Requirement(origin, path, why, watch=True)
    for name, wanted, tls in (
        ("submission", options.submission, ("smtpd_tls_security_level", "encrypt")),
        ("submissions", options.submissions, ("smtpd_tls_wrappermode", "yes")),
    ):
        service = _service(name, tls, options.options) if wanted else None
        yield MasterService(host.origin(name), name, "inet", service)
    yield from _ports(options, host)


def _password_check(options: Options, host: HostContext) -> Iterator[Contribution]:
    sasl = options.sasl
    if not (options.submission or options.submissions or options.auth_on_smtp):
        return
    if sasl.type == "dovecot":
        if sasl.cyrus_conf:
            raise host.error("cyrus_conf is for `type: cyrus`", "sasl", "cyrus_conf")
        if not sasl.path.startswith("inet:"):
            path = sasl.path.removeprefix("unix:")
            socket = path if path.startswith("/") else f"{QUEUE}/{path}"
            why = "Dovecot's auth socket; without it the services die at the first client"
            yield Requirement(host.origin("sasl", "path"), socket, why)
    elif sasl.cyrus_conf:
        origin = host.origin("sasl", "cyrus_conf")
        for name, value in sasl.cyrus_conf.items():
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
                raise host.error(f"{name!r} is no setting", "sasl", "cyrus_conf", name)
            one_line(value)
        lines = "".join(f"{name}: {value}\n" for name, value in sasl.cyrus_conf.items())
        path = f"{sasl.cyrus_directory}/{sasl.path}.conf"
        yield File(
            origin,
            path,
            content=f"{HEADER}\n{lines}".encode(),
            attributes=Attributes("root", "root", 0o644),
            activation=Activation.RELOAD,
        )


def _ports(options: Options, host: HostContext) -> Iterator[Contribution]:
    firewall = options.firewall
    if not firewall.open:
        return
    where, file = firewall.zone or "", ""
    if chain := firewall.nftables:
        if firewall.zone:
            raise host.error("name a zone of firewalld's or a chain, not both", "firewall")
        where, file = f"{chain.family}/{chain.table}/{chain.chain}", chain.file
    for port, wanted in ((587, options.submission), (465, options.submissions)):
        if wanted:
            yield FirewallPort(host.origin("firewall"), port, where, file)


#: A list that port 25 has must not be met by our own users: their laptops have neither
#: proper HELO names nor reverse DNS.
INHERITED = ("client", "helo", "sender", "data", "end_of_data", "etrn")


def _service(name: str, tls: tuple[str, str], further: dict[str, str]) -> Service:
    options = {
        "syslog_name": f"postfix/{name}",
        tls[0]: tls[1],
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_tls_auth_only": "yes",
        "smtpd_reject_unlisted_recipient": "no",
        **{f"smtpd_{each}_restrictions": "" for each in INHERITED[:3]},
        "smtpd_relay_restrictions": "permit_sasl_authenticated,reject",
        "smtpd_recipient_restrictions": "permit_sasl_authenticated,reject",
        **{f"smtpd_{each}_restrictions": "" for each in INHERITED[3:]},
        "milter_macro_daemon_name": "ORIGINATING",
        **further,
    }
    return Service(
        name,
        "inet",
        private="n",
        chroot=HOST_CHROOT,
        command="smtpd",
        options=tuple(options.items()),
    )


def tests(options: Options, host: HostContext) -> Iterator[PolicyTest]:
    if not options.auth_on_smtp:
        yield PolicyTest(
            "AUTH is not offered on port 25",
            Conversation(until=Said.HELO),
            Expectation(("250",), lacks=("AUTH",)),
            host.origin("auth_on_smtp"),
        )
    if options.submission:
        yield PolicyTest(
            "nothing is said on submission before STARTTLS",
            Conversation("submission", until=Said.MAIL),
            Expectation(("530",), lacks=("AUTH",)),
            host.origin("submission"),
        )
    for name, wanted in (("submission", options.submission), ("submissions", options.submissions)):
        if wanted:
            yield from _of_service(name, options, host)


def _of_service(name: str, options: Options, host: HostContext) -> Iterator[PolicyTest]:
    origin = host.origin(name)
    yield PolicyTest(
        f"{name} completes TLS and offers AUTH",
        Conversation(name, Client(tls=True), until=Said.HELO),
        Expectation(("250",), offers=("AUTH",)),
        origin,
    )
    yield PolicyTest(
        f"{name} refuses who has not logged in",
        Conversation(name, Client(tls=True), recipients=(ELSEWHERE,), until=Said.RCPT),
        REFUSED,
        origin,
    )
    if any(each.endswith("_restrictions") for each in options.options):
        return  # who may send what is then somebody's own business
    user = f"user@{(host.mail.domains or ['example.org'])[0]}"
    yield PolicyTest(
        f"{name} takes mail to anywhere from who has logged in",
        Conversation(
            name,
            # A laptop at home: no name, and none that it could say.
            Client(name="", reverse_name="", login=user, tls=True),
            helo="laptop",
            sender=user,
            recipients=(ELSEWHERE,),
        ),
        ACCEPTED,
        origin,
    )
