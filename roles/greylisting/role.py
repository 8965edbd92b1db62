"""Greylisting: strangers have to try again; with postgrey, fail-open, lists kept fresh."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from provisioner.postfix.tables import HEADER
from provisioner.roles import (
    RECIPIENT,
    Attributes,
    Contribution,
    ControlUnit,
    Conversation,
    Expectation,
    File,
    HostContext,
    Mode,
    Package,
    PolicyTest,
    RestrictionEntry,
    RoleOptions,
    Said,
    Stage,
    Unit,
    one_line,
)


class Refresh(RoleOptions):
    """A job of cron's on each host that fetches the list of clients that never come back."""

    url: str = Field(
        default="https://postgrey.schweikert.ch/pub/postgrey_whitelist_clients",
        pattern=r"^https?://[^\s'\"\\]+$",
    )
    """Where the list is. Its operator asks for at most one fetch a day."""

    every: Literal["week", "month"] = "week"
    """`/etc/cron.weekly` or `/etc/cron.monthly`."""

    min_lines: int = Field(default=200, ge=1)
    """A download with fewer lines is refused."""

    anchors: list[str] = ["vger.kernel.org"]
    """Texts that any true list has; a download without one of them is refused."""


class Options(RoleOptions):
    """A client that is not known yet is told to come back (450) and let in when it does. The
    first mail of each new sender is late by minutes, sometimes by hours."""

    mode: Mode = Mode.ENFORCE
    """`trial` logs who would be told to wait."""

    before_dnsbl: bool = False
    """Ask before the DNS lists. It saves nothing: a greylisted client is asked about there all
    the same, and the database fills with clients that the lists refuse."""

    delay: int = Field(default=300, ge=1)
    """Seconds before a second try is let in."""

    max_age: int = Field(default=35, ge=1)
    """Days after which a client that has not come back is forgotten."""

    auto_whitelist: int = Field(default=5, ge=0)
    """After so many successful deliveries a client is not greylisted any more; 0: never."""

    text: str | None = None
    """What clients are told; `%s` are the seconds to wait. Not set: as the package has it."""

    endpoint: str = "inet:127.0.0.1:10023"
    """Where postgrey listens and Postfix asks: `inet:ADDRESS:PORT`, or `unix:PATH` with a path
    relative to the queue directory, which a chrooted smtpd can reach too."""

    timeout: int = Field(default=10, ge=1, le=100)
    """Seconds that Postfix waits for postgrey; then the mail is let in."""

    package: str = "postgrey"
    """The package."""

    unit: str = "postgrey"
    """The service."""

    directory: str = "/etc/postgrey"
    """Where the lists are (Debian). Fedora: /etc/postfix, with `prefix: postgrey_`."""

    prefix: str = ""
    """What the names of the lists begin with."""

    defaults_file: str = "/etc/default/postgrey"
    """The file that holds postgrey's options (Fedora: /etc/sysconfig/postgrey)."""

    whitelist_clients: list[str] | None = None
    """Clients that are not greylisted, in a list of your own (`whitelist_clients.local`): host
    names with the names below them, addresses, /patterns/. Not set: left alone."""

    whitelist_recipients: list[str] | None = None
    """Recipients whose mail is not greylisted (`whitelist_recipients.local`): addresses,
    domains, `name@`. Not set: left alone."""

    refresh: Refresh | None = None
    """Fetch the distributed list on each host. Hosts with no way out use `clients_file`."""

    clients_file: str | None = None
    """The distributed list from a file beside the site file, put on all hosts: fetched once,
    on the control machine, and under version control."""


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    if options.mode is Mode.DISABLED:
        return
    if options.refresh and options.clients_file is not None:
        raise host.error("give refresh or clients_file, not both", "clients_file")
    yield Package(host.origin("package"), options.package)
    yield from _settings(options, host)
    yield from _lists(options, host)
    if options.refresh:
        yield _job(options, options.refresh, host)
    yield Unit(host.origin("unit"), options.unit, running=True, enabled=True)
    yield RestrictionEntry(
        host.origin("endpoint"),
        Stage.DNS if options.before_dnsbl else Stage.POLICY,
        (RECIPIENT,),
        # Without default_action a postgrey that is down refuses all mail (451).
        f"check_policy_service {{ {options.endpoint}, timeout={options.timeout}s, "
        "default_action=DUNNO }",
        options.mode,
    )


