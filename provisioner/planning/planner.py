"""From desired and observed state to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from provisioner.diagnostics import Diagnostic, printable
from provisioner.planning import listeners, manifest, orphans, proxied, sense, soundness
from provisioner.planning.plan import (
    ComposedList,
    Control,
    Firewall,
    HostPlan,
    Orphan,
    Precondition,
    Step,
)
from provisioner.planning.steps import StepBuilder
from provisioner.policy.conversation import PolicyTest
from provisioner.postfix import activation, main_cf
from provisioner.postfix.activation import Activation
from provisioner.postfix.version import Version
from provisioner.resources.base import Action, Change, InstallPackages, Resource
from provisioner.resources.observed import Observed, Request
from provisioner.resources.restriction import RestrictionList


@dataclass(frozen=True)
class Desired:
    """One host's desired state: composed resources, in the order they were declared.

    `inventory` says who wants it (`id`, and as information `commit`). `warnings` are
    what its roles found worth saying. `tests` are what its mail policy must do; they say
    nothing about what the host is to be, and `digest` leaves them out.
    """

    host: str
    resources: tuple[Resource, ...]
    inventory: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    tests: tuple[PolicyTest, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Of all that is desired; equal digests mean equal desire."""
        return manifest.digest_of(sorted((r.address, r.identity()) for r in self.resources))

    def requests(self) -> Iterable[Request]:
        for each in self.resources:
            yield from each.requests()


def plan_host(desired: Desired, observed: Observed, *, prune: bool = False) -> HostPlan:
    """The plan for one host. Never raises for what a host holds: see `HostPlan.errors`."""
    changes, errors = _differences(desired.resources, observed)
    packages = tuple(
        name
        for change in changes
        for effect in change.effects
        if isinstance(effect, InstallPackages)
        for name in effect.names
    )
    base = HostPlan(
        host=desired.host,
        desired_digest=desired.digest,
        rival=_rival(desired, observed),
        open_run=observed.open.run if observed.open else "",
        warnings=(*_unfinished(observed), *(_said(each) for each in desired.warnings)),
        postfix_unit=observed.facts.postfix_unit,
        queue_directory=observed.facts.queue_directory,
        daemon_directory=observed.facts.daemon_directory,
        config_directory=observed.facts.config_directory,
        facts={"postfix": observed.facts.postfix_version, "system": observed.facts.system},
        lists=_lists(desired.resources, changes, observed),
    )
    if packages:
        later = tuple(error.message.split(": ", 1)[0] for error in errors)
        return replace(base, changes=tuple(changes), packages=packages, known_after_install=later)
    if errors:
        return replace(base, errors=tuple(errors))
    return _whole_plan(base, desired, observed, changes, prune)


def _whole_plan(
    base: HostPlan, desired: Desired, observed: Observed, changes: list[Change], prune: bool
) -> HostPlan:
    orphaned = orphans.find(desired.resources, observed.manifest)
    declared = tuple(changes)
    if prune:
        removals, errors = _removals(orphaned, desired, changes, observed)
        if errors:
            return replace(base, errors=tuple(errors))
        changes += removals
    steps = _steps(desired, changes, observed)
    built = steps.finish()
    before = (observed.main_text, observed.master_text)
    after = (steps.main_text, steps.master_text)
    faults = soundness.faults(*after, observed)
    faults = faults or sense.faults(declared, desired.resources, after, observed)
    if declared:
        faults = faults or [*proxied.faults(declared, desired.tests, before, after)]
    if faults:
        return replace(base, errors=tuple(faults))
    level, reasons = _activation(changes)
    level, reasons = _through_references(level, reasons, observed, steps.main_text)
    wanted = manifest.activated(steps.main_text, steps.master_text, desired.resources, observed)
    pending = _pending(observed, wanted)
    if pending and pending.activation > level:
        changes.append(pending)
        level, reasons = pending.activation, (pending.reason,)
    kept = {} if prune else orphans.entries(orphaned, observed.manifest)
    remember = manifest.build(
        desired.resources,
        observed,
        keep=kept,
        activated_after=wanted,
        inventory=desired.inventory,
    )
    remembered = manifest.same(observed.manifest, remember) and not observed.unfinished
    if not remembered and not changes:
        changes.append(_adoption(remember, observed.manifest))
    if level is not Activation.NONE and not observed.facts.postfix_running:
        level, reasons = (
            Activation.NONE,
            ("Postfix is not running: it reads everything when it starts",),
        )
    return replace(
        base,
        changes=tuple(changes),
        steps=built,
        activation=level,
        reasons=reasons,
        preconditions=_preconditions(built, observed),
        listeners=listeners.declared(before, after),
        asked=listeners.asked(before, after),
        orphans=() if prune else tuple(orphaned),
        manifest=None if remembered else remember,
        secrets=_secrets(desired.resources, changes, None if remembered else remember),
        unchanged=len({r.address for r in desired.resources} - {c.address for c in changes}),
    )


def _removals(
    orphaned: Sequence[Orphan],
    desired: Desired,
    changes: Sequence[Change],
    observed: Observed,
) -> tuple[list[Change], list[Diagnostic]]:
    """What `--prune` adds: what `strict` removes is not put back, and what must not be missing
    is not taken away."""
    removals, errors = orphans.removal(orphaned, observed)
    taken = {change.address for change in changes}
    needed = {each.address for each in desired.resources if not each.managed}
    taken |= {each.address for each in orphaned if each.absent_before} & needed
    return [change for change in removals if change.address not in taken], errors


