"""The fuzz targets hold for a few inputs each; `inv fuzz` tries them for as long as wanted."""

from __future__ import annotations

import random

import pytest
from fuzz_targets import TARGETS
from fuzzing import pieces, random_input

FILES = ("ini", "yaml", "site", "known_hosts", "ssh_config")


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds(name: str) -> None:
    chooser, known = random.Random(1), pieces()  # noqa: S311 - not a secret
    for _ in range(50 if name in FILES else 400):
        TARGETS[name](random_input(chooser, known))
