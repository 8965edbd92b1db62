"""The policy tests of a host: those of its roles, and those under `policy_tests`.

Every place that says `policy_tests` for a host counts: the lists are joined by name, and the
nearer place wins. So does what a person wrote over what a role brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from provisioner.diagnostics import Diagnostic, nearest
from provisioner.errors import InputError
from provisioner.inventory import Host
from provisioner.inventory.reading import Reader
from provisioner.marks import Map, Mark, Seq
from provisioner.policy.conversation import PolicyTest
from provisioner.policy.options import TestOptions, test_of
from provisioner.policy.strangers import Surroundings
from provisioner.resources.base import Origin
from provisioner.roles.options import validate

VARIABLE = "policy_tests"


@dataclass(frozen=True)
class Written:
    """One test as somebody wrote it."""

    options: TestOptions
    origin: Origin


@dataclass
class PolicyBook:
    """Reads what people wrote. Hosts that share a test share the reading of it.

    `umbrella` is the variable that may hold all options.
    """

    umbrella: str
    reader: Reader | None = None
    _read: dict[int, tuple[Any, TestOptions | None, list[Diagnostic]]] = field(default_factory=dict)

    def written(self, host: Host) -> list[Written]:
        """The host's own tests, each name once. Raises `InputError` with all that is wrong."""
        wrong: list[Diagnostic] = []
        found: dict[str, Written] = {}
        for given, mark in self._layers(host):
            for name, test in self._of_layer(given, mark, wrong).items():
                below = found.get(name)
                if test.options.sets_aside and below and not below.options.sets_aside:
                    skipped = below.options.model_copy(update={"skip": test.options.skip})
                    test = Written(skipped, below.origin)
                found[name] = test
        if wrong:
            raise InputError.of(wrong)
        return list(found.values())

    def _layers(self, host: Host) -> Iterator[tuple[Any, Mark | None]]:
        """What each place says, the farthest first."""
        inside = self.umbrella in host.vars
        path = f"{self.umbrella}.{VARIABLE}" if inside else VARIABLE
        for layer in host.layers:
            holder = layer.get(self.umbrella) if inside else layer
            if not isinstance(holder, Map) or VARIABLE not in holder:
                continue
            raw, mark = holder[VARIABLE], holder.marks.get(VARIABLE)
            yield (self.reader.value(host, path, raw, mark) if self.reader else raw), mark

    def _of_layer(
        self, given: Any, mark: Mark | None, wrong: list[Diagnostic]
    ) -> dict[str, Written]:
        if given is None:
            return {}
        if not isinstance(given, list):
            wrong.append(
                Diagnostic(
                    f"{VARIABLE} is a list of tests",
                    mark,
                    "write `- name: …` for each; lists of several groups are joined by name",
                )
            )
            return {}
        found: dict[str, Written] = {}
        places: Sequence[Mark | None] = given.marks if isinstance(given, Seq) else ()
        for number, item in enumerate(given):
            place = places[number] if number < len(places) else mark
            options = self._validated(item, number, place, wrong)
            if options is None:
                continue
            other = found.get(options.name)
            if other is not None:
                wrong.append(
                    Diagnostic(
                        f'{VARIABLE}: two tests are called "{options.name}"',
                        place,
                        f"the other is at {other.origin.mark}; give one another name",
                    )
                )
            found[options.name] = Written(options, Origin("", VARIABLE, place))
        return found

    def _validated(
        self, item: Any, number: int, place: Mark | None, wrong: list[Diagnostic]
    ) -> TestOptions | None:
        known = self._read.get(id(item))
        if known is None:
            name = item.get("name") if isinstance(item, Map) else None
            which = f'"{name}"' if isinstance(name, str) else number + 1
            options, found = validate(TestOptions, item, f"{VARIABLE}[{which}]")
            found = [each if each.mark else replace(each, mark=place) for each in found]
            known = self._read[id(item)] = (item, options, found)
        wrong += known[2]
        return known[1]


def joined(
    placed: Iterable[PolicyTest], written: Sequence[Written], around: Surroundings
) -> tuple[tuple[PolicyTest, ...], list[Diagnostic]]:
    """All tests of a host, those of its roles (`placed`) first; and what is wrong with names."""
    found: dict[str, PolicyTest] = {}
    wrong: list[Diagnostic] = []
    for test in placed:
        other = found.setdefault(test.name, test)
        if other is not test and replace(other, origin=test.origin) != test:
            wrong.append(
                Diagnostic(
                    f'two roles bring a test called "{test.name}": {other.origin.role} and '
                    f"{test.origin.role}",
                    test.origin.mark or other.origin.mark,
                    "a test's name says one thing; rename one in your role",
                )
            )
    for each in written:
        options = each.options
        if options.sets_aside:
            if options.name in found:
                found[options.name] = replace(found[options.name], skip=options.skip)
            else:
                wrong.append(_nothing_to_skip(each, found))
            continue
        found[options.name] = test_of(options, each.origin, around)
    return tuple(found.values()), wrong


def _nothing_to_skip(given: Written, known: Iterable[str]) -> Diagnostic:
    near = nearest(given.options.name, known)
    return Diagnostic(
        f'{VARIABLE}: there is no test called "{given.options.name}" to skip',
        given.origin.mark,
        f'did you mean "{near}"?' if near else "`provisioner verify --list` names all tests",
    )
