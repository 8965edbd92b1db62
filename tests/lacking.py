"""What a test needs and this machine has not."""

from __future__ import annotations

import os

import pytest


def lacking(reason: str) -> None:
    """Skip the test for `reason`; in CI, where nothing may be lacking, fail instead."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; in CI this test must run")
    pytest.skip(reason)
