"""Cyrus' saslauthd as the password check of Postfix, where a chrooted smtpd reaches it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from provisioner.postfix.tables import HEADER
from provisioner.roles import (
    Activation,
    Attributes,
    Contribution,
    ControlUnit,
    File,
    FileState,
    HostContext,
    Package,
    RoleOptions,
    Unit,
)

#: Where relative paths begin for smtpd, chrooted or not (`queue_directory`).
QUEUE = "/var/spool/postfix"


class Options(RoleOptions):
    """saslauthd runs, and Postfix' configuration of Cyrus SASL names its socket. The role
    `submission` uses it with `sasl: {type: cyrus, path: smtpd}`. It needs systemd, and
    Debian's places."""

    mechanism: Literal["pam", "shadow", "sasldb", "ldap", "rimap"] = "pam"
    """Whom saslauthd asks: `pam` and `shadow` are the accounts of the system, `sasldb` those
    that `saslpasswd2 -c -u $(hostname) NAME` made; `ldap` needs /etc/saslauthd.conf, `rimap` its
    server in `arguments`."""

    arguments: list[str] = []
    """Further arguments: `[-O, imap.example.com]`."""

    packages: list[str] = ["sasl2-bin", "libsasl2-modules"]
    """Packages that must be installed."""

    directory: str = "saslauthd"
    """The directory of the socket, in the queue directory."""

    name: str = "smtpd"
    """The name of the configuration, which `submission.sasl.path` has, too."""


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    for index, argument in enumerate(options.arguments):
        if not re.fullmatch(r"[A-Za-z0-9._:/@=,+-]+", argument):
            raise host.error(f"{argument!r} is not one plain word", "arguments", index)
    for option in ("directory", "name"):
        value = getattr(options, option)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            raise host.error(f"{value!r} is no plain name", option)
    for index, package in enumerate(options.packages):
        yield Package(host.origin("packages", index), package)
    directory = f"{QUEUE}/{options.directory}"
    yield File(
        host.origin("directory"),
        directory,
        FileState.DIRECTORY,
        attributes=Attributes("root", "postfix", 0o710),
    )
    drop_in = "/etc/systemd/system/saslauthd.service.d/provisioner.conf"
    yield File(host.origin(), drop_in.rpartition("/")[0], FileState.DIRECTORY)
    yield _file(drop_in, _service(options, directory), host, ControlUnit("saslauthd", "restart"))
    yield _file(f"/etc/postfix/sasl/{options.name}.conf", _configuration(options), host)
    socket = f"{directory}/mux"
    yield Unit(host.origin(), "saslauthd", running=True, enabled=True, sockets=(socket,))


def _file(path: str, content: str, host: HostContext, *notify: ControlUnit) -> File:
    return File(
        host.origin(),
        path,
        content=f"{HEADER}\n{content}".encode(),
        attributes=Attributes("root", "root", 0o644),
        notify=notify,
        activation=Activation.NONE if notify else Activation.RELOAD,
    )


def _service(options: Options, directory: str) -> str:
    """Without the distribution's script, which would give the directory to a group that
    Postfix is not in."""
    words = ["-a", options.mechanism, *options.arguments, "-c", "-m", directory, "-n", "5"]
    return (
        "[Service]\n"
        "Type=forking\n"
        f"PIDFile={directory}/saslauthd.pid\n"
        "ExecStart=\n"
        f"ExecStart=/usr/sbin/saslauthd {' '.join(words)}\n"
        "ExecStop=\n"
        "RemainAfterExit=no\n"
        "KillMode=control-group\n"
    )


def _configuration(options: Options) -> str:
    # Relative: smtpd works in the queue directory, chrooted or not.
    return (
        "pwcheck_method: saslauthd\n"
        "mech_list: PLAIN LOGIN\n"
        f"saslauthd_path: {options.directory}/mux\n"
    )
