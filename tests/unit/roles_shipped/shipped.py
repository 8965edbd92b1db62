"""Shipped roles without an inventory: options in, resources out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import ModuleType
from typing import Any

from provisioner.diagnostics import Diagnostic
from provisioner.errors import InputError
from provisioner.resources.base import Resource
from provisioner.resources.restriction import Contribution, compose
from provisioner.roles.interface import HostContext, MailFacts
from provisioner.roles.loading import RoleLibrary, shipped_folder
from provisioner.roles.options import validate

LIBRARY = RoleLibrary()
TODAY = date(2026, 3, 1)


def context(role: str, source: Any, files: Mapping[str, str], **mail: Any) -> HostContext:
    def read(name: str) -> bytes:
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory", name)
        return files[name].encode()

    return HostContext(
        name="mx1",
        groups=(),
        variables={},
        mail=MailFacts(**mail),
        role=role,
        source=source,
        folder=shipped_folder() / role,
        mail_source=mail,
        today=TODAY,
        read=read,
    )


def contributions(
    role: str, source: Any, files: Mapping[str, str] | None = None, **mail: Any
) -> tuple[list[Contribution], list[Diagnostic]]:
    """What the role contributes. Raises `InputError`, ValueError."""
    loaded = LIBRARY.load(role)
    options, wrong = validate(loaded.options, source, role)
    if options is None:
        raise InputError.of(wrong)
    host = context(role, source, files or {}, **mail)
    return list(loaded.resources(options, host)), host.warnings


def resources(
    given: Mapping[str, Any], files: Mapping[str, str] | None = None, **mail: Any
) -> tuple[dict[str, Resource], list[Diagnostic]]:
    """The composed resources of several roles, by address."""
    found: list[Contribution] = []
    warnings: list[Diagnostic] = []
    for role, source in given.items():
        more, said = contributions(role, source, files, **mail)
        found += more
        warnings += said
    return {each.address: each for each in compose(found)}, warnings


def module(role: str) -> ModuleType:
    """The role's own module."""
    import sys

    LIBRARY.load(role)
    return sys.modules[f"provisioner_roles.{role}"]
