"""Inventory, site and roles in, desired state out. Pure but for importing the roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from provisioner.diagnostics import Diagnostic, nearest
from provisioner.errors import InputError
from provisioner.inventory import Host
from provisioner.inventory.readfile import read_regular
from provisioner.inventory.reading import Reader
from provisioner.inventory.site import RoleRef
from provisioner.marks import Map, Mark, find_mark
from provisioner.planning.planner import Desired
from provisioner.policy.conversation import PolicyTest
from provisioner.policy.strangers import surroundings
from provisioner.resources.base import Resource
from provisioner.resources.parameter import Parameter
from provisioner.resources.requirement import Requirement
from provisioner.resources.restriction import ComposeError, Contribution, compose, unguarded
from provisioner.resources.strict import StrictMainCf
from provisioner.roles.hiding import hide, hide_texts
from provisioner.roles.interface import HostContext, MailFacts, RoleOptions
from provisioner.roles.loading import Role, RoleLibrary, line_of
from provisioner.roles.options import Model
from provisioner.roles.policy import VARIABLE, PolicyBook, joined
from provisioner.roles.sharing import Given, Shared, WatchedHost
from provisioner.secrets import collecting

#: A variable that, where it is set, holds all options of all roles (and `mail`), so that
#: an inventory that already uses a role's name for something else can stay as it is.
UMBRELLA = "provisioner"

#: Options that nobody set: one object, so that hosts without them share the work.
_NOTHING = Map()


#: How many different findings about one place are told one by one.
_AT_ONE_PLACE = 3


@dataclass
class Findings:
    """What is wrong with the options of some hosts: each thing once, with the hosts."""

    hosts: dict[Diagnostic, list[str]] = field(default_factory=dict)

    def add(self, host: str, found: Iterable[Diagnostic]) -> None:
        for each in found:
            self.hosts.setdefault(each, []).append(host)

    def raise_if_any(self) -> None:
        """Raises one `InputError` with all of them."""
        if not self.hosts:
            return
        raise InputError.of(self._told())

    def _told(self) -> Iterator[Diagnostic]:
        """By place. A template may go wrong in each host's own words: some of them do."""
        by_place = sorted(self.hosts.items(), key=lambda item: _place(item[0]))
        for mark, group in groupby(by_place, key=lambda item: item[0].mark):
            found = list(group)
            several = mark is not None and len(found) > _AT_ONE_PLACE
            for each, hosts in found[:_AT_ONE_PLACE] if several else found:
                yield Diagnostic(_with_hosts(each.message, hosts), each.mark, each.help)
            if several:
                others = [host for _, hosts in found[_AT_ONE_PLACE:] for host in hosts]
                yield Diagnostic(
                    _with_hosts(
                        "the same is wrong here in other words", list(dict.fromkeys(others))
                    ),
                    mark,
                    "mend what is told above, then look again",
                )


def _place(found: Diagnostic) -> tuple[str, int, int]:
    return (found.mark.file, found.mark.line, found.mark.column) if found.mark else ("", 0, 0)


def _with_hosts(message: str, hosts: Sequence[str]) -> str:
    if len(hosts) == 1:
        return f"{message} [{hosts[0]}]"
    return f"{message} [{len(hosts)} hosts: {', '.join(hosts[:3])}{', …' if hosts[3:] else ''}]"


def desired_states(
    hosts: Sequence[Host],
    assigned: Mapping[str, Sequence[RoleRef]],
    library: RoleLibrary,
    identity: Mapping[str, str],
    *,
    today: date = date.min,
    folder: Path = Path(),
    reader: Reader | None = None,
) -> dict[str, Desired]:
    """What each host is to be, by name; `assigned` are the roles of each.

    `today` decides what has expired; `folder` is what files are named relative to.
    `reader` renders templates and opens secrets; without one, values are taken as written.
    Raises `InputError` with everything that is wrong.
    """
    findings = Findings()
    about = _Surroundings(today, folder, PolicyBook(UMBRELLA, reader), reader)
    states: dict[str, Desired] = {}
    for host in hosts:
        try:
            with collecting() as secrets:
                found = _found(host, assigned[host.name], library, about)
        except InputError as error:
            findings.add(host.name, hide_texts(error.diagnostics(), secrets))
            continue
        shown = tuple(hide(found.resources, secrets)) if secrets else found.resources
        said = tuple(hide_texts(found.warnings, secrets))
        states[host.name] = Desired(host.name, shown, identity, said, found.tests)
    findings.raise_if_any()
    return states


