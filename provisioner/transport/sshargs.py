"""Options of ssh(1) as inventories carry them: `ansible_ssh_common_args` and its like."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from provisioner.diagnostics import nearest
from provisioner.errors import InputError

if TYPE_CHECKING:
    from provisioner.marks import Mark

#: Keywords of ssh_config(5) that change how we connect, in lower case.
EFFECTIVE = {
    "addressfamily",
    "certificatefile",
    "connecttimeout",
    "globalknownhostsfile",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "passwordauthentication",
    "port",
    "proxycommand",
    "proxyjump",
    "pubkeyauthentication",
    "user",
    "userknownhostsfile",
}

#: Keywords that are accepted and change nothing here: sharing of connections, keep-alive,
#: compression and logging are ours; nothing is forwarded; host keys are always strict.
WITHOUT_EFFECT = {
    "batchmode",
    "checkhostip",
    "compression",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "forwardagent",
    "forwardx11",
    "gssapiauthentication",
    "gssapidelegatecredentials",
    "hashknownhosts",
    "kbdinteractiveauthentication",
    "challengeresponseauthentication",
    "loglevel",
    "numberofpasswordprompts",
    "preferredauthentications",
    "requesttty",
    "serveralivecountmax",
    "serveraliveinterval",
    "stricthostkeychecking",
    "tcpkeepalive",
    "updatehostkeys",
    "visualhostkey",
}

#: Letters of ssh(1) that stand for a keyword and take an argument.
_LETTERS = {"i": "identityfile", "J": "proxyjump", "p": "port", "l": "user", "S": "controlpath"}

#: Letters without argument: what they set, or None where that changes nothing here.
_FLAGS: dict[str, tuple[str, str] | None] = {
    "4": ("addressfamily", "inet"),
    "6": ("addressfamily", "inet6"),
    **dict.fromkeys("AaCkqTtvXxYy"),
}


def parse_ssh_args(text: str, variable: str, mark: Mark | None) -> list[tuple[str, str]]:
    """The options in `text`, as (lower-case keyword, value) in the order given.

    Raises `InputError` naming `variable` for what cannot be parsed or is not supported.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{variable}: {error}", mark=mark) from error
    found: list[tuple[str, str]] = []
    while words:
        word = words.pop(0)
        if not word.startswith("-") or len(word) < 2:
            raise InputError(f"{variable}: {word!r} is not an option of ssh", mark=mark)
        letter, rest = word[1], word[2:]
        if letter == "o" or letter in _LETTERS:
            if not rest and not words:
                raise InputError(f"{variable}: -{letter} lacks its argument", mark=mark)
            value = rest or words.pop(0)
            option = (
                parse_option(value, variable, mark) if letter == "o" else (_LETTERS[letter], value)
            )
            found.append(option)
            continue
        if letter not in _FLAGS:
            raise _unsupported(f"-{letter}", variable, mark)
        if (setting := _FLAGS[letter]) is not None:
            found.append(setting)
        if rest:
            words.insert(0, f"-{rest}")
    return [option for option in found if option[0] not in WITHOUT_EFFECT]


def parse_option(text: str, variable: str, mark: Mark | None) -> tuple[str, str]:
    """`Keyword=value` or `Keyword value`, as `-o` takes it. Raises `InputError`."""
    parts = re.fullmatch(r"\s*(\w+)(?:\s*=\s*|\s+)(.*?)\s*", text)
    if parts is None:
        raise InputError(f"{variable}: -o {text!r} is not KEYWORD=VALUE", mark=mark)
    keyword = parts[1].lower()
    if keyword not in EFFECTIVE and keyword not in WITHOUT_EFFECT:
        raise _unsupported(parts[1], variable, mark)
    if keyword == "certificatefile":
        raise InputError(
            f"{variable}: CertificateFile: user certificates are not supported", mark=mark
        )
    value = parts[2]
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return keyword, value


def _unsupported(option: str, variable: str, mark: Mark | None) -> InputError:
    likely = nearest(option.lower(), EFFECTIVE | WITHOUT_EFFECT)
    return InputError(
        f"{variable}: the ssh option {option} is not supported",
        mark=mark,
        help=f"did you mean {likely}?" if likely else "docs/reference/ssh.md lists those that are",
    )
