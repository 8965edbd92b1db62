"""Where a connection really goes: a target (or jump host) with its ssh configuration applied."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.errors import InputError
from provisioner.transport import knownhosts
from provisioner.transport.base import Target
from provisioner.transport.sshconfig import SshConfig, expand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provisioner.secrets import Secret

#: Identity files that are tried where none is configured.
DEFAULT_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")

_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^:@\[\]]+)(?::(?P<port>\d+))?/?"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One sshd and all that is needed to reach and enter it."""

    name: str
    """The inventory's name of the host this is for, as errors show it."""
    alias: str
    host: str
    port: int
    user: str
    known_as: str
    known_hosts: tuple[Path, ...]
    identity_files: tuple[Path, ...]
    """Named by the user; empty means `DEFAULT_IDENTITIES`."""
    identities_only: bool
    agent: str | None
    use_keys: bool
    use_password: bool
    password: Secret | None
    jumps: tuple[str, ...]
    proxy_command: str | None
    family: socket.AddressFamily
    connect_seconds: float

    @property
    def where(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def shared_key(self) -> tuple[object, ...]:
        """Equal for endpoints one connection can serve: what differs is only the asker."""
        return (self.alias, self.host, self.port, self.user, self.jumps, self.proxy_command)


@dataclass(frozen=True, slots=True)
class Resolver:
    """Applies the ssh configuration; `known_hosts` and `connect_seconds` are defaults."""

    config: SshConfig
    known_hosts: tuple[Path, ...] | None
    connect_seconds: float

    def target(self, target: Target) -> Endpoint:
        """The endpoint of `target`. Raises `InputError`."""
        found = _Settings(target.options, self.config.lookup(target.address))
        jumps = target.proxy_jump if target.proxy_jump is not None else found.text("proxyjump")
        return self._endpoint(
            target.name,
            target.address,
            found,
            port=target.port,
            user=target.user,
            jumps=jumps,
            password=target.password,
            identity=target.private_key_file,
        )

    def hop(self, spec: str, via: tuple[str, ...]) -> Endpoint:
        """The jump host `[user@]host[:port]`, itself behind `via`. Raises `InputError`."""
        target = parse_destination(spec)
        jumps = ",".join(via) if via else None
        return self.target(replace(target, proxy_jump=jumps))

    def _endpoint(
        self,
        name: str,
        alias: str,
        found: _Settings,
        *,
        port: int | None,
        user: str | None,
        jumps: str | None,
        password: Secret | None = None,
        identity: str | None = None,
    ) -> Endpoint:
        port = port or found.number("port") or 22
        user = user or found.text("user") or getpass.getuser()
        host = (found.text("hostname") or alias).replace("%h", alias)

        def path(text: str) -> Path:
            filled = expand(text, alias=alias, host=host, port=port, user=user)
            return Path(filled).expanduser()

        named = ([identity] if identity else []) + found.all("identityfile")
        chain = _chain(jumps, alias, host)
        proxy = None if jumps else found.text("proxycommand")
        if proxy and proxy != "none":
            proxy = expand(proxy, alias=alias, host=host, port=port, user=user)
        own_name = found.text("hostkeyalias")
        return Endpoint(
            name=name,
            alias=alias,
            host=host,
            port=port,
            user=user,
            known_as=own_name.lower() if own_name else knownhosts.host_name_in_records(host, port),
            known_hosts=tuple(path(str(each)) for each in self._record_files(found)),
            identity_files=tuple(path(each) for each in named if each != "none"),
            identities_only=found.flag("identitiesonly", False),
            agent=_agent_socket(found.text("identityagent")),
            use_keys=found.flag("pubkeyauthentication", True),
            use_password=found.flag("passwordauthentication", True),
            password=password,
            jumps=chain,
            proxy_command=None if proxy == "none" else proxy,
            family=_FAMILIES.get(found.text("addressfamily") or "any", socket.AF_UNSPEC),
            connect_seconds=found.number("connecttimeout") or self.connect_seconds,
        )

    def _record_files(self, found: _Settings) -> list[Path]:
        """Files with recorded keys, the one to write to first."""
        if self.known_hosts is not None:
            return list(self.known_hosts)
        files: list[Path] = []
        for keyword, default in (
            ("userknownhostsfile", knownhosts.USER_FILES),
            ("globalknownhostsfile", knownhosts.GLOBAL_FILES),
        ):
            text = found.text(keyword)
            files += [Path(each) for each in shlex.split(text)] if text else default
        return [each for each in files if str(each) != "none"]


def parse_destination(spec: str) -> Target:
    """`[user@]host[:port]`, as ssh takes it. Raises `InputError`."""
    parts = _JUMP.fullmatch(spec)
    if parts is None or parts["host"].startswith("-"):
        raise InputError(f"{spec!r} is not a host to log in to: [user@]host[:port]")
    return Target(
        name=spec,
        address=parts["host"].strip("[]"),
        port=int(parts["port"]) if parts["port"] else None,
        user=parts["user"],
    )


class _Settings:
    """`-o` options before the configuration file, the first one winning."""

    def __init__(self, options: tuple[tuple[str, str], ...], config: Mapping[str, Any]) -> None:
        self._options = options
        self._config = config

    def all(self, keyword: str) -> list[str]:
        given = [value for key, value in self._options if key == keyword]
        configured = self._config.get(keyword) or []
        return given + ([configured] if isinstance(configured, str) else list(configured))

    def text(self, keyword: str) -> str | None:
        return next(iter(self.all(keyword)), None)

    def number(self, keyword: str) -> int | None:
        text = self.text(keyword)
        if text is None or text == "none":
            return None
        if not text.isascii() or not text.isdigit():
            raise InputError(f"ssh option {keyword}: {text!r} is not a number")
        return int(text)

    def flag(self, keyword: str, default: bool) -> bool:
        text = self.text(keyword)
        return default if text is None else text.lower() in ("yes", "true")


def _chain(jumps: str | None, alias: str, host: str) -> tuple[str, ...]:
    """The jump hosts in order. A host that is its own jump host is reached directly."""
    if not jumps or jumps.lower() == "none":
        return ()
    chain = tuple(each.strip() for each in jumps.split(",") if each.strip())
    last = _JUMP.fullmatch(chain[-1]) if chain else None
    if last and last["host"].strip("[]").lower() in (alias.lower(), host.lower()):
        return ()
    return chain


def _agent_socket(configured: str | None) -> str | None:
    if configured is None or configured == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    if configured == "none":
        return None
    if configured.startswith("$"):
        return os.environ.get(configured.strip("${}")) or None
    return str(Path(configured).expanduser())
