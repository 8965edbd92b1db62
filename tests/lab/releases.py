"""Which Debian releases a test session boots."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from provisioner.lab.recipe import RELEASES

if TYPE_CHECKING:
    import pytest

DEFAULT_RELEASES = ("bookworm", "trixie")


def chosen_releases(config: pytest.Config) -> tuple[str, ...]:
    if config.getoption("--all-releases", default=False):
        return RELEASES
    named = config.getoption("--lab-release", default=None)
    named = named or os.environ.get("PROVISIONER_LAB_RELEASES", "").split()
    if named == ["all"]:
        return RELEASES
    return tuple(named) or DEFAULT_RELEASES
