"""master.cf: read it as Postfix does, edit one service without touching anything else.

Rests on master(5) and postconf(1) (`-M`). What one service is stands in
`provisioner.postfix.service` and is offered here as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from provisioner.diagnostics import Diagnostic, Severity
from provisioner.marks import Mark
from provisioner.postfix.logical import (
    BOM,
    SPACE,
    Logical,
    file_problems,
    logical_lines,
    split_list,
)
from provisioner.postfix.service import (
    BLANKS,
    FIELDS,
    Key,
    Service,
    canonical,
    check,
    faults,
    needs_braces,
    render,
    same_key,
    same_service,
)
from provisioner.postfix.splice import Edit, Editor

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BLANKS",
    "FIELDS",
    "Key",
    "MasterCf",
    "Service",
    "canonical",
    "check",
    "edit",
    "faults",
    "needs_braces",
    "parse",
    "render",
    "same_key",
    "same_service",
]


@dataclass(frozen=True, slots=True)
class MasterCf:
    """A master.cf as Postfix understands it.

    `entries` holds every service in file order; `services` the last of each name and type,
    which is the one that counts. A finding of severity ERROR in `problems` stops Postfix
    programs or the service; a WARNING is something it passes over.
    """

    entries: tuple[Service, ...]
    problems: tuple[Diagnostic, ...] = ()
    services: dict[Key, Service] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "services", {entry.key: entry for entry in self.entries})

    def get(self, name: str, type: str) -> Service | None:  # noqa: A002 - the field's own name
        """The service of that name and type, under any spelling of its port."""
        wanted = same_key(name, type)
        found = [entry for entry in self.entries if same_key(*entry.key) == wanted]
        return found[-1] if found else None


@lru_cache(maxsize=64)
def parse(text: str, file: str = "master.cf") -> MasterCf:
    """Read `text`; `file` is the name that problems are reported under. Raises nothing.

    Planning asks for the same text many times, and hosts often have the same file.
    """
    lines = logical_lines(text)
    problems = file_problems(text, lines, file)
    entries: list[Service] = []
    for logical in lines.logical:
        found = _service(logical)
        if found is None:
            problems.append(
                Diagnostic(
                    f"fewer than {len(FIELDS)} fields: {logical.text.strip(SPACE)[:60]!r}",
                    Mark(file, logical.line, 1),
                    "a service has " + " ".join(FIELDS),
                )
            )
            continue
        entries.append(found)
        problems += [
            Diagnostic(
                f"{found.name}/{found.type}: {fault}",
                Mark(file, found.line, 1),
                "see master(5)",
            )
            for fault in faults(found)
        ]
    problems += _duplicates(entries, file)
    problems.sort(key=lambda each: each.mark.line if each.mark else 0)
    return MasterCf(tuple(entries), tuple(problems))


def _service(logical: Logical) -> Service | None:
    words = split_list(logical.text, BLANKS)
    if len(words) < len(FIELDS):
        return None
    name, kind, private, unpriv, chroot, wakeup, maxproc, command, *rest = words
    flags, options, arguments = _arguments(rest)
    return Service(
        name,
        kind,
        private,
        unpriv,
        chroot,
        wakeup,
        maxproc,
        command,
        options=options,
        flags=flags,
        arguments=arguments,
        start=logical.start,
        end=logical.end,
        line=logical.line,
        source=logical,
    )


def _arguments(
    words: list[str],
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Flags, `-o` pairs and the arguments after them, as postconf -M normalises them."""
    flags: list[str] = []
    options: list[tuple[str, str]] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "--":
        word = rest.pop(0)
        cut = word.find("o", 1)
        if cut < 0:
            flags.append(word)
            continue
        if cut > 1:
            flags.append(word[:cut])
        text = word[cut + 1 :]
        if not text:
            if not rest:
                flags.append("-o")
                break
            text = rest.pop(0)
        options.append(_pair(text))
    return tuple(flags), tuple(options), tuple(_unbraced(word) for word in rest)


def _pair(text: str) -> tuple[str, str]:
    if text.startswith("{"):
        name, _, value = _unbraced(text).partition("=")
        return name.strip(SPACE), value.strip(SPACE)
    name, _, value = text.partition("=")
    return name, value


def _unbraced(text: str) -> str:
    """What stands inside the braces around `text`, trimmed; other text as it is."""
    if not text.startswith("{"):
        return text
    level = 0
    for place, char in enumerate(text):
        level += (char == "{") - (char == "}")
        if level == 0:
            return text[1:place].strip(SPACE)
    return text[1:].strip(SPACE)


def _duplicates(entries: list[Service], file: str) -> list[Diagnostic]:
    last = {same_key(*entry.key): entry for entry in entries}
    return [
        Diagnostic(
            f"{entry.name}/{entry.type} is defined again in line "
            f"{last[same_key(*entry.key)].line}; this one has no effect",
            Mark(file, entry.line, 1),
            "remove it",
            Severity.WARNING,
        )
        for entry in entries
        if last[same_key(*entry.key)] is not entry
    ]


def edit(text: str, changes: Mapping[Key, Service | None]) -> Edit:
    """Set or remove (None) services by name and type; see `Edit` for the result.

    A service that is already as wanted stays as it is written. Otherwise its last
    occurrence, under any spelling of its port, is rewritten in place, keeping that
    spelling; earlier ones are removed and noted; a new one is appended. Comments inside a
    rewritten service stay, after it; commented-out samples are left alone. Raises
    ValueError for a service that `check` refuses.
    """
    editor = Editor(text)
    entries: dict[Key, list[Service]] = {}
    for entry in parse(text).entries:
        entries.setdefault(same_key(*entry.key), []).append(entry)
    for (name, kind), service in changes.items():
        found = entries.get(same_key(name, kind), [])
        if service is not None:
            check(service)
            hidden = entries.get((BOM + name, kind), [])
            _set(editor, found, hidden, service)
        else:
            for entry in found:
                _remove(editor, entry)
    return editor.finish()


def _set(editor: Editor, found: list[Service], hidden: list[Service], service: Service) -> None:
    if found:
        *earlier, last = found
        for entry in earlier:
            _remove(editor, entry)
            editor.note(
                f"{entry.name}/{entry.type}: the earlier definition in line {entry.line}, "
                f"overridden by that in line {last.line}, was removed"
            )
        if last.source is not None and not same_service(last, service):
            editor.rewrite(last.source, render(replace(service, name=last.name)))
    elif hidden and hidden[0].source is not None:
        editor.note(f"{service.name}/{service.type}: the byte order mark before it was removed")
        editor.rewrite(hidden[0].source, render(service))
    else:
        editor.append(render(service))


def _remove(editor: Editor, entry: Service) -> None:
    if entry.source is not None:
        editor.remove(entry.source)
