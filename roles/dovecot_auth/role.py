"""Dovecot as the password check of Postfix: its auth socket inside the queue directory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provisioner.roles import (
    Attributes,
    Contribution,
    ControlUnit,
    File,
    HostContext,
    Package,
    RoleOptions,
    Unit,
)


class Options(RoleOptions):
    """Who may log in stays Dovecot's own business (on Debian: the accounts of the system).
    This role gives Postfix the socket that the `submission` role asks, and nothing else."""

    packages: list[str] = ["dovecot-core"]
    """Packages that must be installed."""

    socket: str = "/var/spool/postfix/private/auth"
    """The socket; inside the queue directory, so that a chrooted smtpd reaches it."""

    file: str = "/etc/dovecot/conf.d/99-postfix-auth.conf"
    """The file that holds the setting; Dovecot reads the folder's files in order."""


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    for index, package in enumerate(options.packages):
        yield Package(host.origin("packages", index), package)
    if not re.fullmatch(r"/[A-Za-z0-9_./-]+", options.socket):
        raise host.error(f"{options.socket!r} is no path of a socket", "socket")
    yield File(
        host.origin("file"),
        options.file,
        content=host.template("auth.conf.j2", socket=options.socket),
        attributes=Attributes("root", "root", 0o644),
        notify=(ControlUnit("dovecot", "restart"),),
    )
    yield Unit(host.origin(), "dovecot", running=True, enabled=True, sockets=(options.socket,))
