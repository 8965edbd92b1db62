"""Folding effects into steps: many edits of one file become one write of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from provisioner.planning import manifest
from provisioner.planning.plan import (
    Compile,
    Control,
    Drop,
    Firewall,
    Keep,
    MakeDirectory,
    Remove,
    Restore,
    SetAttributes,
    Step,
    Write,
)
from provisioner.postfix import main_cf, master_cf, splice
from provisioner.resources import base
from provisioner.resources.observed import Observed, PathKind


@dataclass
class StepBuilder:
    """Takes effects in any order; `finish` returns steps in the order of execution.

    Order: copies to keep, directories, tables and files, master.cf, main.cf (which refers to all of
    them), removals, attributes, units, ports.
    """

    observed: Observed
    _parameters: dict[str, main_cf.Value | None] = field(default_factory=dict)
    _services: dict[master_cf.Key, master_cf.Service | None] = field(default_factory=dict)
    _directories: list[MakeDirectory] = field(default_factory=list)
    _writes: dict[str, Write | Restore] = field(default_factory=dict)
    _compiles: dict[str, str] = field(default_factory=dict)
    _drops: list[Drop] = field(default_factory=list)
    _keeps: list[Keep] = field(default_factory=list)
    _removals: list[Remove] = field(default_factory=list)
    _attributes: list[Step] = field(default_factory=list)
    _units: list[Control] = field(default_factory=list)
    _ports: list[Firewall] = field(default_factory=list)
    main_text: str | None = None
    master_text: str | None = None

    def add(self, effect: base.Effect) -> None:
        match effect:
            case base.SetParameter(name, None):
                self._parameters[name] = None
            case base.SetParameter(name, str(value), fold, written):
                self._parameters[name] = main_cf.Value(value, fold, written)
            case base.SetService(key, service):
                self._services[key] = service
            case base.WriteFile(path, content, attributes):
                digest = hashlib.sha256(content).hexdigest()
                self._writes[path] = Write(
                    path, digest, content, attributes=attributes, keep=self._is_original(path)
                )
            case base.RestorePath(path, digest, attributes):
                self._writes[path] = Restore(path, digest, attributes)
            case base.CompileTable(path, type_):
                self._compiles[path] = type_
            case base.DropCompiled(path, type_):
                self._drops.append(Drop(path, type_))
            case base.RemovePath(path, type_):
                self._removals.append(Remove(path, self._is_original(path), type_))
            case base.MakeDirectory(path, attributes):
                self._directories.append(MakeDirectory(path, attributes))
            case base.SetAttributes(path, attributes):
                self._attributes.append(SetAttributes(path, attributes))
            case base.ControlUnit(unit, verb):
                self._control(Control(self._real_unit(unit, verb), verb))
            case base.OpenPort(rule, parts, close):
                verb = "close" if close else "open"
                self._ports += [Firewall(verb, rule, part) for part in parts]
            case base.InstallPackages():
                pass  # a phase of its own, before any step

    def keep_adopted(self, path: str) -> None:
        """Remember what stands at `path` although nothing there changes today."""
        touched = {*self._writes, *(removal.path for removal in self._removals)}
        if path not in touched and self._is_original(path):
            self._keeps.append(Keep(path))

    def finish(self) -> tuple[Step, ...]:
        writes: list[Step] = []
        for path, write in self._writes.items():
            type_ = self._compiles.pop(path, "")
            writes.append(_compiled(write, type_))
        writes += [Compile(path, type_) for path, type_ in self._compiles.items()]
        directories = sorted(self._directories, key=lambda step: step.path)  # outermost first
        return (
            *self._keeps,
            *directories,
            *writes,
            *self._edit_master(),
            *self._edit_main(),
            *self._drops,
            # what stands in a directory before the directory
            *sorted(self._removals, key=lambda step: step.path, reverse=True),
            *self._attributes,
            *self._units,
            *self._ports,
        )

    def _control(self, wanted: Control) -> None:
        """Each verb once; what is started or stopped need not be told of its new files."""
        mine = [each.verb for each in self._units if each.unit == wanted.unit]
        told = ("restart", "reload")
        if wanted.verb in mine or (wanted.verb in told and {"start", "stop", *told} & {*mine}):
            return
        if wanted.verb in ("start", "stop"):
            self._units = [e for e in self._units if e.unit != wanted.unit or e.verb not in told]
        self._units.append(wanted)

    def _edit_main(self) -> list[Step]:
        text = self.observed.main_text
        if text is None:
            return []
        edit = main_cf.edit(text, self._parameters)
        self.main_text = edit.text
        return _spliced(self.observed.main_cf_path, edit)

    def _edit_master(self) -> list[Step]:
        text = self.observed.master_text
        if text is None:
            return []
        edit = master_cf.edit(text, self._services)
        self.master_text = edit.text
        return _spliced(self.observed.master_cf_path, edit)

    def _is_original(self, path: str) -> bool:
        """Whether what stands at `path` is from before us, and so worth a kept copy."""
        state = self.observed.paths[path]
        if state.kind is not PathKind.FILE:
            return False
        for address, before in manifest.remembered(self.observed.manifest).items():
            if address.partition(":")[2] == path and address.startswith(("file:", "table:")):
                return before.digest == state.digest
        return True

    def _real_unit(self, unit: str, verb: str) -> str:
        """Where a distribution wraps the mail system's unit, the wrapped one is started and
        stopped, but it is the wrapper that comes up at boot."""
        if unit != "postfix":
            return unit
        real = self.observed.facts.postfix_unit
        return real.replace("@-", "") if verb in ("enable", "disable") else real


def _spliced(path: str, edit: splice.Edit) -> list[Step]:
    if not edit.changed:
        return []
    digest = hashlib.sha256(splice.encode(edit.text)).hexdigest()
    return [Write(path, digest, splices=edit.splices)]


def _compiled(write: Write | Restore, type_: str) -> Step:
    return replace(write, compile=type_)
