"""Host patterns: which hosts `web:&prod:!mx1`, `mx*`, `~mx[0-9]`, `web[0:2]` mean.

A pattern is a list of terms, split at commas (or colons). Terms add hosts, `&` terms
keep only hosts they match, `!` terms remove hosts; first all that add, then `&`, then
`!`, whatever the order written. `@FILE` stands for the terms in a file, one a line.
"""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.diagnostics import nearest, printable
from provisioner.errors import InputError
from provisioner.inventory.addresses import split_port
from provisioner.inventory.readfile import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COLON_SEPARATED = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?[0-9]{1,9})|([0-9]{1,9})[:-]([0-9]{0,9}))\]")


def split_terms(pattern: str) -> list[str]:
    """The terms of `pattern`. A colon separates only where it cannot be a port's or address's."""
    if "," in pattern:
        terms = pattern.split(",")
    elif split_port(pattern):
        terms = [pattern]
    else:
        terms = _COLON_SEPARATED.findall(pattern)
    return [term.strip() for term in terms if term.strip()]


class PatternMatcher:
    """Answers patterns for one set of hosts and groups."""

    def __init__(
        self,
        hosts: tuple[str, ...],
        direct: Mapping[str, tuple[str, ...]],
        children: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._hosts = dict.fromkeys(hosts)
        self._direct = direct
        self._children = children
        self._members: dict[str, tuple[str, ...]] = {}

    def select(self, pattern: str) -> list[str]:
        """Host names, each once. Raises InputError where nothing matches."""
        terms = self._terms(pattern)
        for term in terms:
            if term[0] not in "&!" and not self._term(term):
                raise self._nothing(pattern, term)
        found = self._evaluate(terms)
        if not found:
            raise InputError(
                f'no host matches the pattern "{printable(pattern)}"',
                help="all its terms are known, but together they leave no host",
            )
        return found

    def match(self, pattern: str) -> list[str]:
        """As `select`, but nothing is an answer. Raises InputError: not a pattern."""
        return self._evaluate(self._terms(pattern))

    def members(self, group: str) -> tuple[str, ...]:
        """Hosts of `group` and of all groups below it: its own first, then level by level."""
        if group not in self._members:
            seen = dict.fromkeys([group])
            for name in iter_growing(seen):
                seen.update(dict.fromkeys(self._children[name]))
            hosts: dict[str, None] = {}
            for name in seen:
                hosts.update(dict.fromkeys(self._direct[name]))
            self._members[group] = tuple(hosts)
        return self._members[group]

    def _terms(self, pattern: str) -> list[str]:
        terms: list[str] = []
        for term in split_terms(pattern):
            if term.startswith("@"):
                lines = read_text(Path(term[1:]).expanduser()).split("\n")
                terms += [line.strip() for line in lines if line.strip()]
            else:
                terms.append(term)
        if any(term in ("&", "!") for term in terms) or not terms:
            raise InputError(
                f'"{printable(pattern)}" is no host pattern', help="a host, a group, or all"
            )
        return terms

    def _evaluate(self, terms: list[str]) -> list[str]:
        adding = [term for term in terms if term[0] not in "&!"] or ["all"]
        found: dict[str, None] = {}
        for term in adding:
            found.update(dict.fromkeys(self._term(term)))
        for term in terms:
            if term[0] == "&":
                kept = set(self._term(term[1:]))
                found = {name: None for name in found if name in kept}
        for term in terms:
            if term[0] == "!":
                gone = set(self._term(term[1:]))
                found = {name: None for name in found if name not in gone}
        return list(found)

    def _term(self, term: str) -> list[str]:
        if term in self._hosts:
            return [term]
        subscript = None if term[0] == "~" else _SUBSCRIPT.fullmatch(term)
        if not subscript:
            return self._matching(term)
        hosts = self._matching(subscript[1])
        if subscript[2] is None:
            start, end = int(subscript[3]), subscript[4]
            return hosts[start : int(end) + 1 if end else None]
        index = int(subscript[2])
        if hosts and not -len(hosts) <= index < len(hosts):
            raise InputError(
                f'"{printable(term)}" asks for more hosts than there are',
                help=f"{printable(subscript[1])} has {len(hosts)}; the first is [0]",
            )
        return [hosts[index]] if hosts else []

    def _matching(self, expression: str) -> list[str]:
        matches = _compiled(expression).match
        found: dict[str, None] = {}
        groups = [name for name in self._direct if matches(name)]
        for name in groups:
            found.update(dict.fromkeys(self.members(name)))
        if not groups or expression[0] == "~" or any(char in expression for char in ".?*["):
            found.update(dict.fromkeys(name for name in self._hosts if matches(name)))
        return list(found)

    def _nothing(self, pattern: str, term: str) -> InputError:
        known = [name for name in (*self._hosts, *self._direct) if name != "ungrouped"]
        guess = nearest(term, known)
        if "," in pattern and ":" in term:
            advice = "where commas separate, colons do not: write commas only"
        elif guess:
            advice = f'did you mean "{guess}"?'
        elif not self._hosts:
            advice = "the inventory has no hosts"
        else:
            shown = ", ".join(sorted(name for name in self._direct if name != "ungrouped")[:10])
            advice = f"groups here: {shown}; `provisioner inventory` shows all hosts"
        if term in self._direct:
            return InputError(f'the group "{printable(term)}" has no hosts', help=advice)
        inside = f' (in "{printable(pattern)}")' if term != pattern else ""
        return InputError(f'nothing matches "{printable(term)}"{inside}', help=advice)


def iter_growing(names: dict[str, None]) -> Iterator[str]:
    """The keys of `names`, those added while iterating included."""
    done = 0
    while done < len(names):
        batch = list(names)[done:]
        done += len(batch)
        yield from batch


def _compiled(expression: str) -> re.Pattern[str]:
    regex = expression[1:] if expression[0] == "~" else fnmatch.translate(expression)
    try:
        return re.compile(regex)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(
            f'"{printable(expression)}" is no pattern: {error}',
            help="behind ~ stands a regular expression; elsewhere * and ? match any text",
        ) from None
