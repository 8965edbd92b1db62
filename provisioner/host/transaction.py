"""One host's transaction: the program that carries a plan's steps out, and its result.

Order on the host: lock, recovery of what an earlier run left, the guard, preconditions, stage,
compile, rehearse, back up, arm, preconditions again, rename, activate, health. Everything the
host needs is received before the first rename; whatever fails after it is undone on the host,
by the transaction itself or by its guard. `confirm_program` then makes it last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from provisioner.errors import Conflict, Failed, HostError, Locked, RolledBack, Stale
from provisioner.host import frames, journal, rehearsal
from provisioner.host.program import Program
from provisioner.planning.plan import (
    Compile,
    Control,
    Drop,
    Firewall,
    HostPlan,
    Keep,
    MakeDirectory,
    Precondition,
    Remove,
    Restore,
    SetAttributes,
    Step,
    Write,
)
from provisioner.policy.conversation import PolicyTest
from provisioner.postfix.activation import Activation
from provisioner.postfix.splice import Splice
from provisioner.resources.base import Attributes

NONE = "-"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who runs a transaction: the run's ID, and a line others see while it holds the lock.

    `window` is for how many seconds a host waits for the confirmation before it undoes.
    """

    run: str
    line: str
    window: int = 60


def apply_program(
    plan: HostPlan,
    owner: Owner,
    tests: Sequence[PolicyTest] = (),
    *,
    live_policy: bool = False,
) -> Program:
    """The program that carries out `plan`, and nothing else; a policy test that fails stops
    it before the first rename."""
    program = _begun(plan, owner)
    _stage_all(program, plan.steps)
    if plan.manifest is not None:
        _receive_manifest(program, plan)
    program.call("sync_staged")
    backends = [each for each in plan.steps if _is_backend_start(each, plan)]
    rehearsal.add_staged(program, plan, tests, backends=bool(backends), live_policy=live_policy)
    if plan.activation is not Activation.NONE:
        _call_health(program, plan, "health_before")
    signatures = {each.path: each.signature for each in plan.preconditions}
    _sum_up(program, plan.steps)
    for step in plan.steps:
        _back_up(program, step, plan, signatures)
    # What Postfix asks (policy services, SASL) runs before Postfix starts to ask, and with
    # its new files: those are renamed first.
    first = [each for each in plan.steps if backends and _is_foreign(each, plan)]
    program.call("rename_list", "first")
    for step in first:
        _will_rename(program, step)
    program.call("rename_list", "then")
    for step in plan.steps:
        if step not in first:
            _will_rename(program, step)
    program.call("prepared")
    program.call("arm_guard")
    # Somebody may have edited while we staged.
    _expect(
        program,
        [e for e in plan.preconditions if not _is_done_early(_step_at(plan, e.path), plan)],
    )
    for step in plan.steps:
        if isinstance(step, SetAttributes) and not _is_done_early(step, plan):
            program.call("attributes", step.path, *_attributes(step.attributes))
    if backends:
        program.call("rename_all", "first")
        if plan.queue_directory:
            program.call("make_queue", plan.queue_directory)
        for step in backends:
            _after(program, step)
    _rename_and_activate(program, plan)
    for step in plan.steps:
        if step not in backends:
            _after(program, step)
    _call_with_tables(program, "remember_compiled", plan.steps)
    program.call("finish")
    return program


def _secure(program: Program, plan: HostPlan) -> None:
    """A directory gets its owner and mode before root writes to it."""
    for step in plan.steps:
        if isinstance(step, SetAttributes) and _is_done_early(step, plan):
            program.call("secure", step.path, *_attributes(step.attributes))


def _is_done_early(step: Step | None, plan: HostPlan) -> bool:
    """Whether `step` makes, or mends, a directory that others of the plan write to. One that
    goes (back) to another user is root's for as long as root writes to it."""
    if isinstance(step, SetAttributes):
        used = any(getattr(e, "path", "").startswith(f"{step.path}/") for e in plan.steps)
        return used and step.attributes.owner in (None, "root")
    return isinstance(step, MakeDirectory)


def _begun(plan: HostPlan, owner: Owner) -> Program:
    """What every transaction begins with, up to where its files are staged."""
    program = Program(*journal.UNDO, "apply.sh", "rehearse.sh", "copy.sh")
    program.call("begin", owner.run, owner.line)
    program.send(
        "open_transaction",
        journal.guard_script().encode(),
        _word(plan.activation),
        plan.postfix_unit,
        plan.queue_directory,
        owner.window,
    )
    _expect(program, plan.preconditions)
    _secure(program, plan)
    return program


