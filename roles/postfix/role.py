"""Postfix itself: packages, main.cf parameters, master.cf services, tables, the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from provisioner.postfix.master_cf import Service
from provisioner.roles import (
    HOST_CHROOT,
    Contribution,
    Entry,
    HostContext,
    MasterService,
    Package,
    Parameter,
    RoleOptions,
    Table,
    Unit,
)

Value = str | bool | int | list[str]
Flag = Literal["y", "n", "-"]


class ServiceOptions(RoleOptions):
    """One master.cf service; columns as in master(5), `-` is Postfix's default."""

    command: str
    """The program, with arguments that are not `-o` options."""

    private: Flag = "-"
    """Whether access is restricted to the mail system."""

    unpriv: Flag = "-"
    """Whether the service runs without root privileges."""

    chroot: Flag | None = None
    """Whether it runs chrooted. Not set: as the host runs its `smtp inet` service."""

    wakeup: str = "-"
    """Seconds between wake-ups, `?` after them to wake only if used."""

    maxproc: str = "-"
    """The largest number of processes."""

    options: dict[str, Value] = {}
    """main.cf parameters for this service alone (`-o name=value`)."""


class TableOptions(RoleOptions):
    """One lookup table, owned whole: either `entries` or `text`."""

    type: str = "indexed"
    """`indexed` becomes what the host supports and prefers; or any type `postconf -m` lists."""

    entries: dict[str, str] = {}
    """Key and value, for indexed tables."""

    text: str | None = None
    """The whole source, for pattern tables (regexp, pcre, cidr)."""


class Options(RoleOptions):
    """The mail system's own settings; everything not named here is left as it is."""

    packages: list[str] = ["postfix"]
    """Packages that must be installed, before anything else is done."""

    parameters: dict[str, Value] = {}
    """main.cf parameters. A list is written one item a line; `''` sets a parameter to
    empty; `indexed:/path` names a table by whatever type the host prefers."""

    absent: list[str] = []
    """main.cf parameters that must not be set."""

    services: dict[str, ServiceOptions] = {}
    """master.cf services, by `name/type` (`smtp/inet`)."""

    absent_services: list[str] = []
    """master.cf services that must not be there, by `name/type`."""

    tables: dict[str, TableOptions] = {}
    """Lookup tables, by path."""

    running: bool = Field(default=True)
    """Whether Postfix runs, now and after a reboot."""


def text(value: Value) -> str:
    """A YAML value as Postfix writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value)
    return str(value)


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    for index, package in enumerate(options.packages):
        yield Package(host.origin("packages", index), package)
    yield from _parameters(options, host)
    for key, service in options.services.items():
        name, kind = _key(key, host, "services")
        yield MasterService(host.origin("services", key), name, kind, _service(name, kind, service))
    for index, key in enumerate(options.absent_services):
        name, kind = _key(key, host, "absent_services", index)
        yield MasterService(host.origin("absent_services", index), name, kind, None)
    for path, table in options.tables.items():
        if table.text is not None and table.entries:
            raise host.error(f"table {path} has both entries and text", "tables", path)
        yield Table(
            host.origin("tables", path),
            path,
            table.type,
            tuple(Entry(*each) for each in table.entries.items()),
            table.text,
        )
    yield Unit(host.origin("running"), "postfix", options.running, options.running)


def _parameters(options: Options, host: HostContext) -> Iterator[Parameter]:
    mail = host.mail
    if mail.hostname:
        yield Parameter(host.mail_origin("hostname"), "myhostname", mail.hostname)
    if mail.domains:
        domains = ", ".join(["$myhostname", "localhost", *mail.domains])
        yield Parameter(host.mail_origin("domains"), "mydestination", domains, fold=True)
    if mail.networks:
        networks = ", ".join(mail.networks)
        yield Parameter(host.mail_origin("networks"), "mynetworks", networks, fold=True)
    for name, value in options.parameters.items():
        if name in options.absent:
            raise host.error(f"{name} is both set and absent", "parameters", name)
        origin = host.origin("parameters", name)
        yield Parameter(origin, name, text(value), fold=isinstance(value, list))
    for index, name in enumerate(options.absent):
        yield Parameter(host.origin("absent", index), name, None)


def _service(name: str, kind: str, wanted: ServiceOptions) -> Service:
    command, *arguments = wanted.command.split() or [""]
    return Service(
        name,
        kind,
        private=wanted.private,
        unpriv=wanted.unpriv,
        chroot=wanted.chroot or HOST_CHROOT,
        wakeup=wanted.wakeup,
        maxproc=wanted.maxproc,
        command=command,
        options=tuple((option, text(value)) for option, value in wanted.options.items()),
        arguments=tuple(arguments),
    )


def _key(key: str, host: HostContext, *path: str | int) -> tuple[str, str]:
    name, slash, kind = key.rpartition("/")
    if not slash or not name or not kind:
        raise host.error(
            f"{key!r} does not name a service", *path, help="write name/type, as in smtp/inet"
        )
    return name, kind
