"""Values as they are meant: templates rendered, encrypted and referenced secrets opened.

An inventory holds values as they are written. A `Reader` gives them to whoever uses them,
host by host and only when asked: a secret that no host in scope needs is never opened.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from enum import IntEnum
from types import NoneType
from typing import TYPE_CHECKING, Any

from provisioner.diagnostics import Diagnostic
from provisioner.errors import InputError
from provisioner.inventory.markers import is_template
from provisioner.inventory.opening import Secrets
from provisioner.inventory.scope import Groups, HostVars, Parts, Scope, Variables
from provisioner.inventory.values import SecretReference, VaultValue
from provisioner.marks import Map, Mark, Seq
from provisioner.secrets import SecretText, collecting, pattern_of, remember

if TYPE_CHECKING:
    from provisioner.inventory.model import Host, Inventory
    from provisioner.inventory.templates import Template

#: Options that nobody set: one object, so that hosts without them share the work.
_NOTHING = Map()

#: Deepest chain of variables whose templates name one another.
MAX_CHAIN = 30


class _Kind(IntEnum):
    """What has to be done to read a value; a container is what its hardest item is."""

    PLAIN = 0
    SECRET = 1
    TEMPLATE = 2


class Reader:
    """Reads the values of one inventory's hosts. Not to be shared between threads.

    `merged` are the variables that hold role options: templates that name one see it merged.
    """

    def __init__(
        self,
        inventory: Inventory,
        secrets: Secrets | None = None,
        merged: Collection[str] = (),
    ) -> None:
        self.inventory = inventory
        self.secrets = secrets or Secrets()
        self.merged = frozenset(merged)
        self._templates: dict[str, Template | InputError] = {}
        self._kinds: dict[int, tuple[Any, _Kind]] = {}
        self._shared: dict[int, tuple[Any, tuple[str, ...]]] = {}
        self._alike: dict[Hashable, Any] = {}
        self._own: dict[tuple[str, str, int], tuple[Any, tuple[str, ...]]] = {}
        self._scopes: dict[str, Scope] = {}
        self._active: list[tuple[str, str]] = []

    def options(self, host: Host, variable: str) -> Map:
        """`host.merged(variable)`, rendered and opened; every mark is kept.

        The same object for all hosts with the same layers to whom its templates give the same.
        Raises InputError with all that is wrong in it.
        """
        result: Map = self._read(host, variable, host.merged(variable))
        return result

    def options_inside(self, host: Host, umbrella: str, name: str) -> Map:
        """The same of the options under `name` inside the variable `umbrella`."""
        whole = host.merged(umbrella)
        raw = whole.get(name, _NOTHING)
        mark = whole.marks.get(name)
        result: Map = self._read(host, f"{umbrella}.{name}", raw, mark)
        return result

    def variable(self, host: Host, name: str) -> Any:
        """The host's variable `name`, rendered and opened. Raises KeyError, InputError."""
        return self._read(host, name, host.vars[name], host.vars.marks.get(name))

    def value(self, host: Host, path: str, raw: Any, mark: Mark | None = None) -> Any:
        """What one layer says at `path`, rendered and opened. Raises InputError."""
        return self._read(host, path, raw, mark)

    def variables(self, host: Host) -> Mapping[str, Any]:
        """The host's variables, each read when asked for."""
        return Variables(self, host)

    def part(self, host: Host, path: str, raw: Any, mark: Mark | None = None) -> Any:
        """For templates: the value `raw` at `path`, a mapping only as far as it is needed."""
        if isinstance(raw, Map) and self._kind(raw) is _Kind.TEMPLATE:
            return Parts(self, host, path, raw)
        return self._read(host, path, raw, mark)

    # ---- one variable ---------------------------------------------------------------

    def _read(self, host: Host, path: str, raw: Any, mark: Mark | None = None) -> Any:
        kind = self._kind(raw)
        if kind is _Kind.PLAIN:
            return raw
        if kind is _Kind.TEMPLATE:
            key = (host.name, path, id(raw))
            if key not in self._own:
                with collecting() as found:
                    result = self._chained(host, path, raw, mark)
                if not found:  # a secret is kept apart from everything
                    result = self._alike.setdefault(self._likeness(result), result)
                self._own[key] = (result, tuple(found))
            result, secrets = self._own[key]
        else:
            if id(raw) not in self._shared:
                with collecting() as found:
                    result = self._whole(host, raw, mark)
                # `raw` is kept, so that nothing else gets its id.
                self._kinds[id(raw)] = (raw, kind)
                self._shared[id(raw)] = (result, tuple(found))
            result, secrets = self._shared[id(raw)]
        for each in secrets:
            remember(each)
        return result

    def _likeness(self, value: Any) -> Hashable:
        """Equal for values that nobody can tell apart, places included. Such a value is kept
        for good: where nothing else tells two things apart, the object itself does."""
        known = self._kinds.get(id(value))
        if known and known[1] is _Kind.PLAIN:
            return id(value)  # as it is written, hence of every host
        if isinstance(value, Map):
            names = tuple((key, type(key)) for key in value)
            marks = (value.mark, tuple(value.marks.items()), tuple(value.key_marks.items()))
            return (Map, names, tuple(map(self._likeness, value.values())), marks)
        if isinstance(value, Seq):
            return (Seq, tuple(map(self._likeness, value)), (value.mark, tuple(value.marks)))
        if type(value) in (str, bool, int, NoneType):
            return (type(value), value)
        return id(value)

    def _chained(self, host: Host, path: str, raw: Any, mark: Mark | None) -> Any:
        place = (host.name, path)
        if place in self._active:
            chain = [each for _, each in self._active[self._active.index(place) :]]
            raise InputError(
                f"the template refers to itself: {' -> '.join([*chain, path])}",
                help="take the name out of one of them",
            )
        if len(self._active) >= MAX_CHAIN:
            raise InputError(
                f"more than {MAX_CHAIN} templates refer to one another here",
                help="name the value itself",
            )
        self._active.append(place)
        try:
            return self._whole(host, raw, mark)
        finally:
            self._active.pop()

    def _whole(self, host: Host, raw: Any, mark: Mark | None) -> Any:
        wrong: list[Diagnostic] = []
        result = self._value(host, raw, mark, wrong)
        if wrong:
            raise InputError.of(dict.fromkeys(wrong))
        return result

    def _kind(self, value: Any) -> _Kind:
        if isinstance(value, str):
            if is_template(value):
                return _Kind.TEMPLATE
            return _Kind.SECRET if isinstance(value, SecretText) else _Kind.PLAIN
        if isinstance(value, (Map, Seq)):
            known = self._kinds.get(id(value))
            if known is None:
                items: Iterable[Any] = value.values() if isinstance(value, Map) else value
                kind = max(map(self._kind, items), default=_Kind.PLAIN)
                known = self._kinds[id(value)] = (value, kind)
            return known[1]
        return _Kind.SECRET if isinstance(value, (VaultValue, SecretReference)) else _Kind.PLAIN

    # ---- inside a value -------------------------------------------------------------

    def _value(self, host: Host, value: Any, mark: Mark | None, wrong: list[Diagnostic]) -> Any:
        """`value` read; what is wrong in it goes to `wrong`, each at its place."""
        if self._kind(value) is _Kind.PLAIN:
            return value
        if isinstance(value, Map):
            items = {
                key: self._value(host, item, value.marks.get(key, mark), wrong)
                for key, item in value.items()
            }
            return Map(items, mark=value.mark, marks=value.marks, key_marks=value.key_marks)
        if isinstance(value, Seq):
            marks: list[Mark | None] = [*value.marks] or [mark] * len(value)
            read = [
                self._value(host, item, place, wrong)
                for item, place in zip(value, marks, strict=True)
            ]
            return Seq(read, mark=value.mark, marks=value.marks)
        try:
            if isinstance(value, (VaultValue, SecretReference)):
                return _secret(self.secrets.open(value))
            return self._text(host, value, mark)
        except InputError as error:
            wrong += [
                each if each.mark else Diagnostic(each.message, mark, each.help)
                for each in error.diagnostics()
            ]
            return None

    def _text(self, host: Host, value: str, mark: Mark | None) -> Any:
        if not is_template(value):
            return _secret(value)
        template = self._template(value)
        with collecting() as met:
            result, touched = template.render(self.scope(host))
        plain = _as_data(result, mark)
        if touched or isinstance(value, SecretText):
            return _closed(plain)
        return _closed_where(plain, met)

    def _template(self, text: str) -> Template:
        """Compiled once; what Jinja2 refuses, it refuses again without being asked."""
        from provisioner.inventory.templates import Template

        plain = str.__str__(text)
        if plain not in self._templates:
            try:
                self._templates[plain] = Template(plain)
            except InputError as error:
                self._templates[plain] = error
        found = self._templates[plain]
        if isinstance(found, InputError):
            raise InputError(found.message, help=found.help)
        return found

    def scope(self, host: Host) -> Scope:
        """The names that templates of this host may use."""
        if host.name not in self._scopes:
            self._scopes[host.name] = Scope(self, host)
        return self._scopes[host.name]


