"""Generate the reference pages from the code: roles, commands, exit codes.

`python docs/generate.py` writes them; with `--check` it writes nothing, names the pages
that are not what it would write, and ends with 1 if there are any.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from provisioner.cli.main import COMMANDS, cli
from provisioner.errors import ExitCode
from provisioner.fleet.outcome import Outcome, Status
from provisioner.policy.options import TestOptions
from provisioner.report.roletext import nested_models, type_name
from provisioner.roles.descriptions import described
from provisioner.roles.interface import MailFacts
from provisioner.roles.loading import Role, RoleLibrary
from provisioner.roles.options import written_fields

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"

NOTE = "<!-- Written by docs/generate.py; change the code it comes from instead. -->\n"

#: Options whose values the reader looks up in the roles' own folders.
EXAMPLE = "example.yml"

EXIT_CODES = {
    ExitCode.OK: "Fine: nothing to change, or everything was changed as planned.",
    ExitCode.INTERNAL: "A fault of this program.",
    ExitCode.PENDING: "`plan`, `status`, `apply --check`: a host differs from what is desired. "
    "`verify`: a policy test fails.",
    ExitCode.USAGE: "The command line, inventory, site file or a role option cannot be used.",
    ExitCode.HOST_FAILED: "A host answered and a step failed there.",
    ExitCode.UNREACHABLE: "A host could not be reached: no route, wrong host key, login refused.",
    ExitCode.ROLLOUT_STOPPED: "Reserved for rollouts that stop themselves; nothing ends so yet.",
    ExitCode.STALE: "A host moved on since it was planned, or another run holds it.",
    ExitCode.NEEDS_HUMAN: "Something only a person can settle: another inventory manages the "
    "host, or it still differs after an apply.",
    ExitCode.INTERRUPTED: "Ctrl-C.",
}


# ---- roles ---------------------------------------------------------------------------


def roles_page(roles: Sequence[Role]) -> str:
    """Every role and its options, after the facts they all read."""
    lines = [
        "# Roles and their options",
        "",
        "A variable named after a role holds its options. Options merge key by key along the",
        "precedence of the inventory, so an exception in `host_vars` is one line. An inventory",
        "that uses such a name for something else can hold all of it below one variable,",
        "`provisioner:`. `provisioner roles NAME` prints the same in a terminal,",
        "`provisioner roles NAME --schema` as JSON Schema for an editor.",
        "",
        "| role | |",
        "| --- | --- |",
        *(f"| [`{role.name}`](#{role.name}) | {cell(role.summary)} |" for role in roles),
        "",
        "## `mail`",
        "",
        *paragraphs(MailFacts.__doc__),
        *options(described(MailFacts), "mail", 3),
        '<a id="policy_tests"></a>',
        "",
        "## `policy_tests`",
        "",
        "A list, joined by name from all places that have one; the nearer wins",
        "([how to write them](../how-to/policy-tests.md)).",
        "",
        *options(described(TestOptions), "policy_tests.*", 3),
    ]
    for role in roles:
        lines += [f'<a id="{role.name}"></a>', "", f"## `{role.name}`", "", *role_body(role, 3)]
    return "\n".join(lines).rstrip() + "\n"


def role_readme(role: Role) -> str:
    """The page in the role's own folder."""
    return "\n".join([f"# {role.name}", "", *role_body(role, 2)]).rstrip() + "\n"


def role_body(role: Role, level: int) -> Iterator[str]:
    yield from paragraphs(sys.modules[role.resources.__module__].__doc__)
    yield from paragraphs(role.options.__doc__)
    example = role.folder / EXAMPLE
    if example.is_file():
        yield from ["```yaml", *example.read_text("utf-8").splitlines(), "```", ""]
    yield from options(described(role.options), role.name, level)


def options(model: type[BaseModel], name: str, level: int) -> Iterator[str]:
    """A table of the model's options; each model inside it has a table of its own."""
    yield from table(model)
    for inner, paths in inner_models(model).items():
        where = ", ".join(f"`{name}.{path}`" for path in paths)
        yield from [f"{'#' * level} {where}", "", *paragraphs(inner.__doc__), *table(inner)]


def table(model: type[BaseModel]) -> Iterator[str]:
    yield from ["| option | value | default | |", "| --- | --- | --- | --- |"]
    for name, field in written_fields(model).items():
        kind = cell(type_name(field.annotation)) + limits(field)
        yield f"| `{name}` | {kind} | {default(field)} | {cell(field.description or '')} |"
    yield ""


