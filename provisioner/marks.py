"""Where a value was written: marks, and the containers that remember them.

YAML and INI loaders return ordinary Python values whose mappings and lists are
`Map` and `Seq`: a `dict` and a `list` that also know the place of each key and
item. Everything downstream (option merging, validation errors, the origin shown
in a plan) reads those marks; nothing downstream needs the source text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True, slots=True)
class Mark:
    """A place in a file. `line` and `column` count from 1; 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        if not self.column:
            return f"{self.file}:{self.line}"
        return f"{self.file}:{self.line}:{self.column}"


class Map(dict[Any, Any]):
    """A mapping that knows where each key (`key_marks`) and value (`marks`) was written."""

    __slots__ = ("key_marks", "mark", "marks")

    def __init__(
        self,
        items: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (),
        *,
        mark: Mark | None = None,
        marks: Mapping[Any, Mark] | None = None,
        key_marks: Mapping[Any, Mark] | None = None,
    ) -> None:
        super().__init__(items)
        self.mark = mark
        self.marks: dict[Any, Mark] = dict(marks or {})
        self.key_marks: dict[Any, Mark] = dict(key_marks or {})


class Seq(list[Any]):
    """A list that knows where each item was written (`marks`, same length)."""

    __slots__ = ("mark", "marks")

    def __init__(
        self,
        items: Iterable[Any] = (),
        *,
        mark: Mark | None = None,
        marks: Iterable[Mark] = (),
    ) -> None:
        super().__init__(items)
        self.mark = mark
        self.marks: list[Mark] = list(marks)


def find_mark(root: Any, path: Iterable[Any], *, key: bool = False) -> Mark | None:
    """The mark of the value at `path` below `root`, or of its nearest marked ancestor.

    With `key`, the mark of the last mapping key is preferred to that of its value
    (an unknown key is pointed at, not what stands behind it).
    """
    found: Mark | None = getattr(root, "mark", None)
    node = root
    for step in path:
        if isinstance(node, Map):
            if step not in node:
                break
            found = (node.key_marks if key else node.marks).get(step) or node.marks.get(step, found)
            node = node[step]
        elif isinstance(node, Seq):
            if not isinstance(step, int) or not -len(node) <= step < len(node):
                break
            if step < len(node.marks):
                found = node.marks[step]
            node = node[step]
        else:
            break
    return found
