"""Ansible's YAML inventories: groups with `hosts`, `children` and `vars`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioner.diagnostics import nearest, printable
from provisioner.errors import InputError
from provisioner.inventory.addresses import RangeError, expand
from provisioner.marks import Map, Mark

if TYPE_CHECKING:
    from provisioner.inventory.build import Builder, GroupDraft

_SECTIONS = ("hosts", "children", "vars")


def read_yaml_groups(data: Any, file: str, builder: Builder) -> None:
    """Put what the YAML inventory `data` (a parsed document) says into `builder`.

    Raises InputError where Ansible fails, too; what Ansible skips is a warning.
    """
    if not isinstance(data, Map) or not data:
        raise InputError(
            "a YAML inventory is a mapping of groups",
            mark=getattr(data, "mark", None) or Mark(file),
            help='start with "all:", below it "hosts:" and "children:"',
        )
    if is_plugin(data):
        raise InputError(
            f'this configures the inventory plugin "{printable(str(data["plugin"]))}";'
            " plugins are not run here",
            mark=data.key_marks.get("plugin"),
            help="write its result to a file: ansible-inventory -i FILE --list --yaml --export",
        )
    for name, content in data.items():
        _group(name, content, data.key_marks.get(name), builder)


def is_plugin(data: Any) -> bool:
    """Whether a YAML document configures an inventory plugin instead of naming hosts."""
    return isinstance(data, Map) and bool(data.get("plugin"))


def _group(name: Any, content: Any, mark: Mark | None, builder: Builder) -> None:
    if content is not None and not isinstance(content, Map):
        builder.warn(
            f'"{printable(str(name))}" is skipped: it is no mapping of hosts, children and vars',
            mark,
            "put its hosts under hosts:, each name followed by a colon",
        )
        return
    group = builder.add_group(name, mark)
    if content is None:
        return
    sections = {key: _section(group, key, value, content) for key, value in content.items()}
    for key, section in sections.items():
        place = content.key_marks.get(key)
        if key not in _SECTIONS:
            guess = nearest(str(key), _SECTIONS)
            builder.warn(
                f'"{printable(str(key))}" in group "{printable(name)}" is skipped',
                place,
                f'did you mean "{guess}"?' if guess else "a group has hosts, children and vars",
            )
        elif section is None:
            continue
        elif key == "vars":
            for var, value in section.items():
                builder.set_variable(
                    name, var, value, section.marks.get(var), section.key_marks.get(var)
                )
        elif key == "children":
            _children(group, section, builder)
        else:
            _hosts(group, section, builder)


def _section(group: GroupDraft, key: Any, value: Any, content: Map) -> Map | None:
    """The value of one of a group's keys as a mapping. One name alone stands for itself."""
    place = content.marks.get(key)
    if isinstance(value, str) and key in _SECTIONS:
        places = {value: place} if place else {}
        return Map({value: None}, mark=place, marks=places, key_marks=places)
    if isinstance(value, Map) or value is None:
        return value
    if key in _SECTIONS:
        raise InputError(
            f'"{key}" of group "{printable(group.name)}" is a mapping; this is a'
            f" {'list' if isinstance(value, list) else type(value).__name__}",
            mark=place,
            help='write "NAME:" instead of "- NAME" for each of them',
        )
    return None


def _children(group: GroupDraft, section: Map, builder: Builder) -> None:
    for name, content in section.items():
        mark = section.key_marks.get(name)
        _group(name, content, mark, builder)
        child = builder.groups.get(name)
        if child is None:
            raise InputError(
                f'the child "{printable(str(name))}" of group "{printable(group.name)}"'
                " is no group",
                mark=mark,
                help="a child is a mapping of hosts, children and vars, or empty",
            )
        builder.add_child(group, child, mark)


def _hosts(group: GroupDraft, section: Map, builder: Builder) -> None:
    for pattern, variables in section.items():
        mark = section.key_marks.get(pattern)
        if not isinstance(pattern, str):
            raise InputError(
                f"a host's name is text; this is {type(pattern).__name__}"
                f' "{printable(str(pattern))}"',
                mark=mark,
                help="quote the name",
            )
        try:
            names, port = expand(pattern)
        except RangeError as error:
            raise InputError(
                f"{printable(pattern)}: {error}", mark=mark, help=printable(error.help)
            ) from None
        if variables and not isinstance(variables, Map):
            raise InputError(
                f'the variables of host "{printable(pattern)}" are a mapping',
                mark=section.marks.get(pattern),
                help='write "key: value" lines below the host',
            )
        if not names:
            builder.warn(
                f"the range {printable(pattern)} is empty", mark, "begin must not be behind end"
            )
        for name in names:
            builder.add_host(name, group, mark, port)
            for key, value in (variables or Map()).items():
                builder.set_variable(
                    name, key, value, variables.marks.get(key), variables.key_marks.get(key)
                )
