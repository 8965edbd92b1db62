"""`provisioner roles`: which roles there are, and what options one takes."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("name", required=False)
@click.option("--schema", is_flag=True, help="The options' JSON Schema, for editors.")
@click.option(
    "--site",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also roles beside this site file.  [default: site.yml here, if there is one]",
)
def roles(name: str | None, schema: bool, site: Path | None) -> None:
    """List the roles, or describe NAME and its options."""
    from provisioner.errors import InputError
    from provisioner.report.roletext import describe, listing
    from provisioner.roles.descriptions import described
    from provisioner.roles.loading import RoleLibrary

    library = RoleLibrary((site.parent if site else Path.cwd()) / "roles")
    if name is None:
        if schema:
            raise InputError("whose schema?", help="name a role: provisioner roles NAME --schema")
        click.echo(listing(list(library)))
        return
    role = library.load(name)
    if schema:
        click.echo(json.dumps(described(role.options).model_json_schema(), indent=2))
    else:
        click.echo(describe(role))
