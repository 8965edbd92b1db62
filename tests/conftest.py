"""What every test shares: hypothesis without clocks, and what needs root."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from lacking import lacking

# Examples differ in cost and machines in speed: no test asserts wall time.
settings.register_profile(
    "plain", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("plain")

# A shell starts what it puts into the background deaf to these, and so would we start what
# is tested here.
signal.signal(signal.SIGINT, signal.default_int_handler)
for deaf in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(deaf, signal.SIG_DFL)


@pytest.fixture
def root() -> None:
    """For tests that need to be root on this machine."""
    if os.geteuid() != 0:
        lacking("needs root (mount and PID namespaces, chown)")
