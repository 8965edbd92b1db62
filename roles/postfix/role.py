"""Postfix itself: packages, main.cf parameters, master.cf services, tables, the service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, SecretStr

from provisioner.postfix.master_cf import Service
from provisioner.postfix.parameternames import meant
from provisioner.postfix.tables import PACKAGED
from provisioner.roles import (
    HOST_CHROOT,
    RELAY,
    Activation,
    Attributes,
    CompatibilityLevel,
    Contribution,
    Entry,
    File,
    FileState,
    HostContext,
    MasterService,
    Package,
    Parameter,
    Requirement,
    RoleOptions,
    StrictMainCf,
    Table,
    Unit,
    word_list,
)

Value = str | bool | int | list[str]
Flag = Literal["y", "n", "-"]
#: What every host is a destination for, besides its domains.
_ITSELF = ("$myhostname", "localhost")


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
    """One lookup table, owned whole: one of `entries`, `text` and `file`."""

    type: str = "indexed"
    """`indexed` becomes what the host supports and prefers; or any type `postconf -m` lists."""

    entries: dict[str, str] = {}
    """Key and value, for indexed tables."""

    text: str | None = None
    """The whole source, for pattern tables (regexp, pcre, cidr)."""

    file: str | None = None
    """The whole source, from a file beside the site file."""

    owner: str | None = None
    """Owner; not set: as it is, root for a new one."""

    group: str | None = None
    """Group; not set: as it is, root for a new one."""

    mode: str | None = Field(default=None, pattern="^0?[0-7]{3}$")
    """Permissions in octal (`0640`), of the compiled table too; not set: as it is, 0644."""

    secret: bool = False
    """Never show the content; a new table is 0600 unless `mode` says otherwise."""


class RelayOptions(RoleOptions):
    """Domains that are accepted here and delivered elsewhere (`relay_domains`)."""

    domains: list[str] = []
    """The domains."""

    to: str | None = Field(default=None, min_length=1)
    """Where their mail goes: `smtp:[192.0.2.25]`; in brackets, so that no MX is looked up."""

    transport: dict[str, str] = {}
    """The same by domain (`transport_maps`): `{example.com: "smtp:[192.0.2.1]"}`. A leading
    dot (`.example.com`) means the domains below."""

    recipients: list[str] | None = None
    """The addresses that exist there (`relay_recipient_maps`); `@example.com` is all of a
    domain. Without them this host accepts what the next one refuses, and bounces it to
    forged senders."""

    recipients_file: str | None = None
    """The same from a file beside the site file, one address a line."""


class RelayhostOptions(RoleOptions):
    """The server that all outgoing mail goes through (`relayhost`)."""

    host: str
    """Name or address; it is written in brackets, so that no MX is looked up."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """The port; not set: 25. 587 with a password, usually. Port 465 takes TLS from the
    first byte (`smtp_tls_wrappermode`)."""

    user: str | None = None
    """The login name, if it wants one."""

    password: SecretStr | None = None
    """The password. It is never shown, and stands in a table that root alone can read. The
    host needs the SASL mechanisms (Debian: add libsasl2-modules to `packages`)."""

    tls: Literal["may", "encrypt", "secure"] | None = None
    """How much TLS is asked for (`smtp_tls_security_level`). Not set: as it is, and `encrypt`
    where there is a password."""


class Certificate(RoleOptions):
    """The certificate that clients of this server see."""

    certificate: str = "/etc/postfix/tls/certificate.pem"
    """The chain's file on the host, the server's own certificate first."""

    key: str = "/etc/postfix/tls/key.pem"
    """The private key's file on the host."""

    certificate_file: str | None = None
    """A file beside the site file to be put there. Not set: somebody else does (certbot);
    when it changed on disk, the plan has a reload."""

    key_file: str | None = None
    """A file beside the site file with the private key, to be put there (0600)."""

    key_text: SecretStr | None = None
    """The private key itself, to be put there (0600)."""


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

    map_types: list[str] = []
    """Further table types whose packages are to be there: `[ldap]` installs postfix-ldap. Those
    of declared tables (pcre, lmdb, cdb) come by themselves."""

    directory: str = "/etc/postfix/maps"
    """Where the tables of `relay` and `relayhost` live."""

    compatibility_level: str | None = None
    """Which defaults Postfix uses; always written out, as a missing one means those of
    before 3.0. Not set: what the host has, else `3.6` (or `2` before Postfix 3.6)."""

    strict: bool = False
    """Whether main.cf parameters that nobody declares are drift, and removed. Look at the
    first plan: the distribution's own settings go as well."""

    strict_keep: list[str] = []
    """Parameters that `strict` leaves alone."""

    relay: RelayOptions | None = None
    """Mail that goes on to other servers, and which recipients those have."""

    relayhost: RelayhostOptions | None = None
    """Where outgoing mail goes, instead of to the recipients' own servers."""

    aliases: dict[str, str | list[str]] | None = None
    """Local names and where their mail goes, aliases(5); the file is owned whole and compiled
    (as newaliases does). `postmaster` goes to root unless you say otherwise. Not set: left
    alone."""

    aliases_file: str = "/etc/aliases"
    """Where the aliases live (Alpine: /etc/postfix/aliases)."""

    tls: Certificate | None = None
    """The server's certificate (`smtpd_tls_cert_file`, `smtpd_tls_key_file`)."""

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
    declared = [t.type for t in options.tables.values() if t.type in PACKAGED]
    for type_ in dict.fromkeys([*options.map_types, *declared]):
        yield Package(host.origin("map_types"), f"postfix-{type_}", type_)
    yield from _safety(options, host)
    yield from _parameters(options, host)
    for key, service in options.services.items():
        name, kind = _key(key, host, "services")
        yield MasterService(host.origin("services", key), name, kind, _service(name, kind, service))
    for index, key in enumerate(options.absent_services):
        name, kind = _key(key, host, "absent_services", index)
        yield MasterService(host.origin("absent_services", index), name, kind, None)
    for path, table in options.tables.items():
        yield _table(path, table, host)
    if options.relay or (options.relayhost and options.relayhost.password):
        open_ = Attributes("root", "root", 0o755)
        yield File(host.origin("directory"), options.directory, FileState.DIRECTORY, b"", open_)
    if options.relay:
        yield from _relay(options.relay, options.directory, host)
    if options.relayhost:
        yield from _relayhost(options.relayhost, options.directory, host)
    if options.aliases is not None:
        yield from _aliases(options.aliases, options.aliases_file, host)
    if options.tls:
        yield from _certificate(options.tls, host)
    if options.strict:
        yield StrictMainCf(host.origin("strict"), frozenset(options.strict_keep))
    yield Unit(host.origin("running"), "postfix", options.running, options.running)


