"""Laying variables over one another: by whole variable, or per key for role options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioner.errors import InputError
from provisioner.inventory.markers import is_template
from provisioner.inventory.values import VaultValue, kind_of
from provisioner.inventory.yamlfile import overlay
from provisioner.marks import Map, Mark, Seq

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Keys of a mapping that extends a list instead of replacing it.
DIRECTIVES = frozenset(("append", "prepend"))


def flatten(layers: Iterable[Map]) -> Map:
    """Ansible's rule: the last layer that has a variable gives its whole value."""
    result = Map()
    for layer in layers:
        overlay(result, layer)
    return result


def merge_options(variable: str, layers: Iterable[Map]) -> Map:
    """The options under `variable`, merged per key along `layers` (low to high).

    Mappings merge by key, lists and scalars replace, `{append: [..]}` and
    `{prepend: [..]}` extend the list below. Every value keeps the mark of the place it
    won from. Raises InputError: options that are no mapping, a list extended where
    there is none. Encrypted values and templates are merged as they are written.
    """
    value: Any = None
    mark: Mark | None = None
    for layer in layers:
        if variable in layer:
            mark = layer.marks.get(variable)
            value = _over(value, layer[variable], mark)
    if value is None:
        return Map(mark=mark)
    if not isinstance(value, Map):
        closed = isinstance(value, VaultValue)
        raise InputError(
            f'"{variable}" holds options and is a mapping'
            + (", not one encrypted value" if closed else f"; this is {kind_of(value)}"),
            mark=mark,
            help="encrypt the values in it, or the whole file"
            if closed
            else f'if an inventory needs "{variable}" for something else, put the options of'
            f' the role under "provisioner:"',
        )
    return value


def _over(below: Any, above: Any, mark: Mark | None) -> Any:
    if isinstance(above, Map):
        if above and above.keys() <= DIRECTIVES and not isinstance(below, Map):
            return _extended(below, above, mark)
        return _merge_mappings(below if isinstance(below, Map) else Map(), above)
    return above


def _merge_mappings(below: Map, above: Map) -> Map:
    result = Map(below, mark=above.mark or below.mark, marks=below.marks, key_marks=below.key_marks)
    for key, value in above.items():
        place = above.marks.get(key)
        result[key] = _over(below.get(key), value, place)
        if place is not None:
            result.marks[key] = place
        if key in above.key_marks:
            result.key_marks[key] = above.key_marks[key]
    return result


def _extended(below: Any, directive: Map, mark: Mark | None) -> Seq:
    """The list `below` with what `directive` says around it."""
    if below is not None and not isinstance(below, list):
        raise InputError(
            f"there is no list to extend here; the value so far is {kind_of(below)}",
            mark=mark,
            help="append and prepend work on lists; write the value itself to replace it",
        )
    parts = [directive.get("prepend"), below, directive.get("append")]
    result = Seq(mark=mark)
    for part in parts:
        if part is None:
            continue
        if not isinstance(part, list):
            name = "append" if part is directive.get("append") else "prepend"
            raise InputError(
                f'"{name}" takes a list; this is {kind_of(part)}',
                mark=directive.marks.get(name, mark),
                help=f'templates are filled in after merging; write {name}: ["{{{{ ... }}}}"]'
                if is_template(part)
                else f"in brackets it is a list: {name}: [ITEM, ...]",
            )
        result.extend(part)
        result.marks.extend(getattr(part, "marks", ()))
    return result
