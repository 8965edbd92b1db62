"""What we managed and nobody declares any more: found always, removed on request.

Removing an orphan puts back what stood there before us. Packages stay installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    Effect,
    Origin,
    RemovePath,
    Resource,
    RestorePath,
    SetAttributes,
)
from provisioner.resources.file import attribute_notes, describe, octal
from provisioner.resources.observed import Observed, PathKind, PathState
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
        return list(Parameter(_ORIGIN, name, before.value).diff(observed)) or [_forget(address)]
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


def _put_back_path(address: str, path: str, before: Before, observed: Observed) -> Iterable[Change]:
    type_ = manifest.table_type(observed.manifest or {}, address)
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
        return [_put_back_attributes(address, path, attributes, state)]
    effects: list[Effect] = [RestorePath(path, before.digest, attributes)]
    if type_.removeprefix("alias-") in tables.COMPILED:
        effects.append(CompileTable(path, type_))
    return [
        Change(
            address,
            Action.CREATE if state.kind is PathKind.MISSING else Action.UPDATE,
            before="managed content",
            after=f"the content from before it was managed ({_describe(before, address)})",
            origin=_ORIGIN,
            effects=tuple(effects),
        )
    ]


def _put_back_attributes(
    address: str, path: str, attributes: Attributes, state: PathState
) -> Change:
    """For what stood there and still does: a directory, a file whose content is the same."""
    notes = attribute_notes(attributes, state)
    if not notes or state.kind is PathKind.MISSING:
        return _forget(address)
    return Change(
        address,
        Action.UPDATE,
        before=describe(state),
        after=", ".join(notes),
        origin=_ORIGIN,
        effects=(SetAttributes(path, attributes),),
    )


def _forget(address: str) -> Change:
    return Change(address, Action.ADOPT, notes=("stays as it is and is no longer managed",))


def _describe(before: Before, address: str) -> str:
    """What stood there before us, as it may be shown."""
    if not before.present:
        return "absent"
    if before.value is not None:
        kind, _, name = address.partition(":")
        value = sensitive.mask(name if kind == "parameter" else "", before.value)
        return printable(value.partition("\n")[0][:80]) if value else "(empty)"
    return f"file {before.owner}:{before.group} {octal(before.mode)}"
