"""One service of master.cf: its fields, what makes two of them equal, how it is written.

Rests on master(5). Two spellings of one port are one service: `smtps`, `submissions` and
`465`; `submission` and `587`; `smtp` and `25`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from provisioner.postfix.logical import PARAMETER, SPACE, Logical, balanced, is_encodable

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A service is known by its name and its type.
Key = tuple[str, str]

TYPES = ("inet", "unix", "fifo", "pass", "unix-dgram")

BLANKS = " \t\r\n"

#: Spellings of one TCP port, the current official name first, the number last.
SYNONYMS = (
    ("submissions", "smtps", "465"),
    ("submission", "587"),
    ("smtp", "25"),
)

_OFFICIAL = {name: group[0] for group in SYNONYMS for name in group}
_PORTS = {name: group[-1] for group in SYNONYMS for name in group}
_COLUMNS = (10, 16, 24, 32, 40, 48, 56)
FIELDS = ("name", "type", "private", "unpriv", "chroot", "wakeup", "maxproc", "command")


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


def port_of(name: str) -> str:
    """The port part of the name of a TCP service (`25`, `smtp`, `127.0.0.1:10025`, `[::1]:smtp`):
    its number; a name that is not one of `SYNONYMS` is looked up on the host."""
    port = name.rpartition(":")[2]
    return _PORTS.get(port, port)


def same_key(name: str, type: str) -> Key:  # noqa: A002 - the field's own name
    """The key under which spellings of one service are equal."""
    return (_OFFICIAL.get(name, name) if type == "inet" else name, type)


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


def render(service: Service) -> str:
    """The service in the style of the shipped master.cf, without the final newline.

    One `-o name=value` to a continuation line; a value with blanks is written as
    `-o { name = value }`, which needs Postfix 3.0.
    """
    line = service.name
    values = (getattr(service, name) for name in FIELDS[1:])
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
    for name in FIELDS:
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
        if not PARAMETER.fullmatch(name):
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
