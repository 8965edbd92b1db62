"""What options mean: the docstrings below them, read from the source only to be shown.

pydantic can do the same while a model is made (`use_attribute_docstrings`), which takes a tenth
of every start-up.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel


def described(model: type[BaseModel]) -> type[BaseModel]:
    """`model`, its fields described by the docstrings below them, and those of models in it."""
    texts: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each.__module__ != BaseModel.__module__:
            texts |= _docstrings(each)
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            described(inner)
        field.description = field.description or texts.get(name)
    model.model_rebuild(force=True)
    return model


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """By attribute, of its own class body; none where there is no source."""
    try:
        source = textwrap.dedent(inspect.getsource(model))
    except OSError:
        return {}
    body = next(each for each in ast.parse(source).body if isinstance(each, ast.ClassDef)).body
    found: dict[str, str] = {}
    for field, text in pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(words))):
                found[name] = inspect.cleandoc(words)
            case _:
                pass
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """All that are named in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