def inner_models(model: type[BaseModel]) -> dict[type[BaseModel], list[str]]:
    """Every model below `model` and the paths it stands at; `*` is a name you choose."""
    found: dict[type[BaseModel], list[str]] = {}
    waiting: list[tuple[type[BaseModel], str]] = [(model, "")]
    while waiting:
        outer, path = waiting.pop(0)
        for name, field in written_fields(outer).items():
            star = ".*" if type_name(field.annotation).startswith(("list of", "mapping of")) else ""
            for inner in nested_models(field.annotation):
                here = f"{path}{name}{star}"
                if inner not in found:
                    waiting.append((inner, f"{here}."))
                found.setdefault(inner, []).append(here)
    return found


def default(field: FieldInfo) -> str:
    """A field's default as YAML would have it, in code marks."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None or isinstance(value, BaseModel):
        return ""
    return f"`{cell(json.dumps(plain(value)))}`"


def plain(value: Any) -> Any:
    """Enums and models inside a default, as what is written in YAML."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


def limits(field: FieldInfo) -> str:
    """What a number or text is bounded by."""
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = [
        f"{word} {getattr(bound, sign)}"
        for bound in field.metadata
        for sign, word in signs.items()
        if getattr(bound, sign, None) is not None
    ]
    return f" ({', '.join(found)})" if found else ""


# ---- commands ------------------------------------------------------------------------


def commands_page() -> str:
    lines = [
        "# Commands and their options",
        "",
        "Results go to standard output, progress and errors to standard error. What the",
        "exit codes mean: [exit-codes.md](exit-codes.md). What `--json` prints:",
        "[json.md](json.md).",
        "",
        "| command | |",
        "| --- | --- |",
        *(f"| [`{name}`](#provisioner-{name}) | {what} |" for name, what in COMMANDS.items()),
        "",
    ]
    root = click.Context(cli, info_name="provisioner")
    for name in COMMANDS:
        command = cli.get_command(root, name)
        if command is not None:
            lines += command_section(command, root, name)
    return "\n".join(lines).rstrip() + "\n"


def command_section(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    deep = "##" if context.command_path.count(" ") == 1 else "###"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from [f"{deep} {context.command_path}", "", f"    {usage}", ""]
    yield from paragraphs(command.help)
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [record for record in records if record]
    if rows:
        yield from ["| option | |", "| --- | --- |"]
        yield from (f"| `{cell(names)}` | {cell(what)} |" for names, what in rows)
        yield ""
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from command_section(found, context, inner)


def exit_codes_page() -> str:
    statuses: dict[ExitCode, list[str]] = {}
    for status in Status:
        statuses.setdefault(Outcome("", status).exit_code, []).append(f"`{status}`")
    lines = [
        "# Exit codes",
        "",
        "The same everywhere. When several hosts end differently, the run ends with the code",
        f"that stands first in this order: {', '.join(map(str, severity()))}.",
        "",
        "| code | meaning | outcomes of hosts |",
        "| --- | --- | --- |",
        *(
            f"| {code.value} | {EXIT_CODES[code]} | {', '.join(statuses.get(code, []))} |"
            for code in ExitCode
        ),
        "",
    ]
    return "\n".join(lines)


def severity() -> list[int]:
    """All codes, the one that wins first."""
    from provisioner.errors import worst

    left = set(ExitCode)
    ordered = []
    while left:
        first = worst(left)
        ordered.append(first.value)
        left.remove(first)
    return ordered


# ---- text ----------------------------------------------------------------------------


def paragraphs(text: str | None) -> Iterator[str]:
    """A docstring's paragraphs, unindented, an empty line after each."""
    for paragraph in (text or "").strip().split("\n\n"):
        if paragraph.strip():
            yield from (line.strip() for line in paragraph.strip("\n").splitlines())
            yield ""


def cell(text: str) -> str:
    """Text that a table's cell can hold."""
    return " ".join(text.split()).replace("|", r"\|")


# ---- pages ---------------------------------------------------------------------------


def pages() -> dict[Path, str]:
    """Every generated page with its content."""
    library = RoleLibrary(ROOT / "roles")
    roles = [role for role in library if role.folder.is_relative_to(ROOT / "roles")]
    found = {
        REFERENCE / "roles.md": roles_page(roles),
        REFERENCE / "commands.md": commands_page(),
        REFERENCE / "exit-codes.md": exit_codes_page(),
        **{role.folder / "README.md": role_readme(role) for role in roles},
    }
    return {path: NOTE + text for path, text in found.items()}


def stale(wanted: dict[Path, str]) -> list[Path]:
    """The pages that are missing or hold something else."""
    return [
        path
        for path, text in wanted.items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]


def main(arguments: Iterable[str]) -> int:
    wanted = pages()
    old = stale(wanted)
    check = "--check" in arguments
    for path in old:
        print(f"{'stale' if check else 'wrote'}  {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], "utf-8")
    if check and old:
        print("run: inv docs", file=sys.stderr)
    return int(check and bool(old))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
