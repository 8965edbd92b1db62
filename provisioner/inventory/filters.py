"""The filters that values may use in templates: the few that inventories really need.

They mean what they mean to Ansible. `ipaddr` answers with the standard library's
`ipaddress`: the basic queries, and an error naming any other.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jinja2 import Undefined
from jinja2.filters import FILTERS as JINJA

from provisioner.diagnostics import nearest, printable

#: Longest text that a template may give, or build on its way, in characters.
MAX_TEXT = 1 << 20
#: Longest time that one regular expression may match, in seconds of the processor.
MATCHING_SECONDS = 2.0


class FilterError(ValueError):
    """A filter cannot do what it was asked; the message is for the user."""


def to_json(
    value: Any, indent: int | None = None, sort_keys: bool = False, ensure_ascii: bool = True
) -> str:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    try:
        return json.dumps(
            value,
            indent=indent,
            sort_keys=sort_keys,
            ensure_ascii=ensure_ascii,
            default=_jsonable,
        )
    except (TypeError, ValueError) as error:
        raise FilterError(f"to_json: {error}") from error


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} has no JSON")


def regex_replace(
    value: Any = "",
    pattern: str = "",
    replacement: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    count: int = 0,
) -> str:
    """Python's `re.sub`; groups are `\\1`."""
    flags = (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)
    try:
        with _bounded():
            return re.sub(pattern, replacement, _text(value), count=count, flags=flags)
    except (re.error, IndexError, TypeError) as error:
        raise FilterError(f"regex_replace: {error}") from error


@contextmanager
def _bounded() -> Iterator[None]:
    """Ends what takes more processor time than any honest expression. Python looks for signals
    while it matches, but hears them in its main thread alone; values are read there."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise FilterError("regex_replace: it takes too long to match this expression")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, MATCHING_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def join(value: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    items = list(value) if attribute is None else [each[attribute] for each in value]
    texts = [_text(each) for each in items]
    check_length(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def replace(value: Any, old: str, new: str, count: int = -1) -> str:
    text = _text(value)
    check_length(len(text) + (len(text) + 1) * len(new))
    return text.replace(old, new, count)


def check_length(length: int) -> None:
    """Raises FilterError for a text that nobody means to build."""
    if length > MAX_TEXT:
        raise FilterError("the result is too long")


def to_bool(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("yes", "true", "on", "1", "y", "t")
    return value in (True, 1)


def _text(value: Any) -> str:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    return value if isinstance(value, str) else str(value)


# ---- addresses ----------------------------------------------------------------------

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_QUERIES: dict[str, Callable[[Interface], Any]] = {
    "address": lambda i: str(i.ip),
    "network": lambda i: str(i.network.network_address),
    "broadcast": lambda i: str(i.network.broadcast_address),
    "netmask": lambda i: str(i.network.netmask),
    "hostmask": lambda i: str(i.network.hostmask),
    "prefix": lambda i: i.network.prefixlen,
    "size": lambda i: i.network.num_addresses,
    "version": lambda i: i.version,
    "subnet": lambda i: str(i.network),
    "network/prefix": lambda i: str(i.network),
    "host/prefix": str,
    "revdns": lambda i: f"{i.ip.reverse_pointer}.",
    "net": lambda i: str(i) if i.ip == i.network.network_address else False,
    "ipv4": lambda i: i.version == 4,
    "ipv6": lambda i: i.version == 6,
    "private": lambda i: i.ip.is_private,
    "public": lambda i: i.ip.is_global,
    "loopback": lambda i: i.ip.is_loopback,
}
#: Queries that keep the value as it is written where they hold.
_TESTS = ("ipv4", "ipv6", "private", "public", "loopback")


def ipaddr(value: Any, query: str | int = "") -> Any:
    """What `query` asks of an address or network; False where `value` is none.

    Of a list, the answers of those items that have one.
    """
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if isinstance(value, list | tuple):
        answers = [ipaddr(each, query) for each in value]
        return [answer for answer in answers if answer is not False]
    number = isinstance(query, int) or query.lstrip("-").isdigit()
    if not number and query and query not in _QUERIES:
        near = nearest(str(query), _QUERIES)
        raise FilterError(
            f"ipaddr does not know the query '{printable(str(query))}'"
            + (f"; did you mean '{near}'?" if near else f"; it knows {', '.join(_QUERIES)}")
        )
    interface = _interface(value)
    if interface is None:
        return False
    if query == "":
        return value
    if number:
        return _nth(interface, int(query))
    answer = _QUERIES[str(query)](interface)
    return value if answer is True and query in _TESTS else answer


def ipv4(value: Any, query: str | int = "") -> Any:
    return ipaddr(ipaddr(value, "ipv4"), query)


def ipv6(value: Any, query: str | int = "") -> Any:
    return ipaddr(ipaddr(value, "ipv6"), query)


def _interface(value: Any) -> Interface | None:
    if isinstance(value, bool) or not isinstance(value, str):
        return None
    try:
        return ipaddress.ip_interface(value)
    except ValueError:
        return None


def _nth(interface: Interface, number: int) -> Any:
    """The address of that number in the network, with the prefix; False beyond its end."""
    try:
        address = interface.network[number]
    except IndexError:
        return False
    return f"{address}/{interface.network.prefixlen}"


FILTERS: Mapping[str, Callable[..., Any]] = {
    **{
        name: JINJA[name]
        for name in (
            "default", "d", "lower", "upper", "trim", "first", "last",
            "length", "count", "int", "string", "list", "sort", "unique",
        )
    },
    "join": join,
    "replace": replace,
    "bool": to_bool,
    "to_json": to_json,
    "regex_replace": regex_replace,
    "ipaddr": ipaddr,
    "ipv4": ipv4,
    "ipv6": ipv6,
    "ansible.builtin.to_json": to_json,
    "ansible.builtin.regex_replace": regex_replace,
    "ansible.builtin.bool": to_bool,
    "ansible.utils.ipaddr": ipaddr,
    "ansible.utils.ipv4": ipv4,
    "ansible.utils.ipv6": ipv6,
}  # fmt: skip

__all__ = ["FILTERS", "FilterError", "ipaddr", "regex_replace", "to_json"]
