"""`provisioner init`: a repository to start from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

_SKELETON = Path(__file__).resolve().parent.parent / "skeleton"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Make a repository in DIR: inventory, site file, a role, checks for commits and CI.

    DIR is made if need be; it must be empty but for git's own folder.
    """
    from provisioner.errors import InputError
    from provisioner.roles.desired import UMBRELLA
    from provisioner.roles.loading import RoleLibrary
    from provisioner.roles.schema import KINDS, schema_of

    try:
        _check_empty(folder)
        for name, text in _files():
            _write(folder / name, text)
        roles = list(RoleLibrary(folder / "roles"))
        for kind in KINDS:
            text = json.dumps(schema_of(kind, roles, UMBRELLA), indent=2) + "\n"
            _write(folder / ".schemas" / f"{kind}.json", text)
    except OSError as error:
        raise InputError(f"{error.filename or folder}: {error.strerror}") from error
    where = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    click.echo(f"made a repository in {folder}; next:")
    click.echo(f"  {where}git init && git add . && provisioner plan")


def _check_empty(folder: Path) -> None:
    from provisioner.errors import InputError

    if folder.is_dir():
        found = sorted(each.name for each in folder.iterdir() if each.name != ".git")
        if found:
            raise InputError(
                f"{folder} is not empty: {', '.join(found[:3])}{', …' if found[3:] else ''}",
                help="name a new folder; nothing was written",
            )


def _files() -> Iterator[tuple[Path, str]]:
    """The files of the skeleton; `dot-` in a name is the dot that hides it."""
    for path in sorted(_SKELETON.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            parts = path.relative_to(_SKELETON).parts
            names = [f".{part[4:]}" if part.startswith("dot-") else part for part in parts]
            yield Path(*names), path.read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
