"""From merged YAML to a role's validated options; every error at its place."""

from __future__ import annotations

import datetime
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from provisioner.diagnostics import Diagnostic, nearest
from provisioner.inventory.merge import DIRECTIVES
from provisioner.inventory.values import OddNumber, kind_of
from provisioner.marks import Map, Mark, find_mark
from provisioner.roles.interface import RoleOptions
from provisioner.secrets import remember

Model = TypeVar("Model", bound=RoleOptions)


def validate(model: type[Model], source: Any, label: str) -> tuple[Model | None, list[Diagnostic]]:
    """The options, or what is wrong with them. `label` begins each message (the variable)."""
    if source is None:
        source = Map()
    if not isinstance(source, Mapping):
        found = Diagnostic(
            f"{label} must be a mapping of options, not {kind_of(source)}",
            find_mark(source, ()),
            _other_kind(source, {"a mapping"}),
        )
        return None, [found]
    _remember_secrets(model, source)
    try:
        options = model.model_validate(source)
        odd = list(_odd_numbers(source, (label,)))
        return (None, odd) if odd else (options, [])
    except ValidationError as error:
        return None, _diagnostics(model, source, label, error.errors())


#: pydantic's kinds of type errors, in the words of a YAML author.
_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _diagnostics(
    model: type[BaseModel], source: Any, label: str, errors: Iterable[Any]
) -> list[Diagnostic]:
    """One finding a place: pydantic reports every member of a union that did not fit."""
    places: dict[tuple[Any, ...], list[Any]] = {}
    for error in errors:
        path = _real_path(source, error["loc"], missing=error["type"] == "missing")
        places.setdefault(path, []).append(error)
    for path, found in places.items():
        # Where a value fits one member of a union, what that one says of it is the point.
        places[path] = [e for e in found if e["type"] == "value_error"] or found
    for path in list(places):
        deeper = any(other[: len(path)] == path and len(other) > len(path) for other in places)
        if deeper and all(e["type"] in ("string_type", "int_type") for e in places[path]):
            # Text, a number or a mapping could stand here, and it is a mapping: what is wrong
            # inside it says more.
            del places[path]
    return [_diagnostic(model, source, label, path, found) for path, found in places.items()]


def _diagnostic(
    model: type[BaseModel], source: Any, label: str, path: tuple[Any, ...], errors: list[Any]
) -> Diagnostic:
    where = ".".join((label, *(str(step) for step in path)))
    first = errors[0]
    if first["type"] == "extra_forbidden":
        known = _keys_at(model, path[:-1])
        near = nearest(str(path[-1]), known)
        advice = f"did you mean {near}?" if near else f"known here: {', '.join(known)}"
        message = f"{where}: there is no such option"
        return Diagnostic(message, find_mark(source, path, key=True), advice)
    if _is_secret(model, path):
        # With a mark the line would be shown, and the secret stands in it.
        message = f"{where}: must be text ({find_mark(source, path)}; it is a secret: not shown)"
        return Diagnostic(message, None, "put it in quotes")
    value = first.get("input")
    if first["loc"][-1:] == ("[key]",) or first["type"] == "invalid_key":
        where = ".".join((label, *(str(step) for step in path[:-1])))
        message = f"{where}: a name must be text, not {kind_of(value)}"
        return Diagnostic(message, find_mark(source, path, key=True), _advice(value, ["text"]))
    wanted = list(dict.fromkeys(_WANTED[e["type"]] for e in errors if e["type"] in _WANTED))
    if wanted:
        message = f"{where}: must be {' or '.join(wanted)}, not {kind_of(value)}"
        return Diagnostic(message, find_mark(source, path), _advice(value, wanted))
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    advice = ""
    if isinstance(value, bool):
        advice = "YAML reads on, off, yes and no as true and false; write one of the words above"
    return Diagnostic(f"{where}: {message}{_got(value)}", find_mark(source, path), advice)


def _got(value: Any) -> str:
    return f" (got {value!r})" if isinstance(value, str | int | float | bool) else ""


