"""Going back: from the records of generations to an ordinary plan.

What is put back is what stood there before the oldest of them; what has to stand there now
is what the newest of them left. A path that somebody changed since is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from provisioner.diagnostics import Diagnostic
from provisioner.planning import listeners
from provisioner.planning.generations import COPIES, Generation, Touched
from provisioner.planning.plan import (
    Control,
    Firewall,
    HostPlan,
    MakeDirectory,
    Precondition,
    Remove,
    Restore,
    SetAttributes,
    Step,
)
from provisioner.postfix import main_cf, sensitive, tables
from provisioner.postfix.activation import Activation
from provisioner.resources.base import Action, Attributes, Change, Origin
from provisioner.resources.file import describe
from provisioner.resources.observed import FileRequest, Observed, PathKind, PathState

_FORGET: dict[str, object] = {"version": 1, "inventory": {}, "resources": {}, "activated": {}}

_KINDS = {
    "start": "running",
    "stop": "running",
    "enable": "enabled",
    "disable": "enabled",
}


def targets(undone: Sequence[Generation]) -> dict[str, PathState]:
    """What each path is to be: as it was before the oldest of `undone` (newest first)."""
    found: dict[str, PathState] = {}
    for generation in undone:
        found.update({each.path: each.before for each in generation.touched})
    return found


def expected(undone: Sequence[Generation]) -> dict[str, PathState]:
    """What each path has to be now: as the newest of `undone` that touched it left it."""
    found: dict[str, PathState] = {}
    for generation in undone:
        for each in generation.touched:
            found.setdefault(each.path, each.after)
    return found


def requests(undone: Sequence[Generation]) -> Iterator[FileRequest]:
    """What planning has to know: each path, and the copy that would be put back."""
    for path, state in targets(undone).items():
        yield FileRequest(path)
        if state.kind is PathKind.FILE:
            of_postfix = path.rpartition("/")[2] in ("main.cf", "master.cf")
            yield FileRequest(f"{COPIES}/{state.digest}", content=of_postfix)


def plan_rollback(host: str, undone: Sequence[Generation], observed: Observed) -> HostPlan:
    """The plan that takes back `undone` (newest first). See `HostPlan.errors` for what is in
    the way."""
    wanted = targets(undone)
    errors = [*_conflicts(undone, observed), *_lost(wanted, observed)]
    facts = observed.facts
    base = HostPlan(
        host=host,
        postfix_unit=facts.postfix_unit,
        queue_directory=facts.queue_directory,
        daemon_directory=facts.daemon_directory,
        config_directory=facts.config_directory,
        facts={"postfix": facts.postfix_version, "system": facts.system},
        errors=tuple(errors),
    )
    if errors:
        return base
    steps = tuple(_steps(undone, wanted, observed))
    level = max((each.activation for each in undone), default=Activation.NONE)
    before = (observed.main_text, observed.master_text)
    main = _text(observed, wanted, observed.main_cf_path, observed.main_text)
    master = _text(observed, wanted, observed.master_cf_path, observed.master_text)
    paths = [step.path for step in steps if not isinstance(step, Control | Firewall)]
    return replace(
        base,
        changes=(
            *_parameters(observed, main, undone),
            *_changes(steps, wanted, observed, undone),
        ),
        steps=steps,
        activation=level if facts.postfix_running else Activation.NONE,
        reasons=tuple(
            f"run {each.run} needed it, too" for each in undone if each.activation is level
        ),
        preconditions=tuple(Precondition(path, observed.paths[path].signature) for path in paths),
        manifest=undone[-1].manifest or _FORGET,
        warnings=("the inventory still wants what is taken back: the next apply does it again",),
        listeners=listeners.declared(before, (main, master)),
        asked=listeners.asked(before, (main, master)),
    )


def _conflicts(undone: Sequence[Generation], observed: Observed) -> Iterator[Diagnostic]:
    for path, state in expected(undone).items():
        if observed.paths[path].signature != state.signature:
            yield Diagnostic(
                f"{path} was changed since run {_last(undone, path)}: it is not what that left",
                help="put your change into the inventory and apply, or make it again afterwards: "
                "move the file away, or back to what it was",
            )


def _last(undone: Sequence[Generation], path: str) -> str:
    return next(
        each.run for each in undone if any(touched.path == path for touched in each.touched)
    )


def _lost(wanted: Mapping[str, PathState], observed: Observed) -> Iterator[Diagnostic]:
    for path, state in wanted.items():
        if state.kind is PathKind.FILE:
            copy = observed.paths[f"{COPIES}/{state.digest}"]
            if copy.digest != state.digest and observed.paths[path].digest != state.digest:
                yield Diagnostic(f"the copy of {path} from before is gone from this host")


def _steps(
    undone: Sequence[Generation], wanted: Mapping[str, PathState], observed: Observed
) -> Iterator[Step]:
    """In the order of `planning.steps`: directories, files, master.cf, main.cf, removals,
    attributes, units."""
    types = {each.path: each.type for each in _touched(undone) if each.type}
    made: list[Step] = []
    files: list[Restore] = []
    removed: list[Step] = []
    attributes: list[Step] = []
    for path in sorted(wanted):
        then, now = wanted[path], observed.paths[path]
        about = Attributes(then.owner or None, then.group or None, then.mode)
        if then.signature == now.signature:
            continue
        if then.kind is PathKind.MISSING:
            removed.insert(0, Remove(path, type=_compiled(types.get(path, ""))))
        elif then.kind is now.kind and then.digest == now.digest:
            attributes.append(SetAttributes(path, about))
        elif then.kind is PathKind.DIRECTORY:
            made.append(MakeDirectory(path, about))
        else:
            type_ = _compiled(types.get(path, ""))
            files.append(Restore(path, then.digest, about, type_))
    last = (observed.master_cf_path, observed.main_cf_path)
    files.sort(key=lambda step: last.index(step.path) + 1 if step.path in last else 0)
    yield from (*made, *files, *removed, *attributes, *_units(undone))
    for generation in undone:
        yield from (Firewall(*each) for each in reversed(generation.ports))


def _touched(undone: Sequence[Generation]) -> Iterator[Touched]:
    for generation in undone:
        yield from generation.touched


def _compiled(type_: str) -> str:
    return type_ if type_.removeprefix("alias-") in tables.COMPILED else ""


def _units(undone: Sequence[Generation]) -> Iterable[Control]:
    """One verb of each sort a unit: the one that goes back furthest."""
    last: dict[tuple[str, str], Control] = {}
    for generation in undone:
        for unit, verb in reversed(generation.units):
            last[unit, _KINDS.get(verb, "told")] = Control(unit, verb)
    return last.values()


def _text(
    observed: Observed, wanted: Mapping[str, PathState], path: str, now: str | None
) -> str | None:
    """The text that will stand at `path`."""
    then = wanted.get(path)
    if then is None or then.kind is not PathKind.FILE:
        return now
    content = observed.paths[f"{COPIES}/{then.digest}"].content
    return now if content is None else content.decode("utf-8", "surrogateescape")


def _origin(undone: Sequence[Generation]) -> Origin:
    return Origin("", f"as before run {undone[-1].run}")


def _parameters(
    observed: Observed, then: str | None, undone: Sequence[Generation]
) -> Iterator[Change]:
    """main.cf is shown by what it says, not as a file."""
    if observed.main_cf is None or then is None:
        return
    now = observed.main_cf.values
    back = main_cf.parse(then).values
    for name in dict.fromkeys((*back, *now)):
        old, new = now.get(name), back.get(name)
        if old != new:
            yield Change(
                f"parameter:{name}",
                _action(old is not None, new is not None),
                before=None if old is None else sensitive.mask(name, old),
                after=None if new is None else sensitive.mask(name, new),
                origin=_origin(undone),
            )


def _action(now: bool, then: bool) -> Action:
    if not now:
        return Action.CREATE
    return Action.UPDATE if then else Action.DELETE


def _changes(
    steps: Iterable[Step],
    wanted: Mapping[str, PathState],
    observed: Observed,
    undone: Sequence[Generation],
) -> Iterator[Change]:
    origin = _origin(undone)
    for step in steps:
        if isinstance(step, Control):
            yield Change(f"unit:{step.unit}", Action(_verb(step.verb)), origin=origin)
        elif isinstance(step, Firewall):
            verb = Action.CREATE if step.verb == "open" else Action.DELETE
            yield Change(f"firewall:{step.rule.split()[1]}", verb, origin=origin)
        elif step.path != observed.main_cf_path:
            then, now = wanted[step.path], observed.paths[step.path]
            present = (now.kind is not PathKind.MISSING, then.kind is not PathKind.MISSING)
            yield Change(
                f"file:{step.path}",
                _action(*present),
                before=describe(now) if present[0] else None,
                after=describe(then) if present[1] else None,
                origin=origin,
            )


def _verb(verb: str) -> str:
    return verb if verb in (each.value for each in Action) else Action.UPDATE.value
