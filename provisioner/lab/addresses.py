"""Which address is whose: pure arithmetic on a lab's block of 198.18.0.0/15.

That range is reserved for tests of network devices (RFC 2544) and routed nowhere.
Each lab has a /23 of it: the lower half for what surrounds the hosts, the upper
half for the hosts.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from provisioner.errors import InputError

#: What clients of a lab's mail servers are good for, by name; see docs/lab.md.
CLIENTS = ("good", "listed", "nameless", "mismatched", "dynamic", "allowed", "second", "third")


@dataclass(frozen=True, slots=True)
class Block:
    """Block number 0 to 255 of the range, and the addresses in it."""

    number: int

    RANGE: ClassVar[IPv4Network] = IPv4Network("198.18.0.0/15")
    COUNT: ClassVar[int] = 256
    PREFIX: ClassVar[int] = 23
    HOSTS: ClassVar[int] = 254

    @property
    def network(self) -> IPv4Network:
        base = int(self.RANGE.network_address) + (self.number << (32 - self.PREFIX))
        return IPv4Network((base, self.PREFIX))

    def _at(self, offset: int) -> str:
        return str(IPv4Address(int(self.network.network_address) + offset))

    @property
    def controller(self) -> str:
        """This machine's own address in the lab."""
        return self._at(1)

    @property
    def dns(self) -> str:
        """The lab's DNS server."""
        return self._at(53)

    def client(self, name: str) -> str:
        """The address of the client called `name`. Raises `InputError` for another name."""
        if name not in CLIENTS:
            raise InputError(
                f"no lab client is called {name!r}", help=f"one of: {', '.join(CLIENTS)}"
            )
        return self._at(200 + CLIENTS.index(name))

    @property
    def clients(self) -> dict[str, str]:
        return {name: self.client(name) for name in CLIENTS}

    def host(self, index: int) -> str:
        """The address of host `index`, counting from 1 to `HOSTS`."""
        if not 1 <= index <= self.HOSTS:
            raise InputError(f"a lab has at most {self.HOSTS} hosts")
        return self._at(256 + index)
