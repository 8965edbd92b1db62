"""`~/.ssh/config`, read by paramiko, with what paramiko lacks added or refused.

`Include` at the top level (and under `Host *`) is expanded here. What can be neither
expanded nor obeyed is an `InputError` at its line, never passed over: `Include` inside
a conditional block, `Match` criteria paramiko does not know, user certificates.
"""

from __future__ import annotations

import getpass
import glob
import re
import shlex
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.errors import InputError
from provisioner.marks import Mark
from provisioner.transport.leanly import paramiko

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTIVE = re.compile(r"\s*([A-Za-z]\w*)(?:\s*=\s*|\s+)(.*?)\s*")
_MATCH_WITHOUT_VALUE = {"all", "canonical", "final"}
_MATCH_KINDS = {*_MATCH_WITHOUT_VALUE, "exec", "host", "localuser", "originalhost", "user"}

#: Deepest nesting of `Include`, as in ssh(1).
_DEPTH = 16

#: Seconds that a `Match exec` program may take.
_EXEC_SECONDS = 10.0

#: Keywords whose %-tokens are expanded here, with the port and user really used;
#: paramiko would take those of the file even where the inventory says otherwise.
_OURS = {"identityfile", "proxycommand", "proxyjump", "userknownhostsfile", "globalknownhostsfile"}
_PERCENT = "\x01"


@dataclass(frozen=True, slots=True)
class Directive:
    """One line of a configuration file that says something."""

    keyword: str
    value: str
    mark: Mark


class _Config(paramiko.SSHConfig):
    """paramiko's configuration, but `Match exec` programs leave our standard input alone."""

    def _does_match(
        self, match_list: list[dict[str, Any]], target_hostname: str, *rest: Any
    ) -> bool:
        others = [each for each in match_list if each["type"] != "exec"]
        programs = [each for each in match_list if each["type"] == "exec"]
        if others and not super()._does_match(others, target_hostname, *rest):  # type: ignore[misc]
            return False
        for each in programs:
            command = self._tokenize(rest[-1], target_hostname, "match-exec", each["param"])  # type: ignore[attr-defined]
            if _succeeds(command) == each["negate"]:
                return False
        return bool(match_list)


def _succeeds(command: str) -> bool:
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=_EXEC_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"Match exec {command!r} took longer than {_EXEC_SECONDS:g} s"
        raise InputError(message) from error
    return done.returncode == 0


class SshConfig:
    """A parsed configuration. Safe to share between threads."""

    def __init__(self, path: Path | None) -> None:
        """Read `path`; None or a file that does not exist is empty. Raises `InputError`."""
        self._directives = list(_read(path.expanduser(), 0)) if path else []
        lines = [_to_line(each) for each in self._directives]
        self._lock = threading.Lock()
        try:
            self._config = _Config.from_text("\n".join(lines))
        except paramiko.ssh_exception.ConfigParseError as error:
            raise InputError(f"ssh configuration: {error}", mark=Mark(str(path))) from error

    def lookup(self, alias: str) -> dict[str, Any]:
        """What applies to host `alias`, by lower-case keyword. Raises `InputError`."""
        with self._lock:  # Match exec runs programs: one at a time
            try:
                found = dict(self._config.lookup(alias))
            except (ValueError, KeyError, paramiko.SSHException) as error:
                raise InputError(f"ssh configuration for {alias}: {error}") from error
        if "certificatefile" in found:
            raise InputError(
                "CertificateFile: user certificates are not supported",
                mark=self._mark_of("certificatefile"),
                help=f"it applies to host {alias}; use a plain key, or an agent",
            )
        return {key: _restore(value) for key, value in found.items()}

    def _mark_of(self, keyword: str) -> Mark | None:
        return next((each.mark for each in self._directives if each.keyword == keyword), None)


def expand(text: str, *, alias: str, host: str, port: int, user: str) -> str:
    """`text` with the tokens of ssh_config(5) that depend on the connection replaced."""
    tokens = {
        "%%": "%",
        "%d": str(Path.home()),
        "%h": host,
        "%n": alias,
        "%p": str(port),
        "%r": user,
        "%u": getpass.getuser(),
    }
    return re.sub("%.", lambda found: tokens.get(found[0], found[0]), text)


def _restore(value: Any) -> Any:
    if isinstance(value, list):
        return [_restore(each) for each in value]
    return value.replace(_PERCENT, "%") if isinstance(value, str) else value


def _to_line(directive: Directive) -> str:
    value = directive.value
    if directive.keyword in _OURS:
        value = value.replace("%", _PERCENT)
    return f"{directive.keyword} {value}"


def _read(path: Path, depth: int) -> Iterator[Directive]:
    if depth > _DEPTH:
        raise InputError(f"Include is nested more than {_DEPTH} deep", mark=Mark(str(path)))
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    conditional = False
    for number, line in enumerate(text.split("\n"), 1):
        mark = Mark(str(path), number, len(line) - len(line.lstrip()) + 1)
        directive = _parse(line, mark)
        if directive is None:
            continue
        if directive.keyword in ("host", "match"):
            conditional = _check_block(directive)
        if directive.keyword == "include":
            if conditional:
                raise InputError(
                    "Include inside a Host or Match block is not supported",
                    mark=mark,
                    help="move it to the top of the file, before the first Host",
                )
            yield from _include(directive, path, depth)
        else:
            yield directive


def _parse(line: str, mark: Mark) -> Directive | None:
    if not line.strip() or line.lstrip().startswith("#"):
        return None
    found = _DIRECTIVE.fullmatch(line)
    if found is None or not found[2]:
        raise InputError("not a line of ssh_config(5): KEYWORD VALUE is expected", mark=mark)
    return Directive(found[1].lower(), found[2], mark)


def _check_block(directive: Directive) -> bool:
    """Whether the block that `directive` opens is conditional. Raises `InputError`."""
    try:
        words = shlex.split(directive.value)
    except ValueError as error:
        raise InputError(f"{directive.keyword}: {error}", mark=directive.mark) from error
    if directive.keyword == "host":
        return words != ["*"]
    criteria = list(words)
    while criteria:
        kind = criteria.pop(0).removeprefix("!")
        if kind.lower() not in _MATCH_KINDS or kind != kind.lower():
            raise InputError(f"Match {kind} is not supported", mark=directive.mark)
        if kind not in _MATCH_WITHOUT_VALUE and not criteria:
            raise InputError(f"Match {kind} lacks its argument", mark=directive.mark)
        if kind not in _MATCH_WITHOUT_VALUE:
            criteria.pop(0)
    return words != ["all"]


def _include(directive: Directive, source: Path, depth: int) -> Iterator[Directive]:
    for word in shlex.split(directive.value):
        pattern = Path(word).expanduser()
        # Relative names are relative to ~/.ssh, or to the directory of the file read.
        for path in sorted(glob.glob(str(source.parent / pattern))):  # noqa: PTH207 - absolute too
            yield from _read(Path(path), depth + 1)
            # The included file's last block ends with it.
            yield Directive("host", "*", directive.mark)
