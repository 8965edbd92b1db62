"""master.cf: read it as Postfix does, edit one service without touching anything else.

Rests on master(5) and postconf(1) (`-M`). Two spellings of one port are one service:
`smtps`, `submissions` and `465`; `submission` and `587`; `smtp` and `25`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from provisioner.diagnostics import Diagnostic, Severity
from provisioner.marks import Mark
from provisioner.postfix.logical import (
    BOM,
    SPACE,
    Logical,
    balanced,
    file_problems,
    is_encodable,
    logical_lines,
    split_list,
)
from provisioner.postfix.splice import Edit, Editor

#: A service is known by its name and its type.
Key = tuple[str, str]

TYPES = ("inet", "unix", "fifo", "pass", "unix-dgram")

BLANKS = " \t\r\n"

#: Spellings of one TCP port, the current official name first.
SYNONYMS = (
    ("submissions", "smtps", "465"),
    ("submission", "587"),
    ("smtp", "25"),
)

_OFFICIAL = {name: group[0] for group in SYNONYMS for name in group}
_COLUMNS = (10, 16, 24, 32, 40, 48, 56)
_FIELDS = ("name", "type", "private", "unpriv", "chroot", "wakeup", "maxproc", "command")


@dataclass(frozen=True, slots=True)
class Service:
    """One service. Fields are as written, `-` meaning the default.

    `flags` are options without a value (`-v`), `options` the `-o name=value` pairs in
    order, `arguments` what follows them (as pipe(8) takes). `start` and `end` are character
    offsets of the logical line, `line` counts from 1; all 0 for a service not read from a
    file.
    """

    name: str
    type: str
    private: str = "-"
    unpriv: str = "-"
    chroot: str = "-"
    wakeup: str = "-"
    maxproc: str = "-"
    command: str = ""
    options: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)
    line: int = field(default=0, compare=False)
    source: Logical | None = field(default=None, repr=False, compare=False)

    @property
    def key(self) -> Key:
        return (self.name, self.type)

    @property
    def settings(self) -> dict[str, str]:
        """The `-o` pairs as they act: of several with one name the last counts."""
        return dict(self.options)


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


def same_key(name: str, type: str) -> Key:  # noqa: A002 - the field's own name
    """The key under which spellings of one service are equal."""
    return (_OFFICIAL.get(name, name) if type == "inet" else name, type)


def parse(text: str, file: str = "master.cf") -> MasterCf:
    """Read `text`; `file` is the name that problems are reported under. Raises nothing."""
    lines = logical_lines(text)
    problems = file_problems(text, lines, file)
    entries: list[Service] = []
    for logical in lines.logical:
        found = _service(logical)
        if found is None:
            problems.append(
                Diagnostic(
                    f"fewer than {len(_FIELDS)} fields: {logical.text.strip(SPACE)[:60]!r}",
                    Mark(file, logical.line, 1),
                    "a service has " + " ".join(_FIELDS),
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
    if len(words) < len(_FIELDS):
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


def faults(service: Service) -> list[str]:
    """What Postfix would not accept in `service`, in words."""
    found = []
    if service.type not in TYPES:
        found.append(f"type {service.type!r} is none of {', '.join(TYPES)}")
    found += [
        f"{name} is {getattr(service, name)!r}, not y, n or -"
        for name in ("private", "unpriv", "chroot")
        if getattr(service, name) not in ("y", "n", "-")
    ]
    if service.wakeup != "-" and not _is_number(service.wakeup.removesuffix("?")):
        found.append(f"wakeup is {service.wakeup!r}, not a number of seconds or -")
    if service.maxproc != "-" and not _is_number(service.maxproc):
        found.append(f"maxproc is {service.maxproc!r}, not a number or -")
    if service.type == "inet" and service.private == "y":
        found.append("an inet service cannot be private")
    if "-o" in service.flags:
        found.append("-o without a setting after it")
    for name, _ in service.options:
        if not name:
            found.append("-o without a parameter name (no blanks around '=' outside braces)")
    if service.arguments and service.arguments[0] == "=":
        found.append("blanks around '=' of an -o setting; write it without, or in braces")
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


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


def canonical(service: Service) -> Service:
    """`service` stripped of what does not matter to Postfix.

    Official port name; `-o` settings sorted, the last of each name; flags sorted; no place
    in a file. `-` and an explicit default stay different: defaults depend on the version.
    """
    name, kind = same_key(*service.key)
    return replace(
        service,
        name=name,
        type=kind,
        options=tuple(sorted(service.settings.items())),
        flags=tuple(sorted(service.flags)),
        start=0,
        end=0,
        line=0,
        source=None,
    )


def same_service(one: Service, other: Service) -> bool:
    """Whether two services act alike, whatever the spelling, order and folding."""
    return canonical(one) == canonical(other)


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


def render(service: Service) -> str:
    """The service in the style of the shipped master.cf, without the final newline.

    One `-o name=value` to a continuation line; a value with blanks is written as
    `-o { name = value }`, which needs Postfix 3.0.
    """
    line = service.name
    values = (getattr(service, name) for name in _FIELDS[1:])
    for column, value in zip(_COLUMNS, values, strict=True):
        line = f"{line} ".ljust(column) + value
    lines = [" ".join((line, *service.flags))]
    lines += [f"  -o {_rendered(name, value)}" for name, value in service.options]
    if service.arguments:
        lines.append("  " + " ".join(_argument(each) for each in service.arguments))
    return "\n".join(lines)


def _rendered(name: str, value: str) -> str:
    if any(blank in value for blank in BLANKS):
        return f"{{ {name} = {value} }}"
    return f"{name}={value}"


def _argument(text: str) -> str:
    needs_braces = text.startswith("{") or any(blank in text for blank in BLANKS)
    return f"{{{text}}}" if needs_braces else text


def needs_braces(service: Service) -> bool:
    """Whether `render` writes a form of `service` that needs Postfix 3.0."""
    texts: Iterable[str] = (*(value for _, value in service.options), *service.arguments)
    return any(blank in text for text in texts for blank in BLANKS)


def check(service: Service) -> None:
    """Raise ValueError, saying what and why, where `service` would not survive in master.cf."""
    where = f"{service.name}/{service.type}"
    found = faults(service)
    if found:
        raise ValueError(f"{where}: {found[0]}")
    for name in _FIELDS:
        text = getattr(service, name)
        if not text or any(char in SPACE or char in "{}" for char in text):
            raise ValueError(f"{where}: {name} {text!r} is not one word")
        if not text.isprintable():
            raise ValueError(f"{where}: {name} {text!r} contains what cannot be printed")
    if service.name.startswith("#"):
        raise ValueError(f"{where}: a name that starts with '#' would make it a comment")
    for flag in service.flags:
        if not flag.startswith("-") or len(flag) < 2 or "o" in flag or not flag.isprintable():
            raise ValueError(f"{where}: {flag!r} is no option without a value")
    for name, value in service.options:
        if not name or any(char in SPACE or char in "={}" for char in name):
            raise ValueError(f"{where}: {name!r} is no parameter name")
        _check_text(f"{where}: {name}", value)
    for place, argument in enumerate(service.arguments):
        if not argument or (place == 0 and argument.startswith(("#", "-"))):
            raise ValueError(f"{where}: {argument!r} cannot stand as an argument")
        _check_text(f"{where}: argument {argument!r}", argument)


def _check_text(where: str, text: str) -> None:
    if any(ord(char) < 0x20 and char != "\t" for char in text) or "\x7f" in text:
        raise ValueError(f"{where}: newline or control character in {text!r}")
    if text != text.strip(SPACE):
        raise ValueError(f"{where}: blanks at the ends of {text!r} would be lost")
    if not balanced(text):
        raise ValueError(f"{where}: unbalanced braces in {text!r}")
    if not is_encodable(text):
        raise ValueError(f"{where}: not text that a file can hold")
