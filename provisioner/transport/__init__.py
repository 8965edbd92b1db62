"""Ways to a host: SSH, the local machine, and a public fake for tests.

`base` holds the protocol all of them follow, `open_transport` gives the one to use,
`target_of` turns inventory variables into what it connects to.
"""

from provisioner.transport.base import (
    Connection,
    Counters,
    Exchange,
    Limits,
    Target,
    Transport,
)
from provisioner.transport.opening import open_transport
from provisioner.transport.target import Overrides, target_of

__all__ = [
    "Connection",
    "Counters",
    "Exchange",
    "Limits",
    "Overrides",
    "Target",
    "Transport",
    "open_transport",
    "target_of",
]
