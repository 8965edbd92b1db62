"""Where this machine gets Debian from: its own apt configuration, read, never guessed.

Both forms of sources.list(5) are read: one-line entries and deb822 stanzas.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import InputError
from provisioner.lab.recipe import RELEASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: The keys Debian signs its archive with, as its own package installs them.
KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-removed-keys.gpg"),
)

#: Suites that make an archive Debian's, by their first word.
DEBIAN_SUITES = frozenset(
    {*RELEASES, "sid", "stable", "testing", "unstable", "oldstable", "oldoldstable"}
)

_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)")


@dataclass(frozen=True, slots=True)
class Source:
    """One archive as apt knows it: where, one suite of it, and how it is trusted."""

    uri: str
    suite: str
    signed_by: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Archive:
    """Where a release comes from: the main archive and, where known, security updates."""

    main: str
    security: str | None = None
    signed_by: str = ""
    trusted: bool = False

    def entry(self, uri: str, suite: str) -> str:
        """A one-line sources.list entry for `suite` of `uri`."""
        options = []
        if self.trusted:
            options.append("trusted=yes")
        elif self.signed_by:
            options.append(f"signed-by={self.signed_by}")
        words = ["deb", f"[{' '.join(options)}]" if options else "", uri, suite, "main"]
        return " ".join(word for word in words if word)


def parse_one_line(text: str) -> list[Source]:
    """The binary archives of a sources.list in the one-line form."""
    found = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.strip())
        if not match:
            continue
        options = dict(
            word.split("=", 1) for word in shlex.split(match["options"] or "") if "=" in word
        )
        found.append(
            Source(
                match["uri"],
                match["suite"],
                options.get("signed-by", ""),
                options.get("trusted") == "yes",
            )
        )
    return found


def parse_deb822(text: str) -> list[Source]:
    """The binary archives of a .sources file (deb822 stanzas)."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if (
            fields.get("enabled", "yes").lower() == "no"
            or "deb" not in fields.get("types", "").split()
        ):
            continue
        signed_by = fields.get("signed-by", "")
        if "\n" in signed_by:
            signed_by = ""  # a key written inline: the machine's keyring serves instead
        found += [
            Source(uri, suite, signed_by, fields.get("trusted", "").lower() == "yes")
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return found


def read_sources(directory: Path = Path("/etc/apt")) -> list[Source]:
    """Every archive that apt on this machine uses."""
    found = []
    for path in [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))]:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        text = path.read_text(errors="replace")
        found += parse_deb822(text) if path.suffix == ".sources" else parse_one_line(text)
    return found


def find_archive(sources: Iterable[Source], mirror: str | None = None) -> Archive:
    """The Debian archive to build from: `mirror` where given, else the machine's own.

    Raises `InputError` where the machine's apt knows no Debian archive.
    """
    debian = [each for each in sources if each.suite.split("-")[0].strip("/") in DEBIAN_SUITES]
    security = next((each for each in debian if "-security" in each.suite), None)
    main = next((each for each in debian if "-" not in each.suite), None)
    ours = ",".join(str(path) for path in KEYRINGS if path.exists())
    if mirror:
        uri = mirror.rstrip("/")
        return Archive(uri, f"{uri}-security", ours)
    if main is None:
        raise InputError(
            "this machine's apt configuration names no Debian archive to build lab hosts from",
            help="name one: provisioner lab up --mirror URL (the part before `dists/`)",
        )
    return Archive(
        main.uri.rstrip("/"),
        security.uri.rstrip("/") if security else f"{main.uri.rstrip('/')}-security",
        main.signed_by if main.signed_by and not ours.startswith(main.signed_by) else ours,
        main.trusted,
    )


def entries(archive: Archive, release: str, serves: Callable[[str, str], bool]) -> list[str]:
    """The sources.list lines to build `release` from.

    `serves(uri, suite)` says whether an archive has a suite; updates and security
    fixes are used where they are served (a release can be too young or too old).
    """
    lines = [archive.entry(archive.main, release)]
    optional = [(archive.main, f"{release}-updates")]
    if archive.security:
        optional.append((archive.security, f"{release}-security"))
    return lines + [archive.entry(uri, suite) for uri, suite in optional if serves(uri, suite)]
