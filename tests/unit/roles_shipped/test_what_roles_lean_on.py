"""Kinds of resources made for roles: requirements, fallbacks, strict, notified units."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulate import MAIN, MemoryHost, desire

from provisioner.errors import InputError
from provisioner.inventory import load_inventory
from provisioner.inventory.site import load_site
from provisioner.planning.plan import Control, HostPlan
from provisioner.planning.planner import plan_host
from provisioner.resources.base import ControlUnit, Origin
from provisioner.resources.file import File
from provisioner.resources.observed import UnitState
from provisioner.resources.parameter import CompatibilityLevel, Parameter
from provisioner.resources.requirement import Requirement
from provisioner.resources.strict import StrictMainCf
from provisioner.resources.unit import Unit
from provisioner.roles.desired import desired_states
from provisioner.roles.loading import RoleLibrary

HERE = Origin("test")
MASTER = "smtp inet n - y - - smtpd\n"


def plan(host: MemoryHost, *resources: object, prune: bool = False) -> HostPlan:
    wanted = desire(*resources)  # type: ignore[arg-type]
    return plan_host(wanted, host.observe(wanted.resources), prune=prune)


def test_a_requirement_is_an_error_where_it_is_missing_and_never_managed() -> None:
    host = MemoryHost.with_postfix("", MASTER)
    needs = Requirement(HERE, "/etc/tls/key.pem", "smtpd needs it")
    errors = plan(host, needs).errors
    assert [e.message for e in errors] == [
        "requirement:/etc/tls/key.pem: not on this host: smtpd needs it"
    ]


def test_a_watched_requirement_asks_for_a_reload_when_it_changed() -> None:
    host = MemoryHost.with_postfix("", MASTER)
    certificate = File(HERE, "/etc/tls/c.pem", content=b"one\n")
    host.apply(plan(host, certificate))
    watched = (Requirement(HERE, "/etc/tls/c.pem", "", watch=True), Parameter(HERE, "a", "b"))
    host.apply(plan(host, *watched))
    assert plan(host, *watched).empty
    renewed = File(HERE, "/etc/tls/c.pem", content=b"two\n")
    host.apply(plan(host, *watched[1:], renewed))
    found = plan(host, *watched)
    assert [c.address for c in found.changes] == ["postfix"]
    assert "/etc/tls/c.pem" in found.reasons[0]


def test_a_fallback_is_written_only_where_nothing_stands() -> None:
    fallback = Parameter(HERE, "x", "safe", fallback=True)
    assert plan(MemoryHost.with_postfix("x = mine\n", MASTER), fallback).steps == ()
    empty = MemoryHost.with_postfix("", MASTER)
    empty.apply(plan(empty, fallback))
    assert plan(empty, fallback).empty


@pytest.mark.parametrize(
    ("before", "after"), [("x = old\n", "x = old"), ("", "x = ours")], ids=["set", "not set"]
)
def test_pruning_behind_a_fallback_never_leaves_nothing(before: str, after: str) -> None:
    host = MemoryHost.with_postfix(before, MASTER)
    host.apply(plan(host, Parameter(HERE, "x", "ours")))
    fallback = Parameter(HERE, "x", "safe", fallback=True)
    host.apply(plan(host, fallback, prune=True))
    assert plan(host, fallback, prune=True).empty
    assert after in host.nodes[MAIN].content.decode()


def test_the_compatibility_level_is_kept_or_chosen_by_version() -> None:
    level = CompatibilityLevel(HERE, "compatibility_level", "2", fallback=True)
    kept = MemoryHost.with_postfix("compatibility_level = 2\n", MASTER)
    assert plan(kept, level).steps == ()
    new = MemoryHost.with_postfix("", MASTER)
    assert [c.after for c in plan(new, level).changes if c.address.endswith("level")] == ["3.6"]


def test_strict_removes_what_nobody_declares_and_puts_it_back() -> None:
    text = "declared = 1\nkept = 2\nstray = { a = b }\n"
    host = MemoryHost.with_postfix(text, MASTER)
    strict = StrictMainCf(HERE, frozenset({"kept"}), frozenset({"declared"}))
    mine = Parameter(HERE, "declared", "1")
    found = plan(host, strict, mine)
    assert [c.address for c in found.changes if c.effects] == ["parameter:stray"]
    host.apply(found)
    assert plan(host, strict, mine).empty
    host.apply(plan(host, mine, prune=True))
    assert "stray = { a = b }" in host.nodes[MAIN].content.decode()


def test_a_unit_is_told_once_and_not_when_it_is_started() -> None:
    host = MemoryHost.with_postfix("", MASTER)
    restart = ControlUnit("cron", "restart")
    files = [File(HERE, f"/etc/{n}", content=b"x\n", notify=(restart,)) for n in "ab"]
    assert [s for s in plan(host, *files).steps if isinstance(s, Control)] == [
        Control("cron", "restart")
    ]
    host.units["cron"] = UnitState("loaded", "inactive", "enabled")
    both = plan(host, *files, Unit(HERE, "cron"))
    assert [s for s in both.steps if isinstance(s, Control)] == [Control("cron", "start")]


def test_dovecot_provides_the_socket_that_submission_requires(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {mx1: {}}}\n")
    addresses = []
    for roles in ("[submission]", "[dovecot_auth, submission]"):
        (tmp_path / "site.yml").write_text(f"- hosts: all\n  roles: {roles}\n")
        inventory = load_inventory([tmp_path / "hosts.yml"])
        site = load_site(tmp_path / "site.yml")
        states = desired_states(
            list(inventory.hosts.values()), site.assign(inventory), RoleLibrary(), {}
        )
        addresses.append({r.address for r in states["mx1"].resources})
    socket = "requirement:/var/spool/postfix/private/auth"
    assert [socket in each for each in addresses] == [True, False]


@pytest.mark.parametrize(
    "options",
    [
        "postfix: {relayhost: {host: a, user: b, password: 987654321}}",
        "dnsbl: {zones: [{zone: zen.dq.spamhaus.net, key: 987654321}]}",
        "postfix: {tls: {key_text: [987654321]}}",
    ],
)
def test_a_secret_that_is_no_text_is_not_shown(options: str, tmp_path: Path) -> None:
    role = options.partition(":")[0]
    (tmp_path / "hosts.yml").write_text(f"all: {{hosts: {{mx1: {{}}}}, vars: {{{options}}}}}\n")
    (tmp_path / "site.yml").write_text(f"- hosts: all\n  roles: [{role}]\n")
    inventory = load_inventory([tmp_path / "hosts.yml"])
    site = load_site(tmp_path / "site.yml")
    with pytest.raises(InputError) as caught:
        desired_states(list(inventory.hosts.values()), site.assign(inventory), RoleLibrary(), {})
    (found,) = caught.value.diagnostics()
    assert "it is a secret: not shown" in found.message
    assert "hosts.yml:1" in found.message
    assert found.mark is None
    assert "987654321" not in f"{found.message} {found.help}"
