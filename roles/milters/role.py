"""Milters: DKIM signing, virus and spam filters wired into smtpd and cleanup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from provisioner.roles import Contribution, HostContext, Package, Parameter, RoleOptions, Unit

Action = Literal["accept", "reject", "tempfail", "quarantine"]


class Milter(RoleOptions):
    """One milter with settings of its own (Postfix 3.0 and later)."""

    endpoint: str
    """`inet:ADDRESS:PORT`, or `unix:PATH` relative to the queue directory."""

    default_action: Action | None = None
    """What happens to mail while it does not answer; not set: the role's."""

    connect_timeout: int | None = Field(default=None, ge=1)
    """Seconds to wait for a connection."""

    command_timeout: int | None = Field(default=None, ge=1)
    """Seconds to wait for the answer to a command."""

    content_timeout: int | None = Field(default=None, ge=1)
    """Seconds to wait for the verdict on a message."""


class Options(RoleOptions):
    """The milters themselves (opendkim, rspamd, clamav-milter) keep their own configuration;
    this role installs and starts them if asked, and has Postfix ask them. In `submission`
    others can be asked: give that role `options: {smtpd_milters: …}`."""

    milters: list[str | Milter] = []
    """Asked about mail by SMTP, in this order (`smtpd_milters`)."""

    non_smtpd: list[str | Milter] | None = None
    """Asked about mail from sendmail(1) and qmqpd (`non_smtpd_milters`), so that a host's own
    mail is signed too. Not set: as it is."""

    default_action: Action = "accept"
    """What happens to mail while a milter does not answer. `accept` fails open: right for
    signing and scoring. `tempfail` (Postfix' default) has senders try again later: right
    where unfiltered mail must not pass."""

    protocol: str | None = None
    """`milter_protocol`; not set: Postfix' own, which is 6."""

    packages: list[str] = []
    """Packages to install: `[opendkim]`."""

    units: list[str] = []
    """Services to run and enable: `[opendkim]`."""


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    for index, package in enumerate(options.packages):
        yield Package(host.origin("packages", index), package)
    for index, unit in enumerate(options.units):
        yield Unit(host.origin("units", index), unit, running=True, enabled=True)
    yield _list("smtpd_milters", options.milters, "milters", host)
    if options.non_smtpd is not None:
        yield _list("non_smtpd_milters", options.non_smtpd, "non_smtpd", host)
    action = host.origin("default_action")
    yield Parameter(action, "milter_default_action", options.default_action)
    if options.protocol is not None:
        yield Parameter(host.origin("protocol"), "milter_protocol", options.protocol)


def _list(parameter: str, milters: list[str | Milter], option: str, host: HostContext) -> Parameter:
    words = [_word(each, host, option, index) for index, each in enumerate(milters)]
    return Parameter(host.origin(option), parameter, ", ".join(words), fold=True)


def _word(given: str | Milter, host: HostContext, *path: str | int) -> str:
    milter = Milter(endpoint=given) if isinstance(given, str) else given
    endpoint = milter.endpoint
    if endpoint.startswith("unix:/"):
        raise host.error(
            f"a chrooted smtpd does not find {endpoint}",
            *path,
            help="have the milter listen below the queue directory and give the path from "
            "there: unix:opendkim/opendkim.sock",
        )
    if not re.fullmatch(r"inet:[A-Za-z0-9_.:\[\]-]+:[0-9]+|unix:[A-Za-z0-9_./-]+", endpoint):
        raise host.error(f"{endpoint} is no endpoint", *path, help="write inet:127.0.0.1:8891")
    settings = {
        "default_action": milter.default_action,
        "connect_timeout": milter.connect_timeout and f"{milter.connect_timeout}s",
        "command_timeout": milter.command_timeout and f"{milter.command_timeout}s",
        "content_timeout": milter.content_timeout and f"{milter.content_timeout}s",
    }
    said = ", ".join(f"{name}={value}" for name, value in settings.items() if value)
    return f"{{ {endpoint}, {said} }}" if said else endpoint
