"""`$name` references in parameter values: which there are, and what they expand to.

Rests on postconf(5), "The following forms": `$name`, `${name}`, `$(name)`, `${name?text}`,
`${name:text}`, `${name?{text}:{text}}`, `${{a} == {b} ? {x} : {y}}`, and `$$` for a dollar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BLANKS = " \t\r\n"

#: How deep references may nest; Postfix gives up at 100 as well.
MAX_DEPTH = 100

_CLOSING = {"(": ")", "{": "}"}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+")
_NAME = re.compile(r"([A-Za-z0-9_]+)[ \t\r\n]*")
_OPERATOR = re.compile(r"==|!=|<=|>=|<|>")

Lookup = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Reference:
    """One `$…` of a value: a name or a comparison, and what is chosen by its outcome.

    `branches` are the texts for a non-empty and for an empty value; None where the value
    itself is meant.
    """

    name: str = ""
    comparison: tuple[str, str, str] | None = None
    branches: tuple[str, str] | None = None

    @property
    def operands(self) -> tuple[str, ...]:
        """The texts in it that may hold further references."""
        left_and_right = (self.comparison[0], self.comparison[2]) if self.comparison else ()
        return left_and_right + (self.branches or ())


def parse(value: str) -> Iterator[str | Reference]:
    """The literal stretches of `value` and the references between them, in order.

    Raises ValueError where Postfix programs would stop with a macro processing error.
    """
    literal, at = "", 0
    while at < len(value):
        dollar = value.find("$", at)
        if dollar < 0:
            literal += value[at:]
            break
        literal += value[at:dollar]
        if value.startswith("$$", dollar):
            literal, at = literal + "$", dollar + 2
            continue
        if literal:
            yield literal
            literal = ""
        reference, at = _reference(value, dollar)
        yield reference
    if literal:
        yield literal


def check(value: str) -> None:
    """Raise ValueError where `value`, or an operand in it, is malformed."""
    _check(value, 0)


def _check(value: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"references nested too deeply at {value[:20]!r}")
    for part in parse(value):
        if isinstance(part, Reference):
            for operand in part.operands:
                _check(operand, depth + 1)


def references(value: str) -> list[str]:
    """The names of all parameters that `value` refers to, each once, in order.

    Of a malformed value only what precedes the fault counts.
    """
    names: dict[str, None] = {}
    _collect(value, names, 0)
    return list(names)


def _collect(value: str, names: dict[str, None], depth: int) -> None:
    if depth > MAX_DEPTH:
        return
    try:
        for part in parse(value):
            if isinstance(part, Reference):
                if part.name:
                    names.setdefault(part.name)
                for operand in part.operands:
                    _collect(operand, names, depth + 1)
    except ValueError:
        return


def expand(value: str, lookup: Lookup) -> str:
    """`value` with all references replaced, recursively; an unknown name is empty.

    Raises ValueError for a malformed or circular reference.
    """
    return _expand(value, lookup, 0)


def _expand(value: str, lookup: Lookup, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise ValueError(f"circular or too deep reference while expanding {value[:40]!r}")
    return "".join(
        _resolve(part, lookup, depth + 1) if isinstance(part, Reference) else part
        for part in parse(value)
    )


def _resolve(reference: Reference, lookup: Lookup, depth: int) -> str:
    if reference.comparison:
        left, operator, right = reference.comparison
        true = _holds(_expand(left, lookup, depth), operator, _expand(right, lookup, depth))
        found = "true" if true else ""
    else:
        found = lookup(reference.name) or ""
    if reference.branches:
        # Whether the value is empty is judged before it is expanded.
        found = reference.branches[0 if found else 1]
    return _expand(found, lookup, depth)


def _reference(value: str, dollar: int) -> tuple[Reference, int]:
    """The reference at `dollar`, and where the text after it begins."""
    at = dollar + 1
    if value[at : at + 1] in _CLOSING:
        end = _closing(value, at)
        body = value[at + 1 : end - 1]
    else:
        match = _PLAIN_NAME.match(value, at)
        end = match.end() if match else at
        body = value[at:end]
    if not body:
        raise ValueError(f"'$' without a name at {value[dollar : dollar + 20]!r}; write '$$'")
    return _parsed(body), end


def _closing(value: str, at: int) -> int:
    """Where the bracket that opens at `at` has closed."""
    opening, level = value[at], 0
    for place in range(at, len(value)):
        if value[place] == opening:
            level += 1
        elif value[place] == _CLOSING[opening]:
            level -= 1
            if level == 0:
                return place + 1
    raise ValueError(f"{opening!r} is never closed: {value[max(at - 1, 0) : at + 30]!r}")


def _parsed(body: str) -> Reference:
    """What stands between the brackets of a reference, or the bare name."""
    body = body.lstrip(BLANKS)
    if body.startswith("{"):
        left, rest = _braced(body)
        operator = _OPERATOR.match(rest)
        if not operator:
            raise ValueError(f"expected a comparison at {rest[:20]!r}")
        right, rest = _braced(rest[operator.end() :].lstrip(BLANKS))
        return Reference(comparison=(left, operator.group(), right), branches=_branches(rest))
    match = _NAME.match(body)
    if not match:
        raise ValueError(f"bad parameter name in {'${' + body[:30] + '}'!r}")
    return Reference(match.group(1), branches=_branches(body[match.end() :]))


def _branches(text: str) -> tuple[str, str] | None:
    """What `?text`, `:text` or `?{text}:{text}` yields for a non-empty and an empty value."""
    if not text:
        return None
    if text[0] not in "?:":
        raise ValueError(f"expected '?' or ':' at {text[:20]!r}")
    first, rest = _operand(text[1:])
    if text[0] == ":":
        _nothing(rest)
        return "", first
    if not rest:
        return first, ""
    if not rest.startswith(":"):
        raise ValueError(f"expected ':' at {rest[:20]!r}")
    second, rest = _operand(rest[1:])
    _nothing(rest)
    return first, second


def _nothing(rest: str) -> None:
    if rest:
        raise ValueError(f"unexpected text {rest[:20]!r} in a reference")


def _operand(text: str) -> tuple[str, str]:
    """An operand, in braces or all that is left, and what follows it."""
    stripped = text.lstrip(BLANKS)
    return _braced(stripped) if stripped.startswith("{") else (text, "")


def _braced(text: str) -> tuple[str, str]:
    """The text inside the braces that `text` begins with, and what follows them."""
    if not text.startswith("{"):
        raise ValueError(f"expected '{{' at {text[:20]!r}")
    end = _closing(text, 0)
    return text[1 : end - 1], text[end:].lstrip(BLANKS)


def _holds(left: str, operator: str, right: str) -> bool:
    """The comparison, by number where both sides are numbers, else by text."""
    if _is_number(left) and _is_number(right):
        order = (int(left) > int(right)) - (int(left) < int(right))
    else:
        order = (left > right) - (left < right)
    return {
        "==": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[operator]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
