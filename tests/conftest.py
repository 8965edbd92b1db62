"""What every test shares: hypothesis without clocks, and what needs root."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Examples differ in cost and machines in speed: no test asserts wall time.
settings.register_profile(
    "plain", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("plain")


def lacking(reason: str) -> None:
    """Skip the test for `reason`; in CI, where nothing may be lacking, fail instead."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; in CI this test must run")
    pytest.skip(reason)


@pytest.fixture
def root() -> None:
    """For tests that need to be root on this machine."""
    if os.geteuid() != 0:
        lacking("needs root (mount and PID namespaces, chown)")