def _safety(options: Options, host: HostContext) -> Iterator[Parameter]:
    """Both missing from main.cf make an open relay possible (SMTPD_ACCESS_README,
    COMPATIBILITY_README); other roles say the relay list better."""
    if "compatibility_level" not in options.parameters:
        level = options.compatibility_level
        origin = host.origin("compatibility_level")
        if level is None:
            yield CompatibilityLevel(origin, "compatibility_level", "2", fallback=True)
        else:
            yield Parameter(origin, "compatibility_level", level)
    guard = "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination"
    yield Parameter(host.origin(), RELAY, guard, fold=True, fallback=True)


def _table(path: str, given: TableOptions, host: HostContext) -> Table:
    sources = [s for s in (given.entries or None, given.text, given.file) if s is not None]
    if len(sources) > 1:
        raise host.error(f"table {path}: give one of entries, text and file", "tables", path)
    text = given.text
    if given.file is not None:
        text = host.file(given.file, "tables", path, "file").decode("utf-8", "surrogateescape")
    mode = int(given.mode, 8) if given.mode else (0o600 if given.secret else None)
    return Table(
        host.origin("tables", path),
        path,
        given.type,
        tuple(Entry(*each) for each in given.entries.items()),
        text,
        Attributes(given.owner, given.group, mode),
        given.secret,
    )


def _relay(relay: RelayOptions, directory: str, host: HostContext) -> Iterator[Contribution]:
    if relay.domains:
        origin = host.origin("relay", "domains")
        yield Parameter(origin, "relay_domains", word_list(relay.domains), fold=True)
    everywhere = dict.fromkeys(relay.domains, relay.to) if relay.to else {}
    if transport := {**everywhere, **relay.transport}:
        origin = host.origin("relay", "transport" if relay.transport else "to")
        path = f"{directory}/transport"
        entries = tuple(Entry(*each) for each in transport.items())
        yield Table(origin, path, "indexed", entries)
        yield Parameter(origin, "transport_maps", f"indexed:{path}")
    recipients = _recipients(relay, host)
    if recipients is not None:
        origin = host.origin("relay", "recipients")
        path = f"{directory}/relay_recipients"
        yield Table(origin, path, "indexed", tuple(Entry(each, "OK") for each in recipients))
        yield Parameter(origin, "relay_recipient_maps", f"indexed:{path}")
    elif relay.domains:
        host.warn(
            "mail for unknown recipients of the relay domains is accepted and bounced later",
            "relay",
            "domains",
            help="list them under relay.recipients, or enforce "
            "smtpd_restrictions.checks.reject_unverified_recipient",
        )


