"""JSON with the place of every key and item, for files that are JSON all through.

Ansible reads a file as JSON first and as YAML only when that fails; the two differ in
numbers (`1e3` is a number in JSON, text in YAML 1.1), in escapes and in tabs.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from json.decoder import scanstring  # type: ignore[attr-defined]  # not in the stubs
from typing import Any

from provisioner.diagnostics import Diagnostic, Severity, printable
from provisioner.errors import InputError
from provisioner.inventory.values import UnsafeText, VaultValue
from provisioner.inventory.yamlfile import MAX_DEPTH, Document, parse_yaml
from provisioner.marks import Map, Mark, Seq

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[-+.\w]+")


def parse_data(text: str, file: str) -> Document:
    """`text` as Ansible's loader reads it: JSON if it is that, YAML otherwise.

    Raises InputError as `parse_yaml` does.
    """
    document = parse_json(text, file) if text.lstrip()[:1] in ("{", "[") else None
    return document or parse_yaml(text, file)


def parse_json(text: str, file: str) -> Document | None:
    """The JSON object or array in `text`, or None where it is not JSON all through."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    reader = _Reader(text, file)
    value = reader.value(_SPACE.match(text).end(), 1)[0]  # type: ignore[union-attr]
    return Document(value, tuple(reader.warnings))


class _Reader:
    """Reads text that json.loads has accepted, so syntax is not checked again."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.warnings: list[Diagnostic] = []
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]

    def mark(self, at: int) -> Mark:
        line = bisect_right(self._lines, at)
        return Mark(self.file, line, at - self._lines[line - 1] + 1)

    def skip(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        """The value that starts at `at`, and where the text goes on behind it."""
        if depth > MAX_DEPTH:
            raise InputError(
                f"nested more than {MAX_DEPTH} levels deep",
                mark=self.mark(at),
                help="flatten the structure",
            )
        char = self.text[at]
        if char == "{":
            return self.object(at, depth)
        if char == "[":
            return self.array(at, depth)
        if char == '"':
            text, at = scanstring(self.text, at + 1)
            return text, at
        found = _SCALAR.match(self.text, at)
        end = found.end() if found else at
        return json.loads(self.text[at:end]), end

    def object(self, at: int, depth: int) -> tuple[Any, int]:
        result = Map(mark=self.mark(at))
        at = self.skip(at + 1)
        while self.text[at] != "}":
            if self.text[at] == ",":
                at = self.skip(at + 1)
            key_mark = self.mark(at)
            key, at = scanstring(self.text, at + 1)
            at = self.skip(self.skip(at) + 1)
            value_mark = self.mark(at)
            if key in result:
                self.warnings.append(_duplicate(key, key_mark))
            result[key], at = self.value(at, depth + 1)
            result.marks[key] = value_mark
            result.key_marks[key] = key_mark
            at = self.skip(at)
        return _special(result), at + 1

    def array(self, at: int, depth: int) -> tuple[Any, int]:
        result = Seq(mark=self.mark(at))
        at = self.skip(at + 1)
        while self.text[at] != "]":
            if self.text[at] == ",":
                at = self.skip(at + 1)
            result.marks.append(self.mark(at))
            value, at = self.value(at, depth + 1)
            result.append(value)
            at = self.skip(at)
        return result, at + 1


def _duplicate(key: str, mark: Mark) -> Diagnostic:
    return Diagnostic(
        f'the key "{printable(key)}" is given twice in one object',
        mark,
        "the last one counts; remove the other",
        Severity.WARNING,
    )


def _special(value: Map) -> Any:
    """Ansible's JSON spelling of `!vault` and `!unsafe`."""
    if len(value) == 1:
        vault, unsafe = value.get("__ansible_vault"), value.get("__ansible_unsafe")
        if isinstance(vault, str):
            return VaultValue(vault, value.mark)
        if isinstance(unsafe, str):
            return UnsafeText(unsafe)
    return value
