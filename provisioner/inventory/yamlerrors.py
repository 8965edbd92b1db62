"""libyaml's complaints in the words of somebody who wants to help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yaml.reader import ReaderError

from provisioner.diagnostics import Diagnostic
from provisioner.errors import InputError
from provisioner.marks import Mark

if TYPE_CHECKING:
    import yaml

#: What libyaml says (a part of it) and what usually cures it; the first match counts.
_CURES = (
    ("tab character", "YAML allows no tabs in indentation: use spaces"),
    ("'\\t'", "YAML allows no tabs here: use spaces"),
    (
        "mapping values are not allowed",
        'quote a value that contains ": ", or check the indentation',
    ),
    (
        "could not find expected ':'",
        'a key ends in ":" and a space; check this line and the one above',
    ),
    ("did not find expected key", "check indentation and quotes, here and in the line above"),
    ("did not find expected '-'", "every item of the list starts with '-' in the same column"),
    ("did not find expected ',' or", "close the bracket, or put a comma between the items"),
    ("cannot start any token", "quote a value that starts with @, ` or %"),
    ("unexpected end of stream", "a quote that opens must close"),
    ("scanning an alias", 'quote a value that starts with "*"'),
    ("unknown escape character", "in double quotes a backslash is an escape; use single quotes"),
    ("did not find expected node content", "close the bracket, or quote the value"),
    ("undefined tag handle", 'quote a value that starts with "!"'),
    ("block sequence entries are not allowed", "a list starts on its own line below its key"),
)
_DEFAULT_CURE = "check indentation, quotes and brackets, here and in the line above"


def yaml_problem(error: yaml.YAMLError, text: str, file: str) -> Diagnostic:
    """The syntax error `error` in `text` as a diagnostic with place and cure."""
    if isinstance(error, ReaderError):
        before = text.encode("utf-8", "surrogatepass")[: error.position].decode("utf-8", "replace")
        line_start = before.rfind("\n") + 1
        mark = Mark(file, before.count("\n") + 1, len(before) - line_start + 1)
        code = error.character if isinstance(error.character, int) else ord(error.character[:1])
        return Diagnostic(
            f"the character U+{code:04X} is not allowed in YAML",
            mark,
            'remove it, or write it as an escape in double quotes ("\\x..")',
        )
    problem = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None) or ""
    # A quote that never closes is noticed at the end of the file; it is wrong at its start.
    late = "quoted scalar" in context and "end of stream" in problem
    place = getattr(error, "context_mark" if late else "problem_mark", None)
    mark = Mark(file, place.line + 1, place.column + 1) if place else Mark(file)
    if "nesting depth" in problem:  # newer libyaml stops before our own bound is met
        return Diagnostic("nested too many levels deep", mark, "flatten it")
    message = f"YAML syntax: {problem}" + (f" ({context})" if context else "")
    if mark.line and _starts_with_tab(text, mark.line):
        return Diagnostic(message, mark, _CURES[0][1])
    cure = next((cure for part, cure in _CURES if part in message), _DEFAULT_CURE)
    return Diagnostic(message, mark, cure)


def _starts_with_tab(text: str, line: int) -> bool:
    lines = text.split("\n", line)
    if line > len(lines):
        return False
    shown = lines[line - 1]
    return "\t" in shown[: len(shown) - len(shown.lstrip())]


def unhashable(mark: Mark) -> InputError:
    """A mapping or list where a key should be: nearly always an unquoted template."""
    return InputError(
        "a mapping or list cannot be a key",
        mark=mark,
        help='a value that starts with "{{" must be quoted: "{{ ... }}"',
    )