def _steps(desired: Desired, changes: Iterable[Change], observed: Observed) -> StepBuilder:
    steps = StepBuilder(observed)
    for change in changes:
        for effect in change.effects:
            steps.add(effect)
    # Files that stand there and become ours, even if nothing changes today: what somebody
    # does to them later must not be all that is left to put back.
    known = manifest.remembered(observed.manifest)
    for each in desired.resources:
        if each.managed and each.kind in ("file", "table") and each.address not in known:
            steps.keep_adopted(each.name)
    return steps


def _unfinished(observed: Observed) -> Iterable[str]:
    found = observed.open
    if found is None:
        return
    if found.trouble:
        yield f"run {found.run} ({found.owner}) is not finished: {found.trouble}"
    elif found.until:
        moment = f"{datetime.fromtimestamp(found.until, UTC):%H:%M:%S} UTC"
        yield (
            f"run {found.run} ({found.owner}) waits for its confirmation until {moment}: "
            "what is shown here may be undone by then"
        )
    else:
        yield f"run {found.run} ({found.owner}) was cut short: apply finishes or undoes it first"


def _said(warning: Diagnostic) -> str:
    where = f" ({warning.mark})" if warning.mark else ""
    return f"{warning.message}{where}{f': {warning.help}' if warning.help else ''}"


def _differences(
    resources: Sequence[Resource], observed: Observed
) -> tuple[list[Change], list[Diagnostic]]:
    changes: list[Change] = []
    errors: list[Diagnostic] = []
    for each in resources:
        try:
            changes += each.diff(observed)
        except ValueError as error:
            errors.append(Diagnostic(f"{each.address}: {error}", each.origin.mark))
    return changes, errors


def _secrets(
    resources: Iterable[Resource], changes: Iterable[Change], after: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """The changes whose steps carry a secret to the host, and what it is to remember of
    one that stands there already."""
    touched = {change.address for change in changes}
    entries = (after or {}).get("resources", {})
    touched |= {address for address, entry in entries.items() if entry["before"].get("value")}
    return tuple(r.address for r in resources if r.holds_secret and r.address in touched)


def _activation(changes: Iterable[Change]) -> tuple[Activation, tuple[str, ...]]:
    """The strongest activation any change asks for, and every reason for that one."""
    asked = list(changes)
    level = max((change.activation for change in asked), default=Activation.NONE)
    if level is Activation.NONE:
        return level, ()
    return level, tuple(
        dict.fromkeys(change.reason for change in asked if change.activation is level)
    )


def _through_references(
    level: Activation, reasons: tuple[str, ...], observed: Observed, after: str | None
) -> tuple[Activation, tuple[str, ...]]:
    """What is needed because a parameter refers to one that changes: a new myhostname moves
    the sockets of `inet_interfaces = $myhostname`."""
    if observed.main_cf is None or after is None:
        return level, reasons
    now = observed.main_cf.values
    then = main_cf.parse(after).values
    if now == then:
        return level, reasons
    version = Version.parse(observed.facts.postfix_version)
    for _, needed, reason in activation.for_settings(now, then, version):
        if needed > level:
            level, reasons = needed, (reason,)
    return level, reasons


def _pending(observed: Observed, wanted: Mapping[str, str]) -> Change | None:
    """The activation that an earlier run, or a person, left undone. What this plan itself
    changes is no part of it. A Postfix that does not run reads everything when it starts."""
    if not observed.facts.postfix_running:
        return None
    if observed.pending:
        word = observed.pending.split()[0]
        level = Activation.RESTART if word == "restart" else Activation.RELOAD
        reason = "an interrupted run changed files that running processes have not read"
        return Change("postfix", Action.ACTIVATE, reason=reason, activation=level)
    told: Mapping[str, str] = (observed.manifest or {}).get("activated", {})
    found = manifest.observed_activated(observed, wanted)
    stale = [name for name, value in found.items() if value and told.get(name, value) != value]
    if not stale:
        return None
    reason = f"{', '.join(stale)} changed since the last activation and were not reloaded by us"
    return Change("postfix", Action.ACTIVATE, reason=reason, activation=Activation.RELOAD)


def _adoption(after: Mapping[str, Any], before: Mapping[str, Any] | None) -> Change:
    known = (before or {}).get("resources", {})
    new = [address for address in after["resources"] if address not in known]
    note = (
        f"{len(new)} resources are already as desired and will be remembered as managed"
        if new
        else "what the host remembers of this inventory is brought up to date"
    )
    return Change("manifest", Action.ADOPT, notes=(note,))


def _rival(desired: Desired, observed: Observed) -> str:
    """The other inventory that manages this host, if there is one."""
    told = (observed.manifest or {}).get("inventory", {})
    if not told.get("id") or told.get("id") == desired.inventory.get("id"):
        return ""
    return printable(str(told.get("name") or told["id"]))


def _lists(
    resources: Iterable[Resource], changes: Iterable[Change], observed: Observed
) -> tuple[ComposedList, ...]:
    """The restriction lists that this plan changes, as they will stand."""
    touched = {change.address for change in changes}
    return tuple(
        ComposedList(each.name, each.resolved_entries(observed))
        for each in resources
        if isinstance(each, RestrictionList) and each.address in touched and each.entries
    )


def _preconditions(steps: Iterable[Step], observed: Observed) -> tuple[Precondition, ...]:
    paths = dict.fromkeys(step.path for step in steps if not isinstance(step, Control | Firewall))
    return tuple(Precondition(path, observed.paths[path].signature) for path in paths)
