"""Jinja2 for files that roles write. A name that is not defined is an error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from provisioner.errors import InputError
from provisioner.marks import Mark
from provisioner.roles.loading import line_of


@lru_cache(maxsize=64)
def _environment(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )


def render(folder: Path, name: str, values: Mapping[str, Any]) -> bytes:
    """Raises `InputError` at the template's line for anything Jinja2 refuses."""
    try:
        text = _environment(folder).get_template(name).render(values)
    except TemplateError as error:
        file = str(folder / name)
        line = getattr(error, "lineno", None) or line_of(error, file)
        message = f"template {name}: {error.message or error}"
        raise InputError(message, mark=Mark(file, line)) from error
    except Exception as error:  # an expression may raise anything
        file = str(folder / name)
        message = f"template {name}: {type(error).__name__}: {error}"
        raise InputError(message, mark=Mark(file, line_of(error, file))) from error
    return text.encode("utf-8", "surrogateescape")
