"""What must be on a host before anything is changed: a certificate, a key, a socket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from provisioner.resources.base import Before, Change, Resource
from provisioner.resources.file import check_path
from provisioner.resources.observed import FileRequest, Observed, PathKind, Request


@dataclass(frozen=True)
class Requirement(Resource):
    """A path that somebody else provides and that we refer to.

    Where it is missing the plan has an error that says `why` it is needed. With `watch`
    its content is something that Postfix keeps in memory: when it changed on disk, the
    plan has a reload.
    """

    kind: ClassVar[str] = "requirement"
    path: str
    why: str
    watch: bool = False

    def __post_init__(self) -> None:
        check_path(self.path)

    @property
    def name(self) -> str:
        return self.path

    @property
    def managed(self) -> bool:
        return False

    def requests(self) -> Iterable[Request]:
        return (FileRequest(self.path),)

    def diff(self, observed: Observed) -> Iterable[Change]:
        if observed.path(self.path).kind is PathKind.MISSING:
            raise ValueError(f"not on this host: {self.why}")
        return ()

    def activated(self, observed: Observed) -> Mapping[str, str]:
        state = observed.path(self.path)
        return {self.path: state.digest} if self.watch and state.digest else {}

    def before(self, observed: Observed) -> Before:
        return Before(present=observed.path(self.path).kind is not PathKind.MISSING)

    def identity(self) -> object:
        return [self.watch]