def _recipients(relay: RelayOptions, host: HostContext) -> list[str] | None:
    if relay.recipients is not None and relay.recipients_file is not None:
        raise host.error("give recipients or recipients_file, not both", "relay")
    if relay.recipients_file is None:
        return relay.recipients
    raw = host.file(relay.recipients_file, "relay", "recipients_file")
    lines = (line.strip() for line in raw.decode("utf-8", "replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _relayhost(
    relayhost: RelayhostOptions, directory: str, host: HostContext
) -> Iterator[Contribution]:
    origin = host.origin("relayhost")
    port = f":{relayhost.port}" if relayhost.port else ""
    name = re.fullmatch(r"\[([A-Za-z0-9_.:-]+)\]|([A-Za-z0-9_.:-]+)", relayhost.host)
    if name is None:
        raise host.error(f"{relayhost.host!r} is no name or address", "relayhost", "host")
    where = f"[{name[1] or name[2]}]{port}"
    yield Parameter(origin, "relayhost", where)
    if (relayhost.user is None) is not (relayhost.password is None):
        raise host.error("user and password belong together", "relayhost")
    if level := relayhost.tls or ("encrypt" if relayhost.user else None):
        yield Parameter(origin, "smtp_tls_security_level", level)
    if relayhost.port == 465:
        yield Parameter(origin, "smtp_tls_wrappermode", "yes")
    if relayhost.user is None or relayhost.password is None:
        return
    if ":" in relayhost.user:
        raise host.error("a colon ends the user's name", "relayhost", "user")
    path = f"{directory}/relay_credentials"
    yield Table(
        origin,
        path,
        "indexed",
        (Entry(where, f"{relayhost.user}:{relayhost.password.get_secret_value()}"),),
        # smtp(8) opens it before it gives up root's rights.
        attributes=Attributes("root", "root", 0o600),
        secret=True,
    )
    yield Parameter(origin, "smtp_sasl_auth_enable", "yes")
    yield Parameter(origin, "smtp_sasl_password_maps", f"indexed:{path}")
    yield Parameter(origin, "smtp_sasl_security_options", "noanonymous")


def _aliases(
    aliases: dict[str, str | list[str]], path: str, host: HostContext
) -> Iterator[Contribution]:
    origin = host.origin("aliases")
    names = {name.lower() for name in aliases}
    # RFC 5321 4.5.1: there is always somebody behind postmaster.
    wanted = aliases if "postmaster" in names else {"postmaster": "root", **aliases}
    entries = tuple(
        Entry(name, ", ".join(to) if isinstance(to, list) else to) for name, to in wanted.items()
    )
    yield Table(origin, path, "indexed", entries, alias=True)
    for parameter in ("alias_maps", "alias_database"):
        yield Parameter(origin, parameter, f"indexed:{path}")


def _certificate(tls: Certificate, host: HostContext) -> Iterator[Contribution]:
    if tls.key_file is not None and tls.key_text is not None:
        raise host.error("give key_file or key_text, not both", "tls")
    content: dict[str, bytes | None] = {"certificate": None, "key": None}
    if tls.certificate_file is not None:
        content["certificate"] = host.file(tls.certificate_file, "tls", "certificate_file")
    if tls.key_file is not None:
        content["key"] = host.file(tls.key_file, "tls", "key_file")
    if tls.key_text is not None:
        content["key"] = tls.key_text.get_secret_value().encode()
    parameters = {"certificate": "smtpd_tls_cert_file", "key": "smtpd_tls_key_file"}
    for option, parameter in parameters.items():
        origin = host.origin("tls", option)
        path: str = getattr(tls, option)
        data = content[option]
        yield Parameter(origin, parameter, path)
        if data is None:
            why = f"{parameter} names it; without it TLS is offered and then fails"
            yield Requirement(origin, path, why, watch=True)
            continue
        secret = option == "key"
        yield File(origin, path.rpartition("/")[0], FileState.DIRECTORY)
        attributes = Attributes("root", "root", 0o600 if secret else 0o644)
        reload = Activation.RELOAD
        yield File(origin, path, FileState.FILE, data, attributes, secret, reload)


def _parameters(options: Options, host: HostContext) -> Iterator[Parameter]:
    mail = host.mail
    for option, parameter, words in (
        ("hostname", "myhostname", [] if mail.hostname is None else [mail.hostname]),
        ("domains", "mydestination", mail.domains and [*_ITSELF, *mail.domains]),
        ("networks", "mynetworks", mail.networks),
    ):
        if words:
            origin = host.mail_origin(option)
            yield Parameter(origin, parameter, word_list(words), fold=option != "hostname")
    for name, value in options.parameters.items():
        if name in options.absent:
            raise host.error(f"{name} is both set and absent", "parameters", name)
        if near := meant(name, map(text, options.parameters.values())):
            host.warn(f"Postfix has no {name}", "parameters", name, help=f"did you mean {near}?")
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
        advice = "write name/type, as in smtp/inet"
        raise host.error(f"{key!r} does not name a service", *path, help=advice)
    return name, kind
