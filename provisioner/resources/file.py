"""Files and directories owned whole: content, owner, group, mode, or absence."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import ClassVar

from provisioner.diagnostics import printable
from provisioner.postfix.activation import Activation
from provisioner.resources.base import (
    KEEP,
    Action,
    Attributes,
    Before,
    Change,
    ControlUnit,
    MakeDirectory,
    RemovePath,
    Resource,
    SetAttributes,
    TextDiff,
    WriteFile,
)
from provisioner.resources.observed import FileRequest, Observed, PathKind, PathState, Request
from provisioner.secrets import MASK

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")

#: Somewhat less than Linux takes (PATH_MAX, NAME_MAX), in characters: a staged file has a
#: longer name than its target.
_LONGEST_PATH = 1000
_LONGEST_NAME = 150


class FileState(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    ABSENT = "absent"


@dataclass(frozen=True)
class File(Resource):
    """A whole file, a directory, or their absence.

    `content` is bytes; a text that lacks its final newline gets one. Owner, group and
    mode of None are left as they are (root:root, 0644 or 0755 when new). `secret`
    content is never shown. `activation` is what a change of content asks of Postfix,
    `notify` what it asks of other units.
    """

    kind: ClassVar[str] = "file"
    path: str
    state: FileState = FileState.FILE
    content: bytes = b""
    attributes: Attributes = KEEP
    secret: bool = False
    activation: Activation = Activation.NONE
    notify: tuple[ControlUnit, ...] = ()

    def __post_init__(self) -> None:
        check_path(self.path)
        check_attributes(self.attributes)
        if self.content and not self.content.endswith(b"\n"):
            object.__setattr__(self, "content", self.content + b"\n")

    @property
    def name(self) -> str:
        return self.path

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def requests(self) -> Iterable[Request]:
        wanted = self.state is FileState.FILE and not self.secret
        return (FileRequest(self.path, content=wanted, known=self.digest if wanted else ""),)

    def identity(self) -> object:
        return [self.state.value, self.digest, *self.attributes.as_list()]

    def diff(self, observed: Observed) -> Iterable[Change]:
        state = observed.path(self.path)
        if self.state is FileState.ABSENT:
            return self._removal(state)
        if self.state is FileState.DIRECTORY:
            return self._directory(state)
        if state.kind not in (PathKind.FILE, PathKind.MISSING):
            raise ValueError(f"{self.path} is {noun(state.kind)}, a file is wanted there")
        if state.kind is PathKind.FILE and state.digest == self.digest:
            return attribute_changes(self, self.path, self.attributes, state)
        text_diff = None
        if not self.secret:
            text_diff = unified(self.path, state.content or b"", self.content)
        return (
            Change(
                self.address,
                Action.CREATE if state.kind is PathKind.MISSING else Action.UPDATE,
                before=None if state.kind is PathKind.MISSING else describe(state),
                after=MASK if self.secret else f"{len(self.content)} bytes",
                origin=self.origin,
                notes=attribute_notes(self.attributes, state),
                diff=text_diff,
                effects=(WriteFile(self.path, self.content, self.attributes), *self.notify),
                activation=self.activation,
                reason=f"{self.path} changes" if self.activation else "",
            ),
        )

    def _removal(self, state: PathState) -> Iterable[Change]:
        if state.kind is PathKind.MISSING:
            return ()
        if state.kind is PathKind.DIRECTORY:
            raise ValueError(f"{self.path} is a directory; only files are removed")
        return (
            Change(
                self.address,
                Action.DELETE,
                before=describe(state),
                origin=self.origin,
                effects=(RemovePath(self.path), *self.notify),
                activation=self.activation,
                reason=f"{self.path} is removed" if self.activation else "",
            ),
        )

    def _directory(self, state: PathState) -> Iterable[Change]:
        if state.kind is PathKind.DIRECTORY:
            return attribute_changes(self, self.path, self.attributes, state)
        if state.kind is not PathKind.MISSING:
            raise ValueError(f"{self.path} is {noun(state.kind)}, a directory is wanted there")
        return (
            Change(
                self.address,
                Action.CREATE,
                after="directory",
                origin=self.origin,
                notes=attribute_notes(self.attributes, state),
                effects=(MakeDirectory(self.path, self.attributes),),
            ),
        )

    @property
    def provides(self) -> tuple[str, ...]:
        return () if self.state is FileState.ABSENT else (self.path,)

    @property
    def holds_secret(self) -> bool:
        return self.secret

    def before(self, observed: Observed) -> Before:
        return before_of_path(observed.path(self.path))


# ---- shared with tables, which are files too ----------------------------------------


def check_path(path: str) -> None:
    """Raises ValueError for a path that is not absolute, plain and clean."""
    parts = path.split("/")
    if (
        not path.startswith("/")
        or path.endswith("/")
        or any(p in ("", ".", "..") for p in parts[1:])
    ):
        raise ValueError(f"{path!r} is not a clean absolute path")
    if printable(path) != path or "\t" in path:
        raise ValueError(f"{path!r} has control characters in it")
    if "$" in path:
        raise ValueError(f"{path!r}: to Postfix, a $ in a path begins the name of a parameter")
    if len(path) > _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in parts):
        raise ValueError(f"{path[:60]}… is longer than a path can be")


def check_attributes(attributes: Attributes) -> None:
    """Raises ValueError for what names no user or group."""
    for what, name in (("user", attributes.owner), ("group", attributes.group)):
        if name is not None and not _USER.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a {what}")


def noun(kind: PathKind) -> str:
    return "neither a file nor a directory" if kind is PathKind.OTHER else f"a {kind.value}"


def describe(state: PathState) -> str:
    """A path's state in one line."""
    size = f" {state.size} bytes" if state.kind is PathKind.FILE else ""
    return f"{state.kind.value}{size} {state.owner}:{state.group} {state.mode:04o}"


def attribute_notes(wanted: Attributes, state: PathState) -> tuple[str, ...]:
    """`owner a -> b` and the like, for what differs or is set on something new."""
    rows = (
        ("owner", wanted.owner, state.owner),
        ("group", wanted.group, state.group),
        ("mode", octal(wanted.mode), octal(state.mode)),
    )
    new = state.kind is PathKind.MISSING
    return tuple(
        f"{label} {want}" if new else f"{label} {have} -> {want}"
        for label, want, have in rows
        if want is not None and (new or want != have)
    )


def octal(mode: int | None) -> str | None:
    return None if mode is None else f"{mode:04o}"


def attribute_changes(
    resource: Resource, path: str, wanted: Attributes, state: PathState
) -> Iterable[Change]:
    """The change of owner, group or mode alone, if any is needed."""
    notes = attribute_notes(wanted, state)
    if not notes:
        return ()
    return (
        Change(
            resource.address,
            Action.UPDATE,
            before=describe(state),
            after=", ".join(notes),
            origin=resource.origin,
            effects=(SetAttributes(path, wanted),),
        ),
    )


def before_of_path(state: PathState) -> Before:
    """What to remember of a path; the host keeps the copy under its digest."""
    if state.kind is PathKind.MISSING:
        return Before(present=False)
    return Before(
        present=True,
        digest=state.digest or None,
        owner=state.owner,
        group=state.group,
        mode=state.mode,
    )


def unified(path: str, old: bytes, new: bytes, context: int = 3) -> TextDiff:
    """A unified diff of two texts, control characters made visible."""
    before = old.decode("utf-8", "replace").splitlines()
    after = new.decode("utf-8", "replace").splitlines()
    lines = difflib.unified_diff(before, after, path, path, lineterm="", n=context)
    return TextDiff(tuple(printable(line) for line in lines))