def _expect(program: Program, conditions: Sequence[Precondition]) -> None:
    if conditions:
        signatures = "\n".join(each.signature for each in conditions)
        program.call("expect", signatures, *(each.path for each in conditions))


def _rename_and_activate(program: Program, plan: HostPlan) -> None:
    """In one breath: old processes see new files for as short a time as can be."""
    program.call("rename_all", "then")
    program.call("swapped")
    if plan.activation is not Activation.NONE:
        program.call("activate")
    paths = [step.path for step in plan.steps if not isinstance(step, Control | Firewall)]
    if paths:
        program.call("sync_directories", *paths)
    if plan.activation is not Activation.NONE:
        for endpoint in plan.asked:
            program.call("health_endpoint", endpoint, plan.queue_directory)
        _call_health(program, plan, "health_after")


def rehearsal_program(
    plan: HostPlan,
    owner: Owner,
    tests: Sequence[PolicyTest] = (),
    *,
    live_policy: bool = False,
) -> Program:
    """The program that proves `plan` without applying it: what it stages is thrown away."""
    program = _begun(plan, owner)
    steps = [
        replace(step, keep=False) if isinstance(step, Write | Remove) else step
        for step in plan.steps
        if not isinstance(step, Keep)
    ]
    _stage_all(program, steps)
    program.call("sync_staged")
    backends = any(_is_backend_start(step, plan) for step in plan.steps)
    rehearsal.add_staged(program, plan, tests, backends=backends, live_policy=live_policy)
    program.call("stop", "rehearsed", "nothing was changed")
    return program


def _call_health(program: Program, plan: HostPlan, function: str) -> None:
    """Those first that stood before: clients may be waiting there."""
    for each in sorted(plan.listeners, key=lambda listener: listener.new):
        was = "new" if each.new else "same"
        program.call(function, each.name, each.port, each.kind, was)


def _is_backend_start(step: Step, plan: HostPlan) -> bool:
    return (
        isinstance(step, Control)
        and step.unit != plan.postfix_unit
        and step.verb not in ("stop", "disable")
    )


def _is_foreign(step: Step, plan: HostPlan) -> bool:
    """A file that is not of Postfix: no table, and outside its directory."""
    return (
        isinstance(step, Write | Restore)
        and not step.compile
        and not step.path.startswith(f"{plan.config_directory}/")
    )


def _word(activation: Activation) -> str:
    return activation.name.lower()


def _step_at(plan: HostPlan, path: str) -> Step | None:
    return next((s for s in plan.steps if getattr(s, "path", None) == path), None)


def _stage_all(program: Program, steps: Sequence[Step]) -> None:
    for step in steps:
        _stage(program, step)
    whole = {step.path: step.digest for step in steps if isinstance(step, Write | Restore)}
    if whole:
        program.call("stage_end", "\n".join(whole.values()), *whole)
    _call_with_tables(program, "stage_compile", steps)


def _call_with_tables(program: Program, function: str, steps: Sequence[Step]) -> None:
    """One call with path and type of every table that `steps` compile, if there is any."""
    words: list[str] = []
    for step in steps:
        match step:
            case Compile(path, type_):
                words += [path, type_]
            case Write(path=path, compile=type_) | Restore(path=path, compile=type_) if type_:
                words += [path, type_]
            case _:
                pass
    if words:
        program.call(function, *words)


def _stage(program: Program, step: Step) -> None:
    match step:
        case MakeDirectory(path, attributes):
            program.call("make_directory", path, *_attributes(attributes))
        case Write(path, _, content, splices, attributes, _, keep):
            if keep:
                program.call("keep", path)
            program.call("stage_begin", path)
            program.call("stage_attributes", *_attributes(attributes))
            if content is not None:
                program.send("stage_take", content)
            else:
                _stage_splices(program, splices)
        case Restore(path, digest, attributes):
            program.call("stage_begin", path)
            program.call("stage_kept_copy", digest)
            program.call("stage_attributes", *_attributes(attributes))
        case Keep(path):
            program.call("keep", path)
        case Remove(path, keep, _):
            if keep:
                program.call("keep", path)
        case _:
            pass


def _stage_splices(program: Program, splices: tuple[Splice, ...]) -> None:
    position = 0
    for splice in splices:
        if splice.start > position:
            program.call("stage_keep", position, splice.start - position)
        if splice.replacement:
            program.send("stage_take", splice.replacement)
        position = splice.end
    program.call("stage_rest", position)


