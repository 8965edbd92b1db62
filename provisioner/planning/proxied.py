"""Listeners that wait for a proxy to say whose connection it is (postconf(5), the PROXY
protocol of HAProxy).

Where no proxy does, such a listener hangs up on everybody; where one does, any other listener
takes its first line for a bad command. Nothing on a host tells which of the two it is, so that a
policy test must.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from provisioner.diagnostics import Diagnostic
from provisioner.marks import Mark
from provisioner.policy.conversation import PolicyTest
from provisioner.postfix import main_cf, master_cf
from provisioner.postfix.service import port_of
from provisioner.resources.base import Change, SetParameter, SetService

#: The parameter that makes each program wait.
PARAMETERS = {
    "smtpd": "smtpd_upstream_proxy_protocol",
    "postscreen": "postscreen_upstream_proxy_protocol",
}

#: main.cf and master.cf.
Texts = tuple[str | None, str | None]
Key = tuple[str, str]


def waiting(texts: Texts) -> Mapping[Key, str]:
    """The TCP listeners that wait for a proxy, by `master_cf.same_key`, each with its name."""
    settings = main_cf.parse(texts[0] or "").values
    return {
        master_cf.same_key(*service.key): service.name
        for service in master_cf.parse(texts[1] or "").services.values()
        if service.type == "inet" and service.command in PARAMETERS
        for name in (PARAMETERS[service.command],)
        if service.settings.get(name, settings.get(name, "")).strip()
    }


def faults(
    changes: Iterable[Change], tests: Iterable[PolicyTest], before: Texts, after: Texts
) -> Iterator[Diagnostic]:
    """Listeners that would begin to wait though no policy test knows of a proxy, and tests that
    know of one for which nobody waits."""
    said = [test for test in tests if test.conversation.client.proxied and not test.skip]
    was, now = waiting(before), waiting(after)
    for key, name in now.items():
        if key not in was and not any(_means(test, name) for test in said):
            yield Diagnostic(
                f"{name}/inet would wait for a proxy that speaks the PROXY protocol, and hang up "
                "on everybody else; no policy test says that there is one",
                _place(changes, key),
                "if there is: policy_tests: [{name: mail comes through the proxy, "
                f"service: {name}, client: {{proxy: true}}, expect: accept}}]",
            )
    for test in said:
        if not any(_means(test, name) for name in now.values()):
            yield Diagnostic(
                f'"{test.name}": its client comes through a proxy, but '
                f"{test.conversation.service} does not wait for what a proxy says first, and "
                "would answer it with an error",
                test.origin.mark if test.origin else None,
                "set smtpd_upstream_proxy_protocol = haproxy there (postscreen has its own), or "
                "leave out `proxy: true`",
            )


def _means(test: PolicyTest, name: str) -> bool:
    """Whether `name` is the service that the test connects to."""
    wanted = test.conversation.service.removesuffix("/inet")
    address = wanted.rpartition(":")[0]
    return port_of(wanted) == port_of(name) and address in ("", name.rpartition(":")[0])


def _place(changes: Iterable[Change], key: Key) -> Mark | None:
    """Where the change to that listener, or to all, was wished for."""
    for change in changes:
        for effect in change.effects:
            if (isinstance(effect, SetService) and master_cf.same_key(*effect.key) == key) or (
                isinstance(effect, SetParameter) and effect.name in PARAMETERS.values()
            ):
                return change.origin.mark if change.origin else None
    return None