#: Largest file beside the site file that a role may read, in bytes: some millions of entries.
MAX_SOURCE_BYTES = 256 << 20


@dataclass(frozen=True)
class _Surroundings:
    """What is the same for all hosts. Files are read once, whoever asks for them."""

    today: date
    folder: Path
    policy: PolicyBook
    reader: Reader | None = None
    shared: Shared = field(default_factory=Shared)
    _files: dict[str, bytes] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        if name not in self._files:
            self._files[name] = read_regular(self.folder / name, MAX_SOURCE_BYTES)
        return self._files[name]


@dataclass
class _Found:
    """What one host's roles and variables say."""

    resources: tuple[Resource, ...] = ()
    warnings: list[Diagnostic] = field(default_factory=list)
    tests: tuple[PolicyTest, ...] = ()


def _found(
    host: Host, roles: Sequence[RoleRef], library: RoleLibrary, about: _Surroundings
) -> _Found:
    wrong = list(_strangers(host, library))
    read = _options_of(host, about.reader)
    mail_source, mail = _validated(MailFacts, "mail", read, about, wrong)
    parts: list[Given] = []
    found = _Found()
    for reference in roles:
        role = library.load(reference.name, reference.mark)
        source, options = _validated(role.options, role.name, read, about, wrong)
        if options is None or mail is None:
            continue
        given = about.shared.known(role, source, mail_source)
        if given is None:
            context = WatchedHost(
                name=host.name,
                groups=tuple(host.groups),
                variables=about.reader.variables(host) if about.reader else host.vars,
                mail=mail,
                role=role.name,
                source=source,
                folder=role.folder,
                mail_source=mail_source,
                today=about.today,
                read=about.read,
            )
            given = _asked(role, options, context, wrong)
            if given is None:
                continue
            about.shared.keep(role, source, mail_source, given)
        found.warnings += given.warnings
        parts.append(given)
    try:
        written = about.policy.written(host)
    except InputError as error:
        wrong += error.diagnostics()
    if wrong or mail is None:
        raise InputError.of(wrong)
    found.resources = about.shared.composed(parts, lambda given: _unique(_composed(given)))
    around = surroundings(mail.hostname or host.name, found.resources, mail.domains, mail.networks)
    found.tests, wrong = joined(
        (test for part in parts for test in about.shared.placed(part, around)), written, around
    )
    if wrong:
        raise InputError.of(wrong)
    return found


def _words(error: ValueError) -> str:
    """What a resource refuses, in words."""
    if isinstance(error, UnicodeEncodeError):
        character = ord(error.object[error.start])
        return f"half of a surrogate pair (U+{character:04X}) is no text that a file can hold"
    return str(error)


def _asked(
    role: Role, options: RoleOptions, host: WatchedHost, wrong: list[Diagnostic]
) -> Given | None:
    """What the role gives to this host; what is wrong goes to `wrong`."""
    try:
        contributions = _given(role, "resources", Contribution, options, host)
        tests = _given(role, "tests", PolicyTest, options, host) if role.tests else []
    except ValueError as error:
        # What a resource refuses to hold was read from the option last asked for.
        place = host.last_origin.mark or find_mark(host.source, ())
        wrong.append(Diagnostic(f"{role.name}: {_words(error)}", place))
    except InputError as error:
        wrong += error.diagnostics()
    except Exception as error:  # noqa: BLE001 - a user's module may raise anything
        mark = Mark(role.file, line_of(error, role.file))
        message = f"role {role.name}: {type(error).__name__}: {error}"
        wrong.append(Diagnostic(message, mark))
    else:
        return Given(tuple(contributions), tuple(tests), tuple(host.warnings), not host.looked_at)
    return None