def _sum_up(program: Program, steps: Sequence[Step]) -> None:
    words: list[str] = []
    for step in steps:
        match step:
            case Write(path=path, compile=type_) | Restore(path=path, compile=type_):
                words += [path, type_ or NONE]
            case Remove(path=path, type=type_):
                words += [path, type_ or NONE]
            case Compile(path, type_) | Drop(path, type_):
                words += [path, type_]
            case _:
                pass
    if words:
        program.call("sum_up", *words)


def _back_up(program: Program, step: Step, plan: HostPlan, signatures: Mapping[str, str]) -> None:
    if isinstance(step, Control):
        program.call("backup_unit", step.verb, step.unit)
    if isinstance(step, Control | Firewall | Keep):
        return
    type_ = NONE
    match step:
        case Write(path, digest, compile=compile_) | Restore(path, digest, compile=compile_):
            type_ = compile_ or NONE
            program.call("backup", path, digest, type_)
        case Compile(path, type_):
            program.call("backup", path, "same", type_)
        case Remove(path, _, compiled):
            type_ = compiled or NONE
            program.call("backup", path, "missing", type_)
        case Drop(path, type_):
            program.call("backup", path, "dropped", type_)
        case SetAttributes(path):
            if not _is_done_early(step, plan):
                program.call("backup_attributes", path)
        case MakeDirectory(path):
            pass
    program.call("touches", path, type_, signatures[path])


def _will_rename(program: Program, step: Step) -> None:
    match step:
        case Write(path=path, compile=type_) | Restore(path=path, compile=type_):
            program.call("will_rename", path, type_ or NONE)
        case Compile(path, type_):
            program.call("will_compile", path, type_)
        case Remove(path, _, type_):
            program.call("will_remove", path, type_ or NONE)
        case Drop(path, type_):
            program.call("will_drop", path, type_)
        case _:
            pass


def _after(program: Program, step: Step) -> None:
    match step:
        case Control(unit, verb):
            program.call("control", verb, unit)
        case Firewall(verb, rule, part):
            filter_, *about = rule.split(" ")
            program.call("firewall", verb, filter_, part, *about)
        case _:
            pass


def _attributes(attributes: Attributes) -> tuple[str, str, str]:
    # Five digits: with fewer, chmod keeps the set-id bits of a directory.
    mode = NONE if attributes.mode is None else f"{attributes.mode:05o}"
    return attributes.owner or NONE, attributes.group or NONE, mode


def _receive_manifest(program: Program, plan: HostPlan) -> None:
    manifest = plan.manifest or {}
    text = json.dumps(manifest, sort_keys=True, indent=1) + "\n"
    program.receive("manifest.json", text.encode())
    resources = manifest["resources"]
    assert isinstance(resources, dict)  # noqa: S101 - built by planning.manifest
    managed = [
        address.partition(":")[2]
        for address in resources
        if address.startswith(("file:", "table:"))
    ]
    program.receive("paths", "".join(f"{path}\n" for path in managed).encode())
    units = "".join(f"{a[5:]}\n" for a in resources if a.startswith("unit:"))
    program.receive("units", units.encode())


_ERRORS: dict[str, type[HostError]] = {
    "stale": Stale,
    "locked": Locked,
    "conflict": Conflict,
    "refused": Failed,
    "rolled_back": RolledBack,
}
_HELP = {
    "stale": "plan again: the host moved on",
    "refused": "the rehearsal found this before anything was touched; nothing was changed",
    "locked": "wait for the other run, or see whether its process is still alive",
}


def check_result(host: str, answer: bytes, nonce: str, step: str = "apply") -> None:
    """Return when the host says it is done. Raises `Stale`, `Locked`, `Failed` with its words."""
    for frame in frames.split(answer, nonce):
        if frame.kind != "result" or len(frame.words) < 2:
            continue
        outcome = frame.words[1]
        if outcome in ("ok", "rehearsed"):
            return
        error = _ERRORS.get(outcome, Failed)
        lines = (" ".join(line.split()) for line in frame.text().splitlines())
        message = "; ".join(line for line in lines if line) or outcome
        raise error(host, step, message[:2000], help=_HELP.get(outcome, ""))
    raise Failed(
        host,
        step,
        "the host did not say how it ended",
        help=journal.later(host),
    )


def packages_program(names: tuple[str, ...], owner: Owner) -> Program:
    """The program of the package phase; the caller appends a probe to it."""
    program = Program(*journal.UNDO, "apply.sh", "probe.sh")
    program.call("begin", owner.run, owner.line)
    program.call("install_packages", *names)
    return program


def confirm_program(owner: Owner) -> Program:
    """Confirms the run and tells how it ended; the caller appends a probe to it."""
    program = Program(*journal.UNDO, "probe.sh")
    program.call("confirm", owner.run)
    return program
