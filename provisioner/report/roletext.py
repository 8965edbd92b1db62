"""Roles as text: the list of them, and one with its options and defaults."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from datetime import date
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from provisioner.roles.descriptions import described
from provisioner.roles.loading import Role
from provisioner.roles.options import written_fields
from provisioner.secrets import Secret

WIDTH = 88

_NAMES: dict[Any, str] = {
    str: "text",
    bool: "true | false",
    int: "number",
    float: "number",
    date: "date",
    SecretStr: "secret text",
    Secret: "secret text",
}


def listing(roles: Sequence[Role]) -> str:
    """One line a role."""
    width = max((len(role.name) for role in roles), default=0)
    return "\n".join(f"{role.name:<{width}}  {role.summary}" for role in roles)


def describe(role: Role) -> str:
    """The role's purpose and every option with its type, default and meaning."""
    lines = [f"{role.name}: {role.summary}", f"from {role.file}", ""]
    about = " ".join((role.options.__doc__ or "").split())
    lines += [*textwrap.wrap(about, WIDTH), "", "Options:"]
    lines += _options(described(role.options), 2)
    return "\n".join(lines)


def _options(model: type[BaseModel], indent: int) -> Iterator[str]:
    pad = " " * indent
    for name, field in written_fields(model).items():
        yield f"{pad}{name}: {type_name(field.annotation)}{_default(field)}"
        about = " ".join((field.description or "").split())
        yield from textwrap.wrap(
            about, WIDTH, initial_indent=pad + "    ", subsequent_indent=pad + "    "
        )
        for nested in nested_models(field.annotation):
            yield from _options(nested, indent + 6)


def type_name(annotation: Any) -> str:
    """A type in the words of a YAML author."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " | ".join(str(member.value) for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(arguments[0])  # what is checked besides goes without saying
    if origin is list:
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return f"mapping of {type_name(arguments[0])} to {type_name(arguments[1])}"
    if arguments and origin is not None:
        parts = [_part(each) for each in arguments if each is not type(None)]
        return " | ".join(dict.fromkeys(parts))
    return _NAMES.get(annotation, str(annotation))


def _part(argument: Any) -> str:
    return argument if isinstance(argument, str) else type_name(argument)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return " (required)"
    value = field.default
    if value is PydanticUndefined or value is None or isinstance(value, BaseModel):
        return ""
    if isinstance(value, Enum):
        value = value.value
    return f" (default {json.dumps(value)})"


def nested_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The option models inside a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from nested_models(argument)
