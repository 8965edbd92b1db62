"""A lookup table owned whole, with its compiled form (postmap(1), DATABASE_README)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

from provisioner.postfix import tables
from provisioner.postfix.activation import Activation, for_table
from provisioner.resources.base import (
    KEEP,
    Action,
    Attributes,
    Before,
    Change,
    CompileTable,
    DropCompiled,
    Effect,
    KeyedDiff,
    Origin,
    Resource,
    TextDiff,
    WriteFile,
)
from provisioner.resources.file import (
    attribute_changes,
    attribute_notes,
    before_of_path,
    check_attributes,
    check_path,
    describe,
    noun,
    unified,
)
from provisioner.resources.observed import (
    FileRequest,
    Observed,
    PathKind,
    PathState,
    Request,
    TableRequest,
)
from provisioner.resources.parameter import indexed_type

#: What is remembered of a source that stood there before us without a compiled form.
NOT_COMPILED = "not compiled"

_MISSING = "compiled form missing"
_UNREADABLE = "compiled form cannot be read"
#: From this size on, in bytes, tables without continued lines are compared by lines: a table of
#: a million entries is not taken apart for the one that changed.
_LARGE = 1 << 20

#: What the probe says instead of a dump of a table that postmap cannot list.
_UNLISTED = hashlib.sha256(b"unlisted\n").hexdigest()


@dataclass(frozen=True)
class Table(Resource):
    """A lookup table. `type` `indexed` becomes what the host supports and prefers.

    Indexed tables hold `entries` (key, value) and are compiled; pattern tables
    (regexp, pcre, cidr) hold `text` as written and are read once by each process,
    so that a change of theirs needs a reload. A `secret` table is never shown. An `alias`
    table is an aliases(5) file, compiled by postalias(1). `origins` say where single keys
    (or lines of `text`) were written; they are told to whoever asks why a table answered.
    """

    kind: ClassVar[str] = "table"
    path: str
    type: str = "indexed"
    entries: tuple[tables.Entry, ...] = ()
    text: str | None = None
    attributes: Attributes = KEEP
    secret: bool = False
    alias: bool = False
    origins: tuple[tuple[str, Origin], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        check_path(self.path)
        tables.check_path(self.path)
        check_attributes(self.attributes)
        if self.text is not None and "\0" in self.text:
            raise ValueError(f"{self.path}: Postfix ignores what follows a NUL byte")
        self.content  # noqa: B018 - raises ValueError for entries no table can hold

    @property
    def name(self) -> str:
        return self.path

    @cached_property
    def content(self) -> bytes:
        text = self._rendered() if self.text is None else self.text
        if text and not text.endswith("\n"):
            text += "\n"
        return text.encode("utf-8", "surrogateescape")

    def _rendered(self) -> str:
        if self.alias:
            return tables.render_aliases(self.entries)
        return tables.render(self.entries, self.type)

    @property
    def provides(self) -> tuple[str, ...]:
        return (self.path,)

    @property
    def holds_secret(self) -> bool:
        return self.secret

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def requests(self) -> Iterable[Request]:
        wanted = not self.secret
        yield FileRequest(self.path, content=wanted, known=self.digest if wanted else "")
        if self.type == "indexed" or self.type in tables.COMPILED:
            yield TableRequest(self.path, self._compiler(self.type))

    def identity(self) -> object:
        return [self.type, self.digest, *self.attributes.as_list()]

    def activated(self, observed: Observed) -> Mapping[str, str]:
        return {self.path: self.digest} if self.type in tables.READ_ONCE else {}

    def _compiler(self, type_: str) -> str:
        return f"alias-{type_}" if self.alias else type_

    def how(self, observed: Observed) -> str:
        """How the host compiles it: its real type, with `alias-` before it for postalias."""
        return self._compiler(self.resolved_type(observed))

    def resolved_type(self, observed: Observed) -> str:
        real = indexed_type(observed) if self.type == "indexed" else self.type
        if observed.facts.map_types and real not in observed.facts.map_types:
            raise ValueError(
                f"Postfix on this host has no table type {real!r} (postconf -m); "
                f"it has: {', '.join(sorted(observed.facts.map_types))}"
            )
        return real

    def diff(self, observed: Observed) -> Iterable[Change]:
        yield from self._differences(observed)
        yield from self._left_over(observed)

    def _left_over(self, observed: Observed) -> Iterable[Change]:
        """The compiled form that we made while the table was of another type."""
        before = observed.how(self.address)
        now = self.how(observed)
        suffix = tables.compiled_suffix(before)
        if suffix and suffix != tables.compiled_suffix(now):
            yield Change(
                self.address,
                Action.UPDATE,
                before=f"compiled as {before}",
                after=f"{self.path}{suffix} is removed, now that the type is {now}",
                origin=self.origin,
                effects=(DropCompiled(self.path, before),),
            )

    def _differences(self, observed: Observed) -> Iterable[Change]:
        real = self.resolved_type(observed)
        state = observed.path(self.path)
        if state.kind not in (PathKind.FILE, PathKind.MISSING):
            raise ValueError(f"{self.path} is {noun(state.kind)}, a table is wanted there")
        compiled = real in tables.COMPILED
        if state.digest != self.digest or (compiled and attribute_notes(self.attributes, state)):
            # The compiled form takes owner and mode from the source it was made of.
            return (self._rewrite(state, real, compiled, observed),)
        changes = list(attribute_changes(self, self.path, self.attributes, state))
        fault = self._compiled_fault(observed) if compiled else ""
        if fault:
            useless = fault in (_MISSING, _UNREADABLE)
            level, reason = for_table(real, was_missing=True) if useless else (Activation.NONE, "")
            changes.append(
                Change(
                    self.address,
                    Action.COMPILE,
                    before=fault,
                    after=f"compiled as {real}",
                    origin=self.origin,
                    effects=(CompileTable(self.path, self._compiler(real)),),
                    activation=level,
                    reason=reason,
                )
            )
        return changes

    def _rewrite(self, state: PathState, real: str, compiled: bool, observed: Observed) -> Change:
        effects: list[Effect] = [WriteFile(self.path, self.content, self.attributes)]
        if compiled:
            effects.append(CompileTable(self.path, self._compiler(real)))
        new = state.kind is PathKind.MISSING
        if new:
            level, reason = self._first_opening(real, observed)
        else:
            level, reason = for_table(real)
        return Change(
            self.address,
            Action.CREATE if new else Action.UPDATE,
            before=None if new else describe(state),
            after=f"{real}, {self._size()}",
            origin=self.origin,
            notes=attribute_notes(self.attributes, state),
            diff=None if state.digest == self.digest else self._content_diff(state),
            effects=tuple(effects),
            activation=level,
            reason=reason,
        )

    def _size(self) -> str:
        count = len(self.entries) if self.text is None else len(self.text.splitlines())
        unit = "entry" if self.text is None else "line"
        plural = {"entry": "entries", "line": "lines"}[unit]
        return f"{count} {unit if count == 1 else plural}"

    def _content_diff(self, state: PathState) -> KeyedDiff | TextDiff | None:
        if self.secret:
            return None
        old = state.content or b""
        if self.text is not None or self.alias:
            return unified(self.path, old, self.content)
        before = old.decode("utf-8", "surrogateescape")
        if len(old) < _LARGE or "\n " in before or "\n\t" in before:
            return keyed_diff(tables.parse(before).values, self.entries)
        gone, new = _only_in(before, self.content.decode("utf-8", "surrogateescape"))
        entries = tables.parse(new).values.items()
        return keyed_diff(tables.parse(gone).values, [tables.Entry(*each) for each in entries])

    def _first_opening(self, real: str, observed: Observed) -> tuple[Activation, str]:
        """A new table is opened by the processes that a changed main.cf starts; but where
        main.cf refers to it already, some may have looked for it in vain."""
        settings = observed.main_cf.parameters.values() if observed.main_cf else ()
        if any(f":{self.path}" in each.value for each in settings):
            return for_table(real, was_missing=True)
        return Activation.NONE, ""

    def _compiled_fault(self, observed: Observed) -> str:
        """Why the compiled form must be made anew; empty when it is right."""
        found = observed.compiled.get(self.path)
        if found is None or not found.present:
            return _MISSING
        if found.verified:
            return ""
        expected = hashlib.sha256(
            tables.dump(self.entries).encode("utf-8", "surrogateescape")
        ).hexdigest()
        if found.dump == expected:
            return ""
        if found.dump == _UNLISTED:
            return _UNREADABLE
        if not found.dump:
            return "compiled form of unknown age"
        return "compiled form differs from its source"

    def before(self, observed: Observed) -> Before:
        """With the type that a source which stood there was compiled as, if it was."""
        found = before_of_path(observed.path(self.path))
        compiled = observed.compiled.get(self.path)
        if not found.present or compiled is None:
            return found
        return replace(found, value=compiled.type if compiled.present else NOT_COMPILED)


def _only_in(before: str, after: str) -> tuple[str, str]:
    """The lines that only one of two texts has, in their order."""
    old, new = before.split("\n"), after.split("\n")
    common = set(old).intersection(new)
    gone = "\n".join(line for line in old if line not in common)
    return gone, "\n".join(line for line in new if line not in common)


def keyed_diff(before: Mapping[str, str], entries: Iterable[tables.Entry]) -> KeyedDiff:
    """The difference of two tables by key, in the order of the new one."""
    after = {tables.fold_key(entry.key): entry.value for entry in entries}
    return KeyedDiff(
        added=tuple((key, value) for key, value in after.items() if key not in before),
        removed=tuple((key, value) for key, value in before.items() if key not in after),
        changed=tuple(
            (key, before[key], value)
            for key, value in after.items()
            if key in before and before[key] != value
        ),
    )
