"""Mail from your own users: submission on 587 (STARTTLS) and 465 (implicit TLS)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from provisioner.postfix.master_cf import Service
from provisioner.roles import (
    HOST_CHROOT,
    Contribution,
    HostContext,
    MasterService,
    Parameter,
    RoleOptions,
)


class Sasl(RoleOptions):
    """Who checks the passwords."""

    type: Literal["dovecot", "cyrus"] = "dovecot"
    """The SASL implementation (`smtpd_sasl_type`)."""

    path: str = "private/auth"
    """Dovecot's socket below the queue directory, or the name of Cyrus' configuration."""


class Tls(RoleOptions):
    """The certificate that clients see. Not set: what the host has."""

    certificate: str | None = None
    """The certificate chain's file on the host (`smtpd_tls_cert_file`)."""

    key: str | None = None
    """The private key's file on the host (`smtpd_tls_key_file`)."""


class Options(RoleOptions):
    """Both services override every list they inherit: your users' laptops have neither
    proper HELO names nor reverse DNS."""

    submission: bool = True
    """Port 587: STARTTLS, then a password."""

    submissions: bool = True
    """Port 465: TLS from the first byte, then a password (RFC 8314 prefers it)."""

    auth_on_smtp: bool = False
    """Whether port 25 goes on offering AUTH."""

    sasl: Sasl = Sasl()
    """The password check."""

    tls: Tls = Tls()
    """The certificate."""


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    yield Parameter(host.origin("sasl", "type"), "smtpd_sasl_type", options.sasl.type)
    yield Parameter(host.origin("sasl", "path"), "smtpd_sasl_path", options.sasl.path)
    yield Parameter(
        host.origin("auth_on_smtp"),
        "smtpd_sasl_auth_enable",
        "yes" if options.auth_on_smtp else "no",
    )
    for option, parameter in (
        ("certificate", "smtpd_tls_cert_file"),
        ("key", "smtpd_tls_key_file"),
    ):
        path = getattr(options.tls, option)
        if path:
            yield Parameter(host.origin("tls", option), parameter, path)
    for name, wanted, tls in (
        ("submission", options.submission, ("smtpd_tls_security_level", "encrypt")),
        ("submissions", options.submissions, ("smtpd_tls_wrappermode", "yes")),
    ):
        service = _service(name, tls) if wanted else None
        yield MasterService(host.origin(name), name, "inet", service)


def _service(name: str, tls: tuple[str, str]) -> Service:
    return Service(
        name,
        "inet",
        private="n",
        chroot=HOST_CHROOT,
        command="smtpd",
        options=(
            ("syslog_name", f"postfix/{name}"),
            tls,
            ("smtpd_sasl_auth_enable", "yes"),
            ("smtpd_tls_auth_only", "yes"),
            ("smtpd_reject_unlisted_recipient", "no"),
            ("smtpd_client_restrictions", ""),
            ("smtpd_helo_restrictions", ""),
            ("smtpd_sender_restrictions", ""),
            ("smtpd_relay_restrictions", "permit_sasl_authenticated,reject"),
            ("smtpd_recipient_restrictions", "permit_sasl_authenticated,reject"),
            ("smtpd_data_restrictions", ""),
            ("milter_macro_daemon_name", "ORIGINATING"),
        ),
    )
