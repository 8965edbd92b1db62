"""Access tables: keys that can match, and actions that mean what they say (access(5))."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address, ip_network

from provisioner.postfix import restrictions

#: Actions, and what has to stand behind them.
ACTIONS = {
    "OK": "",
    "RELAY": "",
    "REJECT": "",
    "DEFER": "",
    "DEFER_IF_PERMIT": "",
    "DEFER_IF_REJECT": "",
    "DUNNO": "",
    "DISCARD": "",
    "HOLD": "",
    "INFO": "",
    "WARN": "",
    "BCC": "an address",
    "FILTER": "transport:destination",
    "PREPEND": "Header: text",
    "REDIRECT": "an address",
}
#: Actions that end the list and accept.
ACCEPTING = frozenset({"OK", "RELAY", "PERMIT"})
_CODE = re.compile(r"[45]\d\d")
_CODE_TEXT = re.compile(r"[45]\d\d[ \t]+(?![45]\.\d{1,3}\.\d{1,3}[ \t]*$)\S.*")
_BRACKETS = re.compile(r"\[(.*)\]")


def action_fault(action: str, classes: Collection[str] = ()) -> tuple[str, str]:
    """What is wrong with an action, and the advice; ("", "") if nothing.

    `classes` are restriction classes that it may name.
    """
    text = action.strip()
    if text.isdigit():
        return (
            f"the action {text!r} would *accept*: a bare number does",
            f"write '{text} some text', or REJECT",
        )
    word, _, rest = text.partition(" ")
    if _CODE.match(word):
        if _CODE_TEXT.fullmatch(text):
            return "", ""
        return f"{text!r} is no reply", f"write {word[:3]} and a text behind it"
    if word.upper() in ACTIONS:
        needed = ACTIONS[word.upper()]
        if needed and not rest.strip():
            return f"{word} needs {needed} behind it", ""
        return "", ""
    if all(_is_restriction(item, classes) for item in restrictions.split(text)):
        return "", ""
    return (
        f"there is no action {word!r}: every client it is for would be told 451",
        f"access(5) has {', '.join(ACTIONS)}, and replies like '550 5.7.1 text'",
    )


def _is_restriction(item: restrictions.Restriction, classes: Collection[str]) -> bool:
    return item.keyword is not None or item.name in classes or ":" in item.name


def accepts(action: str) -> bool:
    """Whether an action ends the list with yes."""
    return action.split(None, 1)[0].upper() in ACCEPTING if action.strip() else False


def key_fault(key: str, type_: str, stage: str) -> tuple[str, str]:
    """Why a key can never match in a table of that type, and the advice."""
    if type_ == "cidr":
        return _network_fault(key)
    if type_ in ("regexp", "pcre"):
        if key[:1] in "/!" or key.split(" ")[0] in ("if", "endif"):
            return "", ""
        return f"{key}: a key of a {type_} table is a /pattern/", ""
    if key.startswith("."):
        return (
            f"{key}: a key with a leading dot never matches in an access table",
            f"write {key[1:]}: it covers the subdomains too",
        )
    inside = _BRACKETS.fullmatch(key)
    if inside and stage in ("client", "helo"):
        return f"{key}: addresses stand without brackets here", f"write {inside[1]}"
    if "/" in key and stage == "client":
        return (
            f"{key}: this type of table knows no networks",
            "give it `type: cidr`, or write whole octets (192.0.2)",
        )
    return _address_fault(key) if stage == "client" else ("", "")


def _network_fault(key: str) -> tuple[str, str]:
    try:
        ip_network(key.removeprefix("!"))
    except ValueError as error:
        return f"{key} is no network: {error}", "write 192.0.2.0/24, or an address"
    return "", ""


def _address_fault(key: str) -> tuple[str, str]:
    """Leading zeros are never looked up; IPv6 addresses are, in their short form."""
    octets = key.split(".")
    if all(each.isdigit() for each in octets):
        if any(len(each) > 1 and each.startswith("0") for each in octets):
            plain = ".".join(str(int(each)) for each in octets)
            return f"{key}: addresses are looked up without leading zeros", f"write {plain}"
        if len(octets) > 4 or any(int(each) > 255 for each in octets):
            return f"{key} is no address", ""
    if key.count(":") == 7 or "::" in key:
        try:
            short = str(ip_address(key))
        except ValueError:
            return f"{key} is no address", ""
        if short != key.lower():
            return f"{key}: addresses are looked up in their short form", f"write {short}"
    return "", ""
