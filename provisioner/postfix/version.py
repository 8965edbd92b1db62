"""Postfix versions, comparable. Rests on postconf(5), `mail_version`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+)|-(\d{8})\S*)?")


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """Major, minor and patch level. Snapshots (`3.12-20260821`) count as patch level 0."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @classmethod
    @cache
    def parse(cls, text: str) -> Version:
        """The version that `postconf -h mail_version` prints.

        Raises ValueError for what is no Postfix version.
        """
        match = _VERSION.match(text.strip())
        if not match:
            raise ValueError(f"{text!r} is no Postfix version (as 3.7.11)")
        return cls(int(match[1]), int(match[2]), int(match[3] or 0))
