"""What every test shares: hypothesis without clocks, and what needs root."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from lacking import lacking

# Examples differ in cost and machines in speed: no test asserts wall time.
settings.register_profile(
    "plain", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("plain")


@pytest.fixture
def root() -> None:
    """For tests that need to be root on this machine."""
    if os.geteuid() != 0:
        lacking("needs root (mount and PID namespaces, chown)")