def _given(
    role: Role, function: str, kind: Any, options: RoleOptions, host: HostContext
) -> list[Any]:
    """What a function of the role gives. Raises `InputError` for what is not of that kind."""
    found: Any = getattr(role, function)(options, host)
    what = {"resources": "resource", "tests": "policy test"}[function]
    if found is None:
        raise InputError(
            f"role {role.name}: {function}() gives nothing",
            mark=Mark(role.file),
            help=f"yield {what}s, or return a list of them",
        )
    given = list(found)
    for each in given:
        if not isinstance(each, kind):
            raise InputError(
                f"role {role.name}: {repr(each)[:80]} is no {what}", mark=Mark(role.file)
            )
    return given


def _strangers(host: Host, library: RoleLibrary) -> Iterator[Diagnostic]:
    """Names under the umbrella that are no roles: what stands there would have no effect."""
    if UMBRELLA not in host.vars:
        return
    umbrella = host.merged(UMBRELLA)
    known = [*library.names(), "mail", VARIABLE]
    for name in umbrella:
        if name not in known:
            near = nearest(str(name), known)
            yield Diagnostic(
                f"{UMBRELLA}.{name}: there is no such role",
                find_mark(umbrella, (name,), key=True),
                f"did you mean {near}?" if near else f"the roles are {', '.join(known[:-2])}",
            )


def _validated(
    model: type[Model],
    name: str,
    read: Callable[[str], Map],
    about: _Surroundings,
    wrong: list[Diagnostic],
) -> tuple[Any, Model | None]:
    """The options under `name` as written, and validated; what is wrong goes to `wrong`."""
    try:
        source = read(name)
    except InputError as error:
        wrong += error.diagnostics()
        return None, None
    options, found = about.shared.validated(model, source, name)
    wrong += found
    return source, options


def _options_of(host: Host, reader: Reader | None) -> Callable[[str], Map]:
    """How to find the options of a role, by its name, among the host's variables."""
    if UMBRELLA in host.vars:
        if reader:
            return partial(reader.options_inside, host, UMBRELLA)
        umbrella = host.merged(UMBRELLA)
        return lambda name: umbrella.get(name, _NOTHING)
    return partial(reader.options, host) if reader else host.merged


def _composed(given: Iterable[Contribution]) -> list[Resource]:
    contributions = list(given)
    try:
        composed = compose(contributions)
    except ComposeError as error:
        raise InputError(
            str(error),
            mark=error.given.mark,
            help="give the whole list verbatim, or let the roles compose it, not both",
        ) from error
    entry = unguarded(contributions, composed)
    if entry is not None:
        raise InputError(
            f"{entry.origin.role} contributes {entry.text!r} to restriction lists that nobody "
            "put a relay guard into",
            mark=entry.origin.mark,
            help="give the host the role smtpd_restrictions, which refuses relaying and orders "
            "the lists; or set smtpd_relay_restrictions yourself",
        )
    return composed


def _unique(resources: Iterable[Resource]) -> list[Resource]:
    """One resource an address; the same desire twice is fine, two desires are an error.

    A fallback gives way to any other desire, a requirement to whoever provides its path.
    """
    given = list(resources)
    desired = {r.address for r in given if not _is_fallback(r)}
    provided = {path for r in given for path in r.provides}
    chosen: dict[str, Resource] = {}
    for each in given:
        if _is_fallback(each) and each.address in desired:
            continue
        if isinstance(each, Requirement) and each.path in provided:
            continue
        other = chosen.setdefault(each.address, each)
        if other is not each and other.identity() != each.identity():
            raise InputError(
                f"{each.address} is wanted in two ways: by role {other.origin.role} "
                f"({other.origin}) and by role {each.origin.role} ({each.origin})",
                mark=each.origin.mark or other.origin.mark,
                help="take one of them out",
            )
    declared = frozenset(r.name for r in chosen.values() if isinstance(r, Parameter))
    return [
        replace(each, declared=declared) if isinstance(each, StrictMainCf) else each
        for each in chosen.values()
    ]


def _is_fallback(resource: Resource) -> bool:
    return isinstance(resource, Parameter) and resource.fallback
