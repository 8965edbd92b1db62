"""Texts of options that go into files of others: what would mean something else there."""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.diagnostics import printable
from provisioner.postfix.logical import split_list


def word_list(items: Iterable[str]) -> str:
    """A list as main.cf has it. Raises ValueError for an item that is not one word."""
    found = list(items)
    for item in found:
        if split_list(item) != [item]:
            raise ValueError(f"{item!r} is not one word")
    return ", ".join(found)


def one_line(text: str) -> str:
    """`text`, if it is one line that can be read. Raises ValueError."""
    if not text or printable(text) != text or "\t" in text or text != text.strip():
        raise ValueError(f"{text!r} is not one line of text without blanks at its ends")
    return text


def in_patterns(text: str) -> str:
    """`text` as a table of patterns has it behind an action: a `$` there begins what stood in
    parentheses. Raises ValueError as `one_line` does."""
    return one_line(text).replace("$", "$$")
