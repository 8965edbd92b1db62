"""Host names as inventories write them: with ports, and with ranges to expand."""

from __future__ import annotations

import ipaddress
import re
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Most hosts that one range may stand for.
MAX_HOSTS = 100_000

_FORMS = "ranges are [1:9], [01:20], [a:f] or [1:9:2]"


class RangeError(ValueError):
    """What is wrong with a range; `help` says how it is written."""

    def __init__(self, message: str, advice: str = _FORMS) -> None:
        super().__init__(message)
        self.help = advice


_BRACKETED_PORT = re.compile(r"\[(.+)\]:([0-9]+)")
_PLAIN_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)")
_DECIMAL_RANGE = re.compile(r"\[[0-9]+:[0-9]+(?::[0-9]+)?\]")
_HEX_RANGE = re.compile(r"\[[0-9a-f]+:[0-9a-f]+(?::[0-9]+)?\]", re.IGNORECASE)
_NAME_RANGE = re.compile(r"\[(?:[a-z]:[a-z]|[0-9]+:[0-9]+)(?::[0-9]+)?\]", re.IGNORECASE)
_NAME = re.compile(r"\w(?:[\w-]*(?<![_-]))?(?:\.\w(?:[\w-]*(?<![_-]))?)*")
_HEX_GROUPS = re.compile(r"[0-9a-f:.]+", re.IGNORECASE)


def split_port(text: str, *, ranges: bool = True) -> tuple[str, int | None] | None:
    """`text` as (host, port), or None where it is no address, host name or range of them.

    An IPv6 address takes its port behind brackets: `[2001:db8::1]:2222`.
    """
    host, port = text, None
    for pattern in (_BRACKETED_PORT, _PLAIN_PORT):
        found = pattern.fullmatch(host)
        if found:
            host, port = found[1], int(found[2]) if len(found[2]) < 20 else None
    if not is_host(host) or ("[" in host and not ranges):
        return None
    return host, port


def is_host(text: str) -> bool:
    """Whether `text` is an IP address or a host name, ranges allowed in it."""
    if _NAME.fullmatch(_NAME_RANGE.sub("0", text)):
        return True
    if is_ipv4(_DECIMAL_RANGE.sub("0", text)):
        return True
    plain = _HEX_RANGE.sub("0", text)
    return bool(_HEX_GROUPS.fullmatch(plain)) and _parses(ipaddress.IPv6Address, plain)


def is_ipv4(text: str) -> bool:
    return _parses(ipaddress.IPv4Address, text)


def _parses(kind: Callable[[str], object], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def expand(pattern: str) -> tuple[list[str], int | None]:
    """The hosts that `pattern` stands for, and the port given to all of them.

    `mx[01:20].example.com` counts with leading zeros kept, `[a:c]` goes through
    letters, `[1:9:2]` steps; several ranges multiply. Raises RangeError.
    """
    if ":" not in pattern and "[" not in pattern:
        return [pattern], None
    split = split_port(pattern)
    name, port = split if split else (pattern, None)
    hosts = [name]
    while hosts and "[" in hosts[0]:
        values, tail = _first_range(hosts[0])
        hosts = _multiply(hosts, values, len(tail))
    return hosts, port


def _first_range(text: str) -> tuple[list[str], str]:
    """The values of the first range in `text`, and what stands behind it."""
    inside, closed, tail = text.partition("[")[2].partition("]")
    if not closed:
        raise RangeError(
            'the "[" of a range is not closed', f"{_FORMS}; a section header ends in ]"
        )
    return _range_values(inside), tail


def _multiply(hosts: list[str], values: list[str], tail: int) -> list[str]:
    """Each host with each value in place of its first range; `tail` is how much follows it."""
    if len(hosts) * len(values) > MAX_HOSTS:
        raise RangeError(f"the range stands for more than {MAX_HOSTS} hosts", "name fewer")
    # Earlier ranges may have filled in texts of different length: find each "[" anew.
    result: list[str] = []
    for host in hosts:
        start = host.index("[")
        end = len(host) - tail
        result.extend(f"{host[:start]}{value}{host[end:]}" for value in values)
    return result


def _range_values(inside: str) -> list[str]:
    bounds = inside.split(":")
    if len(bounds) not in (2, 3):
        raise RangeError(
            f'"[{inside}]" is no range, which is [begin:end] or [begin:end:step]', _advice(inside)
        )
    begin, end = bounds[0] or "0", bounds[1]
    if not end:
        raise RangeError("the range has no end", f"write [{begin}:LAST]")
    step = int(bounds[2]) if len(bounds) == 3 and _is_number(bounds[2]) else 1
    if len(bounds) == 3 and (not _is_number(bounds[2]) or step == 0):
        raise RangeError(f'the step "{bounds[2]}" is no number other than 0')
    if begin[0] == "0" and len(begin) > 1 and len(begin) != len(end):
        width = max(len(begin), len(end))
        raise RangeError(
            "with leading zeros, begin and end must have the same length",
            f"write [{begin.zfill(width)}:{end.zfill(width)}]",
        )
    letters = string.ascii_letters
    if begin in letters and end in letters:
        if letters.index(begin) > letters.index(end):
            raise RangeError("the range begins behind its end", f"write [{end}:{begin}]")
        return list(letters[letters.index(begin) : letters.index(end) + 1 : step])
    if not (_is_number(begin) and _is_number(end)):
        raise RangeError(f'"{inside}" goes neither from letter to letter nor from number to number')
    numbers = range(int(begin), int(end) + 1, step)
    if len(numbers) > MAX_HOSTS:
        raise RangeError(f"the range stands for more than {MAX_HOSTS} hosts", "name fewer")
    return _padded(numbers, len(begin) if begin[0] == "0" and len(begin) > 1 else 0)


def _advice(inside: str) -> str:
    """What was meant by a range without a colon: often another tool's spelling."""
    bounds = re.fullmatch(r"(\w+)(?:-|\.\.)(\w+)", inside)
    if bounds:
        return f"write [{bounds[1]}:{bounds[2]}]"
    return f"{_FORMS}; a section header stands alone on its line"


def _padded(numbers: Iterable[int], width: int) -> list[str]:
    return [str(number).zfill(width) for number in numbers]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,18}", text) is not None
