"""Who must answer when mail service is well: the listeners that master.cf declares, and the
servers that Postfix asks (master(5), smtpd(8), SMTPD_POLICY_README)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.planning import proxied
from provisioner.planning.proxied import Texts
from provisioner.postfix import main_cf, master_cf
from provisioner.postfix.master_cf import Service
from provisioner.postfix.service import port_of


@dataclass(frozen=True, slots=True)
class Listener:
    """One TCP listener. `port` is a number or a name of services(5).

    `kind`: `plain` greets and answers EHLO, `starttls` also completes a handshake, `tls`
    speaks TLS from the first byte, `proxied` is `plain` once it was told whose connection it is,
    `open` only listens. A `new` one must be well after the change, and so must one that begins or
    ends to wait for a proxy; one that stood before is held to what it was.
    """

    name: str
    port: str
    kind: str
    new: bool


def declared(before: Texts, after: Texts) -> tuple[Listener, ...]:
    """The TCP listeners of the (main.cf, master.cf) texts `after`; new are those not in
    `before`."""
    old = {master_cf.same_key(*key) for key in master_cf.parse(before[1] or "").services}
    was, now = proxied.waiting(before), proxied.waiting(after)
    found = []
    for service in master_cf.parse(after[1] or "").services.values():
        if service.type == "inet":
            key = master_cf.same_key(*service.key)
            found.append(
                Listener(
                    name=f"{service.name}/inet",
                    port=port_of(service.name),
                    kind=_kind(service, waits=key in now),
                    new=key not in old or (key in was) != (key in now),
                )
            )
    return tuple(found)


def asked(before: Texts, after: Texts) -> tuple[str, ...]:
    """The policy servers and milters that the settings `after` name and those `before` did not.

    Both are (main.cf, master.cf) texts. Endpoints as Postfix writes them (`inet:host:port`,
    `unix:path`); those that Postfix is told to do without, should they be away, are left out.
    """
    known = {*_policy_servers(*before), *_milters(*before)}
    found = [*_policy_servers(*after), *_milters(*after)]
    return tuple(dict.fromkeys(each for each in found if each not in known))


_POLICY = re.compile(r"check_policy_service[\s,]+(?:\{([^}]*)\}|([^\s,{}]+))")


def _policy_servers(main: str | None, master: str | None) -> Iterator[str]:
    values = list(main_cf.parse(main or "").values.values())
    for service in master_cf.parse(master or "").services.values():
        values += service.settings.values()
    for match in _POLICY.finditer("\n".join(values)):
        words = (match[1] or match[2]).replace(",", " ").split()
        if words and not any(word.startswith("default_action") for word in words[1:]):
            yield words[0]


_MILTERS = ("smtpd_milters", "non_smtpd_milters")
_MILTER = re.compile(r"\{([^}]*)\}|([^\s,{}]+)")
#: What `milter_default_action` may be where mail goes on without the milter (MILTER_README).
_WITHOUT_IT = ("accept", "quarantine")


def _milters(main: str | None, master: str | None) -> Iterator[str]:
    settings = main_cf.parse(main or "").values
    services = master_cf.parse(master or "").services.values()
    for each in (settings, *({**settings, **s.settings} for s in services)):
        for match in _MILTER.finditer(" ".join(each.get(name, "") for name in _MILTERS)):
            words = (match[1] or match[2]).replace(",", " ").split()
            own = [
                word.partition("=")[2] for word in words[1:] if word.startswith("default_action")
            ]
            action = own[0] if own else each.get("milter_default_action", "tempfail")
            if words and "$" not in words[0] and action not in _WITHOUT_IT:
                # Sendmail's spelling of an address puts the port first.
                yield re.sub(r"^inet:([^@:]+)@(.+)$", r"inet:\2:\1", words[0])


def _kind(service: Service, *, waits: bool) -> str:
    settings = service.settings
    wrapped = settings.get("smtpd_tls_wrappermode") == "yes"
    if service.command != "smtpd" or (waits and wrapped):
        return "open"  # postscreen makes clients wait; others speak something else
    if waits:
        return "proxied"
    if wrapped:
        return "tls"
    if settings.get("smtpd_tls_security_level") in ("may", "encrypt"):
        return "starttls"
    return "plain"
