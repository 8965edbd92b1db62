"""A TCP port that is open in the host's own firewall: firewalld, ufw, or nftables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from provisioner.resources.base import Action, Before, Change, OpenPort, Resource
from provisioner.resources.file import check_path
from provisioner.resources.observed import FirewallRequest, Observed, Request

_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_CHAIN = re.compile(r"(inet|ip|ip6)/[A-Za-z_][A-Za-z0-9_.-]*/[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class FirewallPort(Resource):
    """Port `port`, open to anybody, now and after a reboot.

    Without `where`, or with a zone of firewalld's as `where`: in firewalld or ufw if one is
    active, else there is nothing to do. With `FAMILY/TABLE/CHAIN` as `where`: by a rule in
    that chain of nftables, kept in `file`, which the host loads at boot. Raises ValueError
    for what is none of these.
    """

    kind: ClassVar[str] = "firewall"
    port: int
    where: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        if self.where and not _CHAIN.fullmatch(self.where) and not _ZONE.fullmatch(self.where):
            raise ValueError(f"{self.where!r} is neither a zone nor family/table/chain")
        if "/" in self.where:
            check_path(self.file)
        if " " in self.file:
            raise ValueError(f"{self.file!r} has a blank in it")

    @property
    def name(self) -> str:
        return f"{self.port}/tcp" + (f" in {self.where}" if self.where else "")

    @property
    def request(self) -> FirewallRequest:
        return FirewallRequest(self.port, self.where, self.file)

    def requests(self) -> Iterable[Request]:
        return (self.request,)

    def identity(self) -> object:
        return [self.port, self.where, self.file]

    def diff(self, observed: Observed) -> Iterable[Change]:
        state = observed.firewall[self.request]
        if state.filter == "missing":
            raise ValueError(
                f"nftables has no chain {self.where} on this host (nft list chains says which)"
            )
        if state.filter == "unkept":
            raise ValueError(
                f"there is no {self.file} on this host, from which nftables would load the rule "
                "at boot"
            )
        closed = state.closed
        if not closed:
            return ()
        return (
            Change(
                self.address,
                Action.CREATE,
                before="open until the next reboot" if closed == ("kept",) else None,
                after=f"open in {state.filter}",
                origin=self.origin,
                effects=(OpenPort(self.how(observed), closed),),
            ),
        )

    def how(self, observed: Observed) -> str:
        """What is remembered of it, and how it is closed: filter, port, where, file."""
        filter_ = observed.firewall[self.request].filter
        if filter_ not in ("firewalld", "ufw", "nftables"):
            return ""
        return f"{filter_} {self.port} {self.where or '-'} {self.file or '-'}"

    def before(self, observed: Observed) -> Before:
        state = observed.firewall[self.request]
        is_open = state.live or state.kept
        return Before(present=is_open, value=f"open in {state.filter}" if is_open else None)
