"""How many made-up files the real postconf is asked about: few in each run, and always the same;
as many others as one likes with PROVISIONER_EXAMPLES."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

#: One example is a batch of files, so that a chroot is entered once for all of them.
BATCH = 40

_wanted = os.environ.get("PROVISIONER_EXAMPLES", "")
real = settings(
    max_examples=int(_wanted or 3),
    deadline=None,
    derandomize=not _wanted,
    database=None,
    phases=[Phase.generate],  # a failure names its file; shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
