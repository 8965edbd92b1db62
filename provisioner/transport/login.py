"""Logging in on an encrypted, verified connection: keys first, then the password."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import Unreachable
from provisioner.transport.endpoint import DEFAULT_IDENTITIES, Endpoint
from provisioner.transport.keys import Candidate, KeyRing, KeyUnusable
from provisioner.transport.leanly import paramiko

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Most attempts on one connection; sshd ends it after six (MaxAuthTries).
MAX_ATTEMPTS = 6

_PASSWORD_METHODS = {"password", "keyboard-interactive"}


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to prove who we are.

    `prepare` opens what is needed (and may ask the user); what it returns does the
    attempt and gives back the methods still asked for.
    """

    label: str
    methods: frozenset[str]
    prepare: Callable[[], Callable[[paramiko.Transport], list[str]]]


def login(transport: paramiko.Transport, endpoint: Endpoint, ring: KeyRing, seconds: float) -> str:
    """Log in as `endpoint.user` within `seconds`; says by what.

    Raises `Unreachable` listing what was tried.
    """
    deadline = time.monotonic() + seconds
    allowed: frozenset[str] | None = None
    tried: list[str] = []
    attempts = 0
    for way in _ways(endpoint, ring):
        if attempts == MAX_ATTEMPTS:
            break
        if allowed is not None and not way.methods & allowed:
            continue
        asked_at = time.monotonic()
        try:
            attempt = way.prepare()
        except KeyUnusable as problem:
            tried.append(f"{way.label} ({problem})")
            continue
        finally:
            deadline += time.monotonic() - asked_at  # the user's time is not the host's
        transport.auth_timeout = max(0.1, deadline - time.monotonic())
        try:
            more = attempt(transport)
        except paramiko.BadAuthenticationType as error:
            allowed = frozenset(error.allowed_types)
            tried.append(f"{way.label} (not accepted there)")
            continue
        except (paramiko.SSHException, EOFError, OSError) as error:
            tried.append(way.label)
            _raise_if_over(transport, endpoint, tried, deadline, seconds, error)
        else:
            if not more:
                return way.label
            allowed = frozenset(more)
            tried.append(f"{way.label} (accepted, but {' or '.join(more)} is asked for as well)")
        attempts += 1
    raise _refused(endpoint, tried)


def _ways(endpoint: Endpoint, ring: KeyRing) -> Iterator[_Way]:
    room = MAX_ATTEMPTS
    if endpoint.password is not None and endpoint.use_password:
        room -= 1  # the password is always among the attempts
    if endpoint.use_keys:
        files = endpoint.identity_files or tuple(Path(p).expanduser() for p in DEFAULT_IDENTITIES)
        offered = ring.candidates(files, endpoint.agent, only_files=endpoint.identities_only)
        for candidate, _ in zip(offered, range(room), strict=False):
            yield _Way(candidate.label, frozenset({"publickey"}), _by_key(endpoint.user, candidate))
    if room < MAX_ATTEMPTS and (secret := endpoint.password) is not None:
        yield _Way(
            "password",
            frozenset(_PASSWORD_METHODS),
            lambda: lambda transport: transport.auth_password(endpoint.user, secret.reveal()),
        )


def _by_key(user: str, candidate: Candidate) -> Callable[[], Callable[..., list[str]]]:
    def prepare() -> Callable[[paramiko.Transport], list[str]]:
        key = candidate.load()
        return lambda transport: transport.auth_publickey(user, key)

    return prepare


def _raise_if_over(
    transport: paramiko.Transport,
    endpoint: Endpoint,
    tried: list[str],
    deadline: float,
    seconds: float,
    error: Exception,
) -> None:
    """Raise `Unreachable` if no further attempt can be made on this connection."""
    if time.monotonic() >= deadline:
        message = f"login as {endpoint.user} had no answer within {seconds:g} s"
        raise Unreachable(endpoint.name, "login", message) from error
    if not transport.is_active():
        message = (
            f"{endpoint.where} closed the connection during login as {endpoint.user}, "
            f"after {', '.join(tried)}"
        )
        advice = "too many keys? name the right one: ansible_ssh_private_key_file, IdentityFile"
        raise Unreachable(endpoint.name, "login", message, help=advice) from error


def _refused(endpoint: Endpoint, tried: list[str]) -> Unreachable:
    if tried:
        message = f"{endpoint.where} refused the login as {endpoint.user}; tried: "
        message += ", ".join(tried)
    else:
        message = f"nothing to log in with as {endpoint.user}: no key, no agent, no password"
    return Unreachable(
        endpoint.name,
        "login",
        message,
        help="name the user and key (ansible_user, ansible_ssh_private_key_file), "
        "or load the key into an agent",
    )
