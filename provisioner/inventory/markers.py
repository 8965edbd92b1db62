"""What is a template, and whether one got hold of a secret: all that is needed of templates
where there are none, so that Jinja2 is loaded only for those who use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from provisioner.inventory.values import UnsafeText

_MARKERS = ("{{", "{%", "{#")


def is_template(value: Any) -> bool:
    """Whether `value` is text that Jinja2 has something to do in."""
    return (
        isinstance(value, str)
        and "{" in value
        and any(marker in value for marker in _MARKERS)
        and not isinstance(value, UnsafeText)
    )


_touched: ContextVar[list[bool] | None] = ContextVar("touched", default=None)


def touch() -> None:
    """Called when the template being rendered gets hold of a secret: its result is one."""
    flags = _touched.get()
    if flags is not None:
        flags.append(True)


@contextmanager
def touching() -> Iterator[list[bool]]:
    """A list that is no longer empty once a template rendered inside touched a secret."""
    flags: list[bool] = []
    token = _touched.set(flags)
    try:
        yield flags
    finally:
        _touched.reset(token)
