"""Saved plans: what `plan -o FILE` writes and `apply FILE` reads.

A saved plan is bound to the tool version and to each host's desired state; each host's
plan is bound by its preconditions to what was observed there.

What would tell a secret is sealed (`planning.sealing`): the steps of a host for which the
inventory has secrets, and every digest in which one took part. `apply` resolves the secrets
again, and can open the seal if they are still the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from provisioner import __version__
from provisioner.diagnostics import Diagnostic, brief
from provisioner.errors import HostError, InputError
from provisioner.marks import Mark
from provisioner.planning import manifest, sealing
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired
from provisioner.postfix import sensitive
from provisioner.postfix.activation import Activation
from provisioner.resources.base import Change

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT = 1


@dataclass(frozen=True)
class SavedHost:
    """One host's plan and the key the host showed when it was planned (SHA256:…).

    `sealed`: what of the plan only `opened` can read; the plan is without it.
    """

    plan: HostPlan
    host_key: str = ""
    sealed: str = ""


@dataclass(frozen=True)
class SavedPlan:
    """`inventory` as in `Desired.inventory`; `prune` as it was planned with."""

    hosts: Mapping[str, SavedHost]
    inventory: Mapping[str, str] = field(default_factory=dict)
    prune: bool = False

    __pydantic_config__ = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}  # noqa: RUF012 - pydantic's


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Made when first needed: that takes a tenth of what a run without changes takes."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


#: What of a sealed plan people can read all the same: what they are shown of it anyway.
_SHOWN = frozenset(
    ("host", "changes", "packages", "known_after_install", "activation", "reasons", "unchanged")
)


def dump(
    plan: SavedPlan, desired: Mapping[str, Desired], random_bytes: Callable[[int], bytes]
) -> str:
    """The file's text. `desired` are the hosts' desired states, secrets and all.

    Raises `InputError` where it would have to hold a secret that the inventory does not
    know, so that nothing could open the seal.
    """
    content = json.loads(_adapter(SavedPlan).dump_json(plan))
    told: list[Diagnostic] = []
    for host, saved_host in content["hosts"].items():
        body = saved_host["plan"]
        for change in body["changes"]:
            del change["effects"]  # the steps say it all
        secret = sealing.secret_of(desired[host].resources) if host in desired else None
        if secret is None:
            told += _told_secrets(host, plan.hosts[host].plan)
            continue
        inner = json.dumps({name: body.pop(name) for name in body.keys() - _SHOWN}).encode()
        saved_host["sealed"] = sealing.seal(inner, secret, random_bytes(sealing.SALT_BYTES))
    if told:
        raise InputError.of(told)
    body = {"format": FORMAT, "provisioner": __version__, "plan": content}
    return json.dumps({**body, "digest": _digest(body)}, indent=1, sort_keys=True) + "\n"


def opened(saved: SavedHost, desired: Desired) -> SavedHost | None:
    """`saved` with what was sealed; None where `desired` has other secrets by now."""
    if not saved.sealed:
        return saved
    secret = sealing.secret_of(desired.resources)
    inner = None if secret is None else sealing.unseal(saved.sealed, secret)
    if inner is None:
        return None
    host = saved.plan.host
    whole = json.loads(_adapter(SavedPlan).dump_json(SavedPlan({host: replace(saved, sealed="")})))
    whole["hosts"][host]["plan"] |= json.loads(inner)
    plan: SavedPlan = _adapter(SavedPlan).validate_json(json.dumps(whole))
    return plan.hosts[host]


def load(text: str, file: str) -> SavedPlan:
    """Raises `InputError` for a file that is no plan of this version, or was changed."""
    from pydantic import ValidationError

    mark = Mark(file)
    again = "plan again with this version: provisioner plan -o FILE"
    try:
        if "\\u0000" in text:
            raise ValueError("there is a NUL byte in it")
        whole = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a saved plan: {error}", mark=mark, help=again) from error
    if not isinstance(whole, dict) or "digest" not in whole or "plan" not in whole:
        raise InputError("not a saved plan", mark=mark, help=again)
    digest = whole.pop("digest")
    if whole.get("format") != FORMAT or whole.get("provisioner") != __version__:
        raise InputError(
            f"saved by provisioner {str(whole.get('provisioner'))[:40]}, this is {__version__}",
            mark=mark,
            help=again,
        )
    if digest != _digest(whole):
        raise InputError("the saved plan was changed after it was written", mark=mark, help=again)
    try:
        plan: SavedPlan = _adapter(SavedPlan).validate_json(json.dumps(whole["plan"]))
    except ValidationError as error:
        raise InputError(f"not a saved plan: {brief(str(error))}", mark=mark, help=again) from error
    for saved in plan.hosts.values():
        _check(saved.plan, mark, again)
    return plan


def _check(plan: HostPlan, mark: Mark, again: str) -> None:
    """Whether it can be carried out: what is remembered makes sense, and every path that a
    step touches is bound to what it was."""
    try:
        if plan.manifest is not None:
            manifest.check(plan.manifest)
    except ValueError as error:
        raise InputError(
            f"not a saved plan: its manifest: {error}", mark=mark, help=again
        ) from None
    bound = {each.path for each in plan.preconditions}
    for step in plan.steps:
        path = getattr(step, "path", None)
        if path is not None and path not in bound:
            raise InputError(
                f"not a saved plan: it does not say what {path!r} was", mark=mark, help=again
            )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where a name stands twice: which one counts is the
    reader's guess."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _told_secrets(host: str, plan: HostPlan) -> Iterator[Diagnostic]:
    """What of an unsealed plan would tell a secret. New content may be one; values from before
    us travel in the manifest, and some settings hold passwords."""
    advice = (
        f"apply it without a saved plan: provisioner apply --limit {host}; a plan of the others: "
        f"--limit 'all,!{host}'. Where a host's own options hold a secret (!vault, !env, !file, "
        "!command), its plan is sealed and can be saved"
    )
    for address in plan.secrets:
        yield Diagnostic(
            f"{host}: {address} holds a secret, which a saved plan must not carry", help=advice
        )
    resources = (plan.manifest or {}).get("resources", {})
    assert isinstance(resources, dict)  # noqa: S101 - built by planning.manifest
    for address, entry in resources.items():
        kind, _, name = address.partition(":")
        value = entry["before"].get("value") or ""
        if kind == "strict":
            hidden = any(
                sensitive.is_sensitive(line.partition(" ")[0], line) for line in value.splitlines()
            )
        else:
            parameter = name if kind == "parameter" else ""
            hidden = kind in ("parameter", "service") and sensitive.is_sensitive(parameter, value)
        if hidden:
            yield Diagnostic(
                f"{host}: {address} holds a secret today, which a saved plan must not carry: it"
                " would be remembered as what was there before",
                help=advice,
            )


def changes_document(given: Iterable[Change]) -> list[dict[str, Any]]:
    """Changes as a person is shown them, as data."""
    changes: list[dict[str, Any]] = json.loads(
        _adapter(tuple[Change, ...]).dump_json(tuple(given), exclude={"__all__": {"effects"}})
    )
    for change in changes:
        change["activation"] = str(Activation(change["activation"]))
    return changes


def document(plan: HostPlan) -> dict[str, Any]:
    """One host's plan for `--json`: what a person is shown, as data."""
    return {
        "changes": changes_document(plan.changes),
        "unchanged": plan.unchanged,
        "packages": list(plan.packages),
        "known_after_install": list(plan.known_after_install),
        "activation": str(plan.activation),
        "reasons": list(plan.reasons),
        "orphans": [{"address": o.address, "before": o.before} for o in plan.orphans],
        "warnings": list(plan.warnings),
        "errors": [str(error.message) for error in plan.errors],
        "desired": plan.desired_digest,
        "managed_elsewhere": plan.rival,
        "facts": dict(plan.facts),
    }


def error_document(error: HostError) -> dict[str, str]:
    """An error for JSON output."""
    return {"step": error.step, "message": error.message, "help": error.help}
