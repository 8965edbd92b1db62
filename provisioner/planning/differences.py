"""What differs between two desired states of one host: as changes, host unseen. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from provisioner.planning import manifest
from provisioner.planning.planner import Desired
from provisioner.resources import service
from provisioner.resources.base import Action, Change, Resource, TextDiff
from provisioner.resources.file import File, FileState, unified
from provisioner.resources.parameter import Parameter
from provisioner.resources.service import MasterService
from provisioner.resources.table import Table
from provisioner.resources.unit import Unit
from provisioner.secrets import MASK


@dataclass(frozen=True)
class State:
    """One host's desired state at one time; `encrypted` are the digests of the encrypted
    files that give it variables, by name: what is in them is not known here."""

    desired: Desired
    encrypted: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return manifest.digest_of([self.desired.digest, sorted(self.encrypted.items())])


def between(old: State | None, new: State | None) -> list[Change]:
    """The changes from `old` to `new`; None: there is no such host."""
    changes = list(_host(old, new))
    before = _resources(old)
    after = _resources(new) if new else {}
    for address in dict.fromkeys((*after, *before)) if new else ():
        change = _change(address, before.get(address), after.get(address))
        if change:
            changes.append(change)
    changes += _encrypted(old, new) if old and new else ()
    return changes


def _resources(state: State | None) -> dict[str, Resource]:
    return {each.address: each for each in state.desired.resources} if state else {}


def _host(old: State | None, new: State | None) -> Iterator[Change]:
    if old is None and new is not None:
        yield Change("host", Action.CREATE, after="new in the inventory, or its first role")
    if new is None and old is not None:
        note = "what it holds stays there; nothing of ours looks after it any more"
        yield Change("host", Action.DELETE, before="in the inventory, with roles", notes=(note,))


def _encrypted(old: State, new: State) -> Iterator[Change]:
    for name in dict.fromkeys((*new.encrypted, *old.encrypted)):
        before, after = old.encrypted.get(name), new.encrypted.get(name)
        if before != after:
            yield Change(
                f"encrypted:{name}",
                _action(before, after),
                before=before and MASK,
                after=after and MASK,
                notes=("the file is encrypted anew; what it says may differ",),
            )


def _change(address: str, old: Resource | None, new: Resource | None) -> Change | None:
    if old is not None and new is not None and old.identity() == new.identity():
        return None
    known = new or old
    assert known is not None  # noqa: S101 - one of the two has the address
    return Change(
        address,
        _action(old, new),
        before=_shown(old),
        after=_shown(new),
        origin=known.origin,
        notes=() if new else ("no role declares it any more",),
        diff=_text(known, old, new),
    )


def _action(old: object, new: object) -> Action:
    if old is None:
        return Action.CREATE
    return Action.DELETE if new is None else Action.UPDATE


def _shown(resource: Resource | None) -> str | None:
    """What is desired, in a line or a few, as it may be shown."""
    if resource is None:
        return None
    if isinstance(resource, Parameter):
        return resource.shown(resource.value) if resource.value is not None else "(absent)"
    if isinstance(resource, MasterService):
        if resource.service is None:
            return "(absent)"
        return service.shown(resource.service, resource.hidden)
    if isinstance(resource, Unit):
        return resource.wanted
    if resource.holds_secret:
        return MASK
    if isinstance(resource, File) and resource.state is not FileState.FILE:
        return resource.state.value
    if isinstance(resource, (File, Table)):
        return f"{len(resource.content)} bytes"
    return _plain(resource.identity()) or "wanted"


def _plain(identity: object) -> str:
    if isinstance(identity, list | tuple):
        return " ".join(filter(None, map(_plain, identity)))
    return "" if identity is None else str(identity)


def _text(known: Resource, old: Resource | None, new: Resource | None) -> TextDiff | None:
    if not isinstance(known, (File, Table)):
        return None
    pair = [each for each in (old, new) if isinstance(each, (File, Table))]
    if any(each.holds_secret for each in pair):
        return None
    before = old.content if isinstance(old, (File, Table)) else b""
    after = new.content if isinstance(new, (File, Table)) else b""
    return unified(known.path, before, after)
