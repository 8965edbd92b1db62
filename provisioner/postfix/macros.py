"""`$name` references in parameter values: which there are, and what they expand to.

Rests on postconf(5), "The following forms": `$name`, `${name}`, `$(name)`, `${name?text}`,
`${name:text}`, `${name?{text}:{text}}`, `${{a} == {b} ? {x} : {y}}`, and `$$` for a dollar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from provisioner.postfix.logical import SPACE, balanced

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_COMPARISON = re.compile(r"[ \t\n\v\f\r]*(==|!=|<=|>=|<|>)[ \t\n\v\f\r]*")
_CLOSING = {"(": ")", "{": "}"}

#: How deep references may nest before we call them circular.
MAX_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Reference:
    """One `$…` of a value: `body` is what stands between the brackets, or the bare name."""

    body: str


def parse(value: str) -> Iterator[str | Reference]:
    """The literal stretches of `value` and the references between them, in order.

    Raises ValueError where Postfix programs would stop with "truncated macro reference"
    or "empty macro name".
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
        body, at = _reference(value, dollar)
        yield Reference(body)
    if literal:
        yield literal


def _reference(value: str, dollar: int) -> tuple[str, int]:
    """The body of the reference at `dollar`, and where the text after it begins."""
    at = dollar + 1
    opening = value[at : at + 1]
    if opening in _CLOSING:
        end = _closing(value, at, opening)
        body = value[at + 1 : end - 1]
    else:
        match = _PLAIN_NAME.match(value, at)
        end = match.end() if match else at
        body = value[at:end]
    if not body:
        raise ValueError(f"'$' without a name at {value[dollar : dollar + 20]!r}; write '$$'")
    return body, end


def _closing(value: str, at: int, opening: str) -> int:
    level = 0
    for place in range(at, len(value)):
        if value[place] == opening:
            level += 1
        elif value[place] == _CLOSING[opening]:
            level -= 1
            if level == 0:
                return place + 1
    raise ValueError(f"'${opening}' is never closed: {value[at - 1 : at + 30]!r}")


def references(value: str) -> list[str]:
    """The names of all parameters that `value` refers to, each once, in order.

    A value that Postfix cannot expand refers to nothing beyond what precedes the fault.
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
                match = _NAME.match(part.body)
                if match:
                    names.setdefault(match.group())
                rest = part.body[match.end() :] if match else part.body
                _collect(rest, names, depth + 1)
    except ValueError:
        return


def expand(value: str, lookup: Callable[[str], str | None]) -> str:
    """`value` with all references replaced, recursively; an unknown name is empty.

    Raises ValueError for a malformed or circular reference.
    """
    return _expand(value, lookup, 0)


def _expand(value: str, lookup: Callable[[str], str | None], depth: int) -> str:
    if depth > MAX_DEPTH:
        raise ValueError(f"circular reference while expanding {value[:40]!r}")
    return "".join(
        _resolve(part.body, lookup, depth + 1) if isinstance(part, Reference) else part
        for part in parse(value)
    )


def _resolve(body: str, lookup: Callable[[str], str | None], depth: int) -> str:
    if body.lstrip(SPACE).startswith("{"):
        return _compare(body.lstrip(SPACE), lookup, depth)
    match = _NAME.match(body)
    if not match:
        raise ValueError(f"bad parameter name in '${{{body[:30]}}}'")
    found = lookup(match.group())
    known = _expand(found, lookup, depth) if found is not None else ""
    rest = body[match.end() :].lstrip(SPACE)
    if not rest:
        return known
    return _choose(rest, bool(known), lookup, depth)


def _choose(rest: str, condition: bool, lookup: Callable[[str], str | None], depth: int) -> str:
    """What `?text`, `:text` or `?{text}:{text}` yields under `condition`."""
    operator, rest = rest[0], rest[1:]
    if operator not in "?:":
        raise ValueError(f"expected '?' or ':' at {operator + rest!r}")
    chosen, other = rest, ""
    if rest.lstrip(SPACE).startswith("{"):
        chosen, tail = _braced(rest.lstrip(SPACE))
        tail = tail.strip(SPACE)
        if tail:
            if operator != "?" or not tail.startswith(":"):
                raise ValueError(f"unexpected text {tail!r}")
            other = tail[1:].lstrip(SPACE)
            if other.startswith("{"):
                other, _ = _braced(other)
    if operator == ":":
        condition = not condition
    return _expand(chosen if condition else other, lookup, depth)


def _compare(body: str, lookup: Callable[[str], str | None], depth: int) -> str:
    left, rest = _braced(body)
    match = _COMPARISON.match(rest)
    if not match:
        raise ValueError(f"expected a comparison at {rest[:20]!r}")
    right, rest = _braced(rest[match.end() :])
    one, two = _expand(left, lookup, depth), _expand(right, lookup, depth)
    rest = rest.lstrip(SPACE)
    truth = _holds(one, match.group(1), two)
    if not rest:
        return "bool:true" if truth else ""
    return _choose(rest, truth, lookup, depth)


def _holds(left: str, operator: str, right: str) -> bool:
    """The comparison, numeric where both sides are numbers, else by text."""
    pair: tuple[int, int] | tuple[str, str] = (left, right)
    if left.isdecimal() and right.isdecimal():
        pair = (int(left), int(right))
    order = (pair[0] > pair[1]) - (pair[0] < pair[1])  # type: ignore[operator]
    return {
        "==": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[operator]


def _braced(text: str) -> tuple[str, str]:
    """The stripped text of the braces that `text` begins with, and what follows them."""
    if not text.startswith("{"):
        raise ValueError(f"expected '{{' at {text[:20]!r}")
    end = _closing(text, 0, "{")
    inner = text[1 : end - 1]
    if not balanced(inner):
        raise ValueError(f"unbalanced braces in {text[:30]!r}")
    return inner.strip(SPACE), text[end:]
