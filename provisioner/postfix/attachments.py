"""Patterns that find files by the ending of their name in MIME headers.

What has to be met (RFC 2045, 2183, 2231, 5322; header_checks(5)):

- `Content-Type: …; name=x.exe` and `Content-Disposition: …; filename=x.exe`, quoted or
  not, with blanks around `=`;
- a header folded over several lines: header_checks see it whole, its line ends inside;
- RFC 2231: `filename*=utf-8''x.exe` and pieces `filename*0="x."; filename*1="exe"`, whose
  last piece alone has the ending;
- dots and blanks at the end (`x.exe.`, `"x.exe "`), which Windows ignores;
- the ending as such only: `foo.company` does not end in `.com`.

What cannot be met: names inside RFC 2047 encoded words, archives, and a piece boundary
inside the ending itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ENDING = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,15}")
_SPECIAL = frozenset(r".[]{}()*+?^$|\/")


def escape(text: str) -> str:
    """`text` as a POSIX extended (and PCRE) expression that matches it alone."""
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in text)


def check_ending(ending: str) -> str:
    """An ending without its dot, in lower case. Raises ValueError for what is none."""
    plain = ending.lstrip(".").lower()
    if not _ENDING.fullmatch(plain):
        raise ValueError(f"{ending!r} is not the ending of a file name")
    return plain


def patterns(endings: Iterable[str]) -> list[str]:
    """Expressions, to be matched against whole MIME headers, for files with these endings.

    Good for regexp: and pcre: tables, where matching ignores case. Raises ValueError.
    """
    words = "|".join(escape(ending) for ending in sorted({check_ending(e) for e in endings}))
    if not words:
        raise ValueError("no ending is given")
    header = r"^Content-(Disposition|Type):"
    # A parameter begins behind a semicolon, and blanks may stand around its `=`. (A line
    # end inside a folded header is a blank too.)
    name = r";[[:space:]]*(file)?name(\*[0-9]*\*?)?[[:space:]]*="
    after = r"(\.|%20|[[:space:]])*"
    quoted = rf'[[:space:]]*"([^"]*\.)?({words}){after}"'
    plain = rf"[[:space:]]*([^\";[:space:]]*\.)?({words})(\.|%20)*[[:space:]]*(;|$)"
    # With a piece number the ending's dot may have stayed in the piece before.
    piece = r";[[:space:]]*(file)?name\*[1-9][0-9]*\*?[[:space:]]*="
    dotted_quoted = rf'[[:space:]]*"[^"]*\.({words}){after}"'
    dotted_plain = rf"[[:space:]]*[^\";[:space:]]*\.({words})(\.|%20)*[[:space:]]*(;|$)"
    return [
        f"{header}.*{name}({dotted_quoted}|{dotted_plain})",
        f"{header}.*{piece}({quoted}|{plain})",
    ]