# ---- what templates give ------------------------------------------------------------


def _secret(text: str) -> SecretText:
    remember(text)
    return text if isinstance(text, SecretText) else SecretText(text)


def _as_data(value: Any, mark: Mark | None) -> Any:
    """What an expression gave, in the types that values have; new parts are at `mark`."""
    if value is None or isinstance(value, (str, int, float, Map, Seq)):
        return value
    if isinstance(value, (Scope, HostVars, Groups)) or callable(value):
        raise InputError("this is no value by itself", help="name what you need of it")
    if isinstance(value, Parts):
        items = {key: _as_data(item, mark) for key, item in value.items()}
        raw = value.raw
        return Map(items, mark=raw.mark, marks=raw.marks, key_marks=raw.key_marks)
    if isinstance(value, Mapping):
        items = {key: _as_data(item, mark) for key, item in value.items()}
        marks = dict.fromkeys(items, mark) if mark else {}
        return Map(items, mark=mark, marks=marks, key_marks=marks)
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        parts = [_as_data(item, mark) for item in value]
        return Seq(parts, mark=mark, marks=[mark] * len(parts) if mark else [])
    undefined = getattr(value, "_fail_with_undefined_error", None)
    if undefined is not None:
        raise InputError("in the template: a part of the result is undefined")
    return value


def _closed(value: Any) -> Any:
    """`value` with every text in it a secret."""
    if isinstance(value, str):
        return _secret(value)
    if isinstance(value, Map):
        items = {key: _closed(item) for key, item in value.items()}
        return Map(items, mark=value.mark, marks=value.marks, key_marks=value.key_marks)
    if isinstance(value, Seq):
        return Seq(map(_closed, value), mark=value.mark, marks=value.marks)
    return value


def _closed_where(value: Any, secrets: Iterable[str]) -> Any:
    """`value`; where it is a text with one of `secrets` in it, a secret as a whole."""
    if isinstance(value, str) and not isinstance(value, SecretText):
        pattern = pattern_of(secrets)
        if pattern and pattern.search(value):
            return _secret(value)
    return value
