"""Resources that hold a secret of their host are never shown, whoever wrote the role.

A role may compute with an opened secret as with any text. What it yields is searched here
for the secrets its host's options gave; what holds one is hidden as a whole, old value
included: that is likely to be the secret of yesterday.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from provisioner.diagnostics import Diagnostic
from provisioner.resources.base import Resource
from provisioner.resources.file import File
from provisioner.resources.parameter import Parameter
from provisioner.resources.restriction import RestrictionList
from provisioner.resources.service import ARGUMENTS, MasterService
from provisioner.resources.table import Table
from provisioner.secrets import MASK, pattern_of

_ALL = r"(?s).+"


def hide(resources: Iterable[Resource], secrets: Iterable[str]) -> list[Resource]:
    """`resources`, those that hold one of `secrets` marked so that they do not show it."""
    pattern = pattern_of(secrets)
    return [_hidden(each, pattern) if pattern else each for each in resources]


def hide_texts(found: Iterable[Diagnostic], secrets: Iterable[str]) -> list[Diagnostic]:
    """What roles and options complain of, the secrets in it masked."""
    pattern = pattern_of(secrets)
    if pattern is None:
        return list(found)
    return [
        replace(each, message=pattern.sub(MASK, each.message), help=pattern.sub(MASK, each.help))
        for each in found
    ]


def _hidden(resource: Resource, pattern: re.Pattern[str]) -> Resource:
    if isinstance(resource, RestrictionList):
        # Of a list only the secret is hidden: its order is what people look at.
        if resource.value is not None and pattern.search(resource.value):
            return replace(resource, hidden=(*resource.hidden, pattern.pattern))
    elif isinstance(resource, Parameter):
        if resource.value is not None and pattern.search(resource.value):
            return replace(resource, hidden=(_ALL,))
    elif isinstance(resource, (File, Table)):
        if pattern.search(resource.content.decode("utf-8", "replace")):
            return replace(resource, secret=True)
    elif isinstance(resource, MasterService) and resource.service is not None:
        service = resource.service
        names = [name for name, value in service.options if pattern.search(value)]
        if any(pattern.search(each) for each in service.arguments):
            names.append(ARGUMENTS)
        return replace(resource, hidden=(*resource.hidden, *names))
    return resource
