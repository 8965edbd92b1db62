"""JSON Schema of the files people write: site, group_vars and host_vars. Pure.

The schema of a file of variables is that of all roles' options, loosened to what such a
file may say: nothing is required (another file may say it), a template may stand for any
value, a list may be extended instead of replaced, and a variable that is no role's is fine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.policy.options import TestOptions
from provisioner.roles.descriptions import described
from provisioner.roles.interface import MailFacts
from provisioner.roles.loading import Role
from provisioner.roles.policy import VARIABLE as POLICY_TESTS
from provisioner.transport.target import SSH_ARGS, VARIABLES

DIALECT = "http://json-schema.org/draft-07/schema#"
#: The files that have a schema.
KINDS = ("site", "group_vars", "host_vars")

_TESTS = "What the mail policy must do; lists of several groups are joined by name."
_TEMPLATE = {"type": "string", "pattern": r"\{[{%]"}


def schema_of(kind: str, roles: Iterable[Role], umbrella: str) -> dict[str, Any]:
    """The schema of files of that kind (one of `KINDS`)."""
    known = list(roles)
    return _site(known) if kind == "site" else _variables(kind, known, umbrella)


def _site(roles: Iterable[Role]) -> dict[str, Any]:
    names = [{"const": role.name, "description": role.summary} for role in roles]
    own = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$", "description": "a role here"}
    play = {
        "type": "object",
        "additionalProperties": False,
        "required": ["hosts", "roles"],
        "properties": {
            "name": {"type": "string", "description": "What the play is for."},
            "hosts": {"type": "string", "description": "A pattern: a group, a host, a:&b, a:!b."},
            "roles": {"type": "array", "items": {"anyOf": [*names, own]}},
        },
    }
    return {"$schema": DIALECT, "title": "site file", "type": "array", "items": play}


def _variables(kind: str, roles: Iterable[Role], umbrella: str) -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    options = {"mail": _options("mail", described(MailFacts).model_json_schema(), definitions)}
    for role in roles:
        written = _options(role.name, described(role.options).model_json_schema(), definitions)
        options[role.name] = {"description": role.summary, **written}
    test = _options("policy_test", described(TestOptions).model_json_schema(), definitions)
    tests = [{"type": "array", "items": test}, _TEMPLATE]
    options[POLICY_TESTS] = {"description": _TESTS, "anyOf": tests}
    everything = {
        "type": "object",
        "description": "All options, where an inventory uses the names of roles for other things.",
        "additionalProperties": False,
        "properties": options,
    }
    return {
        "$schema": DIALECT,
        "title": kind,
        "type": ["object", "null"],
        "properties": {**options, umbrella: everything, **_connection()},
        "definitions": definitions,
    }


def _connection() -> dict[str, Any]:
    """Ansible's connection variables, with their old aliases."""
    kinds: dict[str, Any] = {"port": ["integer", "string"], "become": ["boolean", "string"]}
    found = {
        name: {"type": kinds.get(setting, "string"), "description": f"Ansible's {names[0]}."}
        for setting, names in VARIABLES.items()
        for name in names
    }
    return found | {name: {"type": "string", "description": "Options of ssh."} for name in SSH_ARGS}


def _options(name: str, schema: Mapping[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """`schema` loosened; the models inside it go to `definitions` under names of their own."""
    for inner, model in schema.get("$defs", {}).items():
        definitions[f"{name}.{inner}"] = _loose(model, name)
    own = {key: value for key, value in schema.items() if key != "$defs"}
    found: dict[str, Any] = _loose(own, name)
    return found


def _loose(schema: Any, role: str) -> Any:
    """`schema` without `required`, its references renamed, its values open to templates."""
    if isinstance(schema, list):
        return [_loose(each, role) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {key: value for key, value in schema.items() if key not in ("required", "title")}
    if "$ref" in found:
        found["$ref"] = f"#/definitions/{role}.{found['$ref'].rpartition('/')[2]}"
    for key in ("properties", "patternProperties"):
        if key in found:
            found[key] = {name: _value(each, role) for name, each in found[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), Mapping):
            found[key] = _value(found[key], role)
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if key in found:
            found[key] = _loose(found[key], role)
    found.pop("discriminator", None)
    return found


def _value(schema: Mapping[str, Any], role: str) -> dict[str, Any]:
    """The schema of a value: what is wanted, a template, or an extension of a list."""
    wanted = _loose(schema, role)
    told = {key: wanted.pop(key) for key in ("description", "default") if key in wanted}
    choices = [wanted, _TEMPLATE]
    if wanted.get("type") == "array":
        choices += [_extension(wanted)]
    elif wanted.get("type") == "string" and not wanted.keys() & {"enum", "pattern", "format"}:
        return {**told, **wanted}
    return {**told, "anyOf": choices}


def _extension(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {"append": wanted, "prepend": wanted},
    }
