"""What a host remembers of us: the manifest in /var/lib/provisioner.

For every address we manage: what stood there before. And what was last *activated*,
so that a reload that never happened is seen although every file is as desired.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from provisioner.postfix import main_cf, master_cf
from provisioner.resources.base import Before, Resource
from provisioner.resources.observed import Observed

VERSION = 1
_BEFORE = tuple(field.name for field in fields(Before))


def digest_of(value: object) -> str:
    """SHA-256 in hex of a JSON value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def activated(
    main_text: str | None,
    master_text: str | None,
    resources: Iterable[Resource],
    observed: Observed | None = None,
) -> dict[str, str]:
    """Digests of all that running Postfix processes hold in memory.

    Logical content, not bytes: a comment edited by hand asks for no reload.
    """
    found = {}
    if main_text is not None:
        found["main.cf"] = digest_of(main_cf.parse(main_text).values)
    if master_text is not None:
        services = master_cf.parse(master_text).services
        found["master.cf"] = digest_of(
            sorted(repr(master_cf.canonical(service)) for service in services.values())
        )
    for each in resources:
        if observed is not None:
            found.update(each.activated(observed))
    return found


def observed_activated(observed: Observed, wanted: Mapping[str, str]) -> dict[str, str]:
    """The same digests, of what stands in the files now, for the keys in `wanted`."""
    now = activated(observed.main_text, observed.master_text, ())
    for key in wanted:
        if key.startswith("/") and key in observed.paths:
            now[key] = observed.paths[key].digest
    return {key: value for key, value in now.items() if key in wanted}


def check(found: object) -> None:
    """Raises ValueError for what is no manifest of this version."""
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ValueError("it is of another version")
    parts = [found.get(name) for name in ("inventory", "resources", "activated")]
    if not all(isinstance(part, dict) for part in parts):
        raise ValueError("a part of it is missing")
    for address, entry in found["resources"].items():
        try:
            before = Before(**entry["before"])
        except (TypeError, KeyError):
            raise ValueError(f"what it says of {address!r} makes no sense") from None
        texts = (before.value, before.digest, before.owner, before.group, before.written)
        sound = isinstance(before.present, bool) and isinstance(before.mode, int | None)
        if not sound or not all(isinstance(text, str | None) for text in texts):
            raise ValueError(f"what it says of {address!r} makes no sense")


def remembered(manifest: Mapping[str, Any] | None) -> dict[str, Before]:
    """Each managed address with what stood there before us."""
    if not manifest:
        return {}
    return {address: Before(**entry["before"]) for address, entry in manifest["resources"].items()}


def build(
    resources: Iterable[Resource],
    observed: Observed,
    *,
    keep: Mapping[str, Any],
    activated_after: Mapping[str, str],
    inventory: Mapping[str, str],
) -> dict[str, Any]:
    """The manifest after this plan. `keep` are entries of orphans that stay managed."""
    old = (observed.manifest or {}).get("resources", {})
    entries: dict[str, Any] = dict(keep)
    for each in resources:
        if not each.managed:
            continue
        if each.address in old:
            entry = dict(old[each.address])
        else:
            before = each.before(observed)
            entry = {"before": {name: getattr(before, name) for name in _BEFORE}}
        if how := each.how(observed):
            entry["type"] = how
        entries[each.address] = entry
    return {
        "version": VERSION,
        "inventory": dict(inventory),
        "resources": entries,
        "activated": dict(activated_after),
    }


def merged(
    known: dict[str, Any] | None, unfinished: dict[str, Any] | None
) -> dict[str, Any] | None:
    """What a host remembers where a run died between its first rename and its end.

    What stood somewhere before that run is in `unfinished`; what it activated is unknown.
    """
    if unfinished is None:
        return known
    if known is None:
        return {**unfinished, "activated": {}}
    return {**known, "resources": {**unfinished["resources"], **known["resources"]}}


def same(left: Mapping[str, Any] | None, right: Mapping[str, Any]) -> bool:
    """Whether `left` need not be replaced by `right`: equal but for the commit, which is
    information, and for what was activated of things nobody declares any more."""
    return left is not None and _essence(left, right) == _essence(right, right)


def _essence(manifest: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    inventory = {k: v for k, v in manifest.get("inventory", {}).items() if k == "id"}
    activated = {k: v for k, v in manifest["activated"].items() if k in wanted["activated"]}
    return {**manifest, "inventory": inventory, "activated": activated}
