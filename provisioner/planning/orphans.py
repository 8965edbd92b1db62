"""What we managed and nobody declares any more: found always, removed on request.

Removing an orphan puts back what stood there before us. Packages stay installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from provisioner.diagnostics import Diagnostic, printable
from provisioner.planning import manifest
from provisioner.planning.plan import Orphan
from provisioner.postfix import main_cf, master_cf, sensitive, tables
from provisioner.resources.base import (
    Action,
    Attributes,
    Before,
    Change,
    CompileTable,
    DropCompiled,
    Effect,
    OpenPort,
    Origin,
    RemovePath,
    Resource,
    RestorePath,
    SetAttributes,
)
from provisioner.resources.file import attribute_notes, describe, octal
from provisioner.resources.observed import Observed, PathKind
from provisioner.resources.parameter import Parameter
from provisioner.resources.service import MasterService
from provisioner.resources.unit import Unit

_ORIGIN = Origin("", "no role declares it any more")


def find(resources: Iterable[Resource], remembered: Mapping[str, Any] | None) -> list[Orphan]:
    """The managed addresses that `resources` no longer declare."""
    declared = {each.address for each in resources if each.managed}
    return [
        Orphan(address, _describe(before, address), not before.present)
        for address, before in manifest.remembered(remembered).items()
        if address not in declared
    ]


def entries(orphaned: Iterable[Orphan], remembered: Mapping[str, Any] | None) -> dict[str, Any]:
    """The manifest entries of orphans that are kept, so that they stay removable."""
    known = (remembered or {}).get("resources", {})
    return {orphan.address: known[orphan.address] for orphan in orphaned}


def removal(
    orphaned: Sequence[Orphan], observed: Observed
) -> tuple[list[Change], list[Diagnostic]]:
    """The changes that put back what stood at each orphan's address before us, and what of
    it cannot be put back."""
    before = manifest.remembered(observed.manifest)
    changes: list[Change] = []
    errors: list[Diagnostic] = []
    for orphan in orphaned:
        try:
            changes += _put_back(orphan.address, before[orphan.address], observed)
        except ValueError as error:
            errors.append(
                Diagnostic(
                    f"{orphan.address} cannot be put back as it was before us: {error}",
                    help="leave out --prune, or declare it again",
                )
            )
    return changes, errors


def _put_back(address: str, before: Before, observed: Observed) -> Iterable[Change]:
    kind, _, name = address.partition(":")
    if kind == "parameter":
        as_before = Parameter(_ORIGIN, name, before.value, written=before.written or "")
        return list(as_before.diff(observed)) or [_forget(address)]
    if kind == "strict":
        return _put_back_strays(address, before, observed)
    if kind == "service":
        service_name, _, type_ = name.rpartition("/")
        parsed = master_cf.parse(f"{before.value}\n").entries if before.value else ()
        service = MasterService(_ORIGIN, service_name, type_, parsed[0] if parsed else None)
        return list(service.diff(observed)) or [_forget(address)]
    if kind == "unit" and before.value and name in observed.units:
        active, _, enabled = before.value.partition(" ")
        unit = Unit(_ORIGIN, name, active == "active", enabled == "enabled")
        return list(unit.diff(observed)) or [_forget(address)]
    if kind == "firewall":
        return [_close_port(address, before, observed)]
    if kind in ("file", "table"):
        return _put_back_path(address, name, before, observed)
    return [_forget(address)]


def _put_back_strays(address: str, before: Before, observed: Observed) -> Iterable[Change]:
    """The parameters that `strict` had removed, behind the first line of what is kept."""
    kept = main_cf.parse((before.value or "").partition("\n")[2] + "\n")
    current = observed.main_cf.parameters if observed.main_cf else {}
    changes = [
        change
        for name, entry in kept.parameters.items()
        if name not in current
        for change in Parameter(_ORIGIN, name, entry.value).diff(observed)
    ]
    return changes or [_forget(address)]


def _close_port(address: str, before: Before, observed: Observed) -> Change:
    """As the rule is ours, closing asks nothing of the host first."""
    rule = observed.how(address)
    if before.present or not rule:
        return _forget(address)
    parts = ("live",) if rule.startswith("ufw ") else ("kept", "live")
    return Change(
        address,
        Action.DELETE,
        before=f"open in {rule.partition(' ')[0]}",
        origin=_ORIGIN,
        effects=(OpenPort(rule, parts, close=True),),
    )


def _put_back_path(address: str, path: str, before: Before, observed: Observed) -> Iterable[Change]:
    type_ = observed.how(address)
    state = observed.paths.get(path)
    if state is None:
        raise ValueError("the host no longer knows that the path is managed")
    if not before.present and state.kind is PathKind.MISSING:
        return [_forget(address)]
    if not before.present:
        return [
            Change(
                address,
                Action.DELETE,
                before=describe(state),
                origin=_ORIGIN,
                effects=(RemovePath(path, type_),),
            )
        ]
    attributes = Attributes(before.owner, before.group, before.mode)
    if not before.digest or state.digest == before.digest:
        return [_put_back_attributes(address, path, attributes, before, observed)]
    restored = RestorePath(path, before.digest, attributes)
    return [
        Change(
            address,
            Action.CREATE if state.kind is PathKind.MISSING else Action.UPDATE,
            before="managed content",
            after=f"the content from before it was managed ({_describe(before, address)})",
            origin=_ORIGIN,
            effects=(restored, *_put_back_compiled(path, before, type_)),
        )
    ]


def _put_back_compiled(path: str, before: Before, type_: str) -> Iterator[Effect]:
    """The compiled form that stood beside the source, or none."""
    compiled = before.value or type_
    if tables.compiled_suffix(compiled):
        yield CompileTable(path, compiled)
    if tables.compiled_suffix(type_) not in ("", tables.compiled_suffix(compiled)):
        yield DropCompiled(path, type_)


def _put_back_attributes(
    address: str, path: str, attributes: Attributes, before: Before, observed: Observed
) -> Change:
    """For what stood there and still does: a directory, a file whose content is the same."""
    state = observed.paths[path]
    notes = attribute_notes(attributes, state)
    ours = list(_put_back_compiled(path, before, observed.how(address)))
    dropped = [each for each in ours if isinstance(each, DropCompiled)]
    if state.kind is PathKind.MISSING or not (notes or dropped):
        return _forget(address)
    return Change(
        address,
        Action.UPDATE,
        before=describe(state),
        after=", ".join(notes) or "the source alone, as before",
        origin=_ORIGIN,
        effects=(*([SetAttributes(path, attributes)] if notes else []), *dropped),
    )


def _forget(address: str) -> Change:
    return Change(address, Action.ADOPT, notes=("stays as it is and is no longer managed",))


def _describe(before: Before, address: str) -> str:
    """What stood there before us, as it may be shown."""
    if not before.present:
        return "absent"
    if before.value is not None and before.digest is None:
        kind, _, name = address.partition(":")
        value = sensitive.mask(name if kind == "parameter" else "", before.value)
        return printable(value.partition("\n")[0][:80]) if value else "(empty)"
    return f"file {before.owner}:{before.group} {octal(before.mode)}"
