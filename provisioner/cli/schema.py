"""`provisioner schema`: JSON Schema of what people write, for their editors."""

from __future__ import annotations

import json
from pathlib import Path

import click

_KINDS = ("site", "group_vars", "host_vars")


@click.command()
@click.argument("kind", type=click.Choice(_KINDS), required=False)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write all of them there: site.json, group_vars.json, host_vars.json.",
)
@click.option(
    "--site",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also roles beside this site file.  [default: site.yml here, if there is one]",
)
def schema(kind: str | None, out: Path | None, site: Path | None) -> None:
    """Print the JSON Schema of site files, group_vars or host_vars.

    An editor with yaml-language-server completes and checks a file whose first line is
    `# yaml-language-server: $schema=PATH`. Roles beside the site file are included.
    """
    from provisioner.errors import InputError
    from provisioner.roles.desired import UMBRELLA
    from provisioner.roles.loading import RoleLibrary
    from provisioner.roles.schema import schema_of

    if (kind is None) == (out is None):
        raise InputError("which schema?", help=f"name one of {', '.join(_KINDS)}, or say -o DIR")
    roles = list(RoleLibrary((site.parent if site else Path.cwd()) / "roles"))
    if kind is not None:
        click.echo(json.dumps(schema_of(kind, roles, UMBRELLA), indent=2))
        return
    assert out is not None  # noqa: S101 - one of the two is given
    try:
        out.mkdir(parents=True, exist_ok=True)
        for each in _KINDS:
            text = json.dumps(schema_of(each, roles, UMBRELLA), indent=2) + "\n"
            (out / f"{each}.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
