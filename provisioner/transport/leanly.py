"""Loads paramiko, without what it loads and we do not need.

It takes invoke, and with it asyncio and unittest.mock, for `Match exec` in ssh_config, which
`sshconfig` runs itself; that is half of what importing paramiko costs.
"""

from __future__ import annotations

import sys

if "invoke" in sys.modules or "paramiko" in sys.modules:
    import paramiko as paramiko
else:
    # paramiko works without it, and says so only where it would be used.
    sys.modules["invoke"] = None  # type: ignore[assignment]
    try:
        import paramiko as paramiko
    finally:
        del sys.modules["invoke"]