def _settings(options: Options, host: HostContext) -> Iterator[Contribution]:
    kind, _, address = options.endpoint.partition(":")
    if kind == "inet" and re.fullmatch(r"[A-Za-z0-9_.:\[\]-]+:[0-9]+", address):
        listen = f"--inet={address}"
    elif kind == "unix" and re.fullmatch(r"[A-Za-z0-9_.-][A-Za-z0-9_./-]*", address):
        listen = f"--unix=/var/spool/postfix/{address}"
    elif kind == "unix" and address.startswith("/"):
        raise host.error(
            f"a chrooted smtpd does not find {options.endpoint}",
            "endpoint",
            help="give the path relative to the queue directory: unix:postgrey/socket",
        )
    else:
        raise host.error(
            f"{options.endpoint} is no endpoint", "endpoint", help="write inet:127.0.0.1:10023"
        )
    words = [
        listen,
        f"--delay={options.delay}",
        f"--max-age={options.max_age}",
        f"--auto-whitelist-clients={options.auto_whitelist}",
    ]
    content = f'{HEADER}\nPOSTGREY_OPTS="{" ".join(words)}"\n'
    if options.text is not None:
        host.origin("text")
        if set('"\\$`') & set(one_line(options.text)):
            raise host.error("quotes, \\, $ and ` cannot stand here", "text")
        content += f'POSTGREY_TEXT="{options.text}"\n'
    yield File(
        host.origin("delay"),
        options.defaults_file,
        content=content.encode(),
        attributes=Attributes("root", "root", 0o644),
        notify=(ControlUnit(options.unit, "restart"),),
    )


def _lists(options: Options, host: HostContext) -> Iterator[Contribution]:
    """Our own lists; and the distributed one, where it comes from here."""
    for option, entries in (
        ("whitelist_clients", options.whitelist_clients),
        ("whitelist_recipients", options.whitelist_recipients),
    ):
        if entries is None:
            continue
        for index, entry in enumerate(entries):
            _check_line(entry, host, option, index)
        lines = "".join(f"{entry}\n" for entry in entries)
        yield _list(options, option, f"{option}.local", f"{HEADER}\n{lines}", host)
    if options.clients_file is not None:
        text = host.file(options.clients_file, "clients_file").decode("utf-8", "replace")
        _check_distributed(text, host)
        yield _list(options, "clients_file", "whitelist_clients", text, host)


def _list(options: Options, option: str, name: str, text: str, host: HostContext) -> File:
    return File(
        host.origin(option),
        f"{options.directory}/{options.prefix}{name}",
        content=text.encode(),
        attributes=Attributes("root", "root", 0o644),
        notify=(ControlUnit(options.unit, "restart"),),
    )


def _check_line(entry: str, host: HostContext, *path: str | int) -> None:
    """A bad pattern would end postgrey; a blank in an entry makes it match nothing."""
    if re.fullmatch(r"/.+/", entry) and entry.isprintable():
        try:
            re.compile(entry[1:-1])
        except re.error as error:
            raise host.error(f"{entry} is no pattern: {error}", *path) from error
    elif not re.fullmatch(r"[A-Za-z0-9_.:@+=-]+(/[0-9]+)?", entry):
        raise host.error(
            f"{entry!r} is no entry", *path, help="a name, an address, a network or /pattern/"
        )


def _check_distributed(text: str, host: HostContext) -> None:
    """What the job on the host would check."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    entries = [line for line in lines if line]
    if not entries or re.search(r"<[!/a-z]", text, re.I):
        raise host.error("the file is no list of clients", "clients_file")
    for entry in entries:
        _check_line(entry, host, "clients_file")


def _job(options: Options, refresh: Refresh, host: HostContext) -> File:
    name = "postgrey-whitelist"
    for index, anchor in enumerate(refresh.anchors):
        host.origin("refresh", "anchors", index)
        one_line(anchor)
    return File(
        host.origin("refresh"),
        # run-parts ignores names with dots.
        f"/etc/cron.{refresh.every}ly/{name}",
        content=job(
            host,
            url=refresh.url,
            path=f"{options.directory}/{options.prefix}whitelist_clients",
            min_lines=refresh.min_lines,
            anchors=refresh.anchors,
            name=name,
            notify=_hang_up(options.unit),
        ),
        attributes=Attributes("root", "root", 0o755),
    )


def job(
    host: HostContext,
    *,
    url: str,
    path: str,
    min_lines: int,
    anchors: Sequence[str],
    name: str,
    notify: str,
) -> bytes:
    """The job's script; `notify` are the commands that tell postgrey."""
    return host.template(
        "refresh.sh.j2",
        url=shlex.quote(url),
        path=shlex.quote(path),
        min_lines=min_lines,
        anchors=[shlex.quote(each) for each in anchors],
        tool=shlex.quote(name),
        notify=notify,
    )


def _hang_up(unit: str) -> str:
    """postgrey reads its lists again at a hang-up; its unit has no word for that. One that
    does not run is left alone."""
    return f"""\
if [ -d /run/systemd/system ]; then
  ! systemctl -q is-active {unit} || systemctl kill -s HUP {unit}
else
  pid=$(cat /run/{unit}.pid /run/{unit}/{unit}.pid 2>/dev/null | head -n 1)
  [ -z "$pid" ] || kill -HUP "$pid"
fi"""


def tests(options: Options, host: HostContext) -> Iterator[PolicyTest]:
    if options.mode is not Mode.DISABLED:
        yield PolicyTest(
            "strangers are greylisted",
            # The empty sender: no check asks DNS about it.
            Conversation(sender="", until=Said.RCPT),
            Expectation(asks=("check_policy_service",)),
            host.origin("endpoint"),
        )
