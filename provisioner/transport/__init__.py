"""Ways to a host: SSH, the local machine, and a public fake for tests.

`base` holds the protocol all of them follow.
"""

from provisioner.transport.base import (
    Connection,
    Counters,
    Exchange,
    Limits,
    Target,
    Transport,
)

__all__ = ["Connection", "Counters", "Exchange", "Limits", "Target", "Transport"]