def _advice(value: Any, wanted: Iterable[str]) -> str:
    if value is None:
        return "write '' if it is to be empty"
    if "text" not in wanted:
        return _other_kind(value, set(wanted))
    if isinstance(value, bool):
        return "YAML reads yes, no, on and off as true and false: put the word in quotes"
    if isinstance(value, float):
        return "put it in quotes: YAML reads 3.10 as the number 3.1"
    if isinstance(value, OddNumber):
        return f"put it in quotes: YAML reads {value.text} as the number {int(value)}"
    if isinstance(value, datetime.date):  # a datetime is one, too
        return "put it in quotes: YAML reads it as a date"
    return "put it in quotes" if isinstance(value, int) else ""


def _other_kind(value: Any, wanted: set[str]) -> str:
    """How to write one of the kinds `wanted`, in place of `value`."""
    if "a list" in wanted:
        if isinstance(value, Mapping):
            near = next(filter(None, (nearest(str(key), DIRECTIVES) for key in value)), None)
            if near in value:
                return "append and prepend stand alone in their mapping"
            return f"did you mean {near}?" if near else "a list is [ITEM, ...], or `- ITEM` lines"
        return "in brackets it is a list: [ITEM, ...]"
    if "a mapping" in wanted:
        if isinstance(value, str) and ":" in value:
            return 'a blank belongs behind the colon: "name: value"'
        return 'write "name: value" lines below it'
    if "a whole number" in wanted:
        return "write digits alone, without quotes or unit"
    return "write true or false"


def _odd_numbers(
    value: Any, path: tuple[Any, ...], mark: Mark | None = None
) -> Iterator[Diagnostic]:
    """Numbers taken for what they are to YAML and not to their author: 010 is 8, 22:30 is
    1350 (base 60). A hexadecimal number is one to both."""
    if isinstance(value, OddNumber):
        if not value.text.lstrip("+-").lower().startswith("0x"):
            text = value.text
            yield Diagnostic(
                f"{'.'.join(map(str, path))}: YAML reads {text} as the number {int(value)}",
                mark,
                f'write {int(value)} if that is meant, or "{text}" in quotes if it is text',
            )
    elif isinstance(value, Map):
        for key, item in value.items():
            yield from _odd_numbers(item, (*path, key), value.marks.get(key, mark))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            place = find_mark(value, [number]) or mark
            yield from _odd_numbers(item, (*path, number), place)


def _real_path(source: Any, location: Iterable[Any], *, missing: bool) -> tuple[Any, ...]:
    """The steps of a pydantic location that exist in the data; it also names the members
    of unions it tried, which nobody wrote. The last step of a `missing` option is kept."""
    path: list[Any] = []
    node = source
    steps = list(location)
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        if isinstance(node, Mapping) and (step in node or (last and missing)):
            path.append(step)
            node = node.get(step)
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            path.append(step)
            node = node[step]
    return tuple(path)


def _keys_at(model: type[BaseModel], path: Iterable[Any]) -> list[str]:
    """The option names of the model that stands at `path` below `model`."""
    current: Any = model
    for step in path:
        models = list(_models(current))
        if not models:
            break
        field = written_fields(models[0]).get(step) if isinstance(step, str) else None
        if field is not None:
            current = field.annotation
        # otherwise `step` is a key of a mapping or an index: the type stays the same
    return sorted({name for each in _models(current) for name in written_fields(each)})


def _remember_secrets(model: Any, source: Any) -> None:
    """What stands where secrets belong is hidden from now on, in quoted source lines as well."""
    if isinstance(source, Mapping):
        fields = {name: f for each in _models(model) for name, f in written_fields(each).items()}
        for key, value in source.items():
            _remember_secrets(fields[key].annotation if key in fields else model, value)
    elif isinstance(source, list):
        for item in source:
            _remember_secrets(model, item)
    elif isinstance(source, str) and (model is SecretStr or SecretStr in get_args(model)):
        remember(source)


def _is_secret(model: type[BaseModel], path: Iterable[Any]) -> bool:
    """Whether the option at `path` holds a secret."""
    current: Any = model
    for step in path:
        fields = [written_fields(each).get(step) for each in _models(current)]
        found = next((field for field in fields if field is not None), None)
        current = current if found is None else found.annotation
    return current is SecretStr or SecretStr in get_args(current)


def written_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's options by the names they are written with (`except` is no Python name)."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    """All pydantic models named in a type, through unions, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, list, dict, tuple):
        for argument in get_args(annotation):
            yield from _models(argument)
