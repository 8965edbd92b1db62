"""Secrets planted in the options of a role that puts them everywhere: no output shows one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provisioner.errors import InputError
from provisioner.inventory import load_inventory
from provisioner.inventory.reading import Reader
from provisioner.inventory.site import load_site
from provisioner.planning import planfile
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired, plan_host
from provisioner.postfix import main_cf, master_cf
from provisioner.report import plantext
from provisioner.resources.observed import Facts, Observed, PathKind, PathState
from provisioner.roles.desired import desired_states
from provisioner.roles.loading import RoleLibrary

NEW = ["planted-env-secret", "planted-file-secret", "planted-typed-secret"]
OLD = "yesterdays-secret"

ROLE = '''
"""A role that puts secrets wherever something can be put."""

from provisioner.postfix.master_cf import Service
from provisioner.roles import (
    RECIPIENT, Entry, File, MasterService, Parameter, RestrictionEntry, RoleOptions, Stage, Table,
)
from provisioner.secrets import Secret


class Options(RoleOptions):
    env: str
    file: str
    typed: Secret
    joined: str


def resources(options, host):
    at = host.origin("env")
    host.warn(f"the secret is {options.env} or {options.env!r}")
    yield Parameter(at, "smtp_helo_name", f"x {options.joined} y")
    yield RestrictionEntry(
        at, Stage.DNSBL, (RECIPIENT,), f"reject_rbl_client {options.file}.zone.example"
    )
    yield File(at, "/etc/creds", content=f"a\\npassword={options.env}\\n".encode())
    yield Table(at, "/etc/postfix/sasl", entries=(Entry("host", options.typed.reveal()),))
    service = Service(
        "policy", "unix", "-", "n", "n", "-", "-", "pipe",
        options=(("syslog_name", options.env), ("smtpd_x", "plain-option")),
        arguments=("user=nobody", f"argv=/bin/x {options.file}"),
    )
    yield MasterService(at, "policy", "unix", service)
'''


@pytest.fixture
def desired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desired:
    monkeypatch.setenv("PLANTED", NEW[0])
    monkeypatch.setenv("PLANTED_TYPED", NEW[2])
    files = {
        "roles/leaky/role.py": ROLE,
        "site.yml": "- {hosts: all, roles: [leaky]}\n",
        "inventory/hosts": "mx1\n",
        "inventory/group_vars/secret": f"{NEW[1]}\n",
        "inventory/group_vars/all.yml": "leaky:\n  env: !env PLANTED\n  file: !file secret\n"
        '  typed: !env PLANTED_TYPED\n  joined: "user:{{ pw }}"\npw: !env PLANTED\n',
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    inventory = load_inventory([tmp_path / "inventory"], beside=tmp_path)
    assigned = load_site(tmp_path / "site.yml").assign(inventory)
    hosts = list(inventory.hosts.values())
    library = RoleLibrary(tmp_path / "roles")
    reader = Reader(inventory, merged=("leaky",))
    return desired_states(hosts, assigned, library, {"id": "x"}, reader=reader)["mx1"]


def _observed(*, present: bool) -> Observed:
    main = f"smtp_helo_name = x {OLD} y\n" if present else "\n"
    master = "smtp inet n - y - - smtpd\n"
    if present:
        master += (
            f"policy unix - n n - - pipe\n  -o syslog_name={OLD}\n  user=nobody argv=/bin/x {OLD}\n"
        )
    old = OLD.encode()
    paths = {
        "/etc/postfix/main.cf": PathState("/etc/postfix/main.cf", PathKind.FILE, content=b""),
        "/etc/postfix/master.cf": PathState("/etc/postfix/master.cf", PathKind.FILE, content=b""),
        "/etc/creds": PathState("/etc/creds", PathKind.FILE, content=old, size=4),
        "/etc/postfix/sasl": PathState("/etc/postfix/sasl", PathKind.FILE, content=b"h " + old),
    }
    if not present:
        paths["/etc/creds"] = PathState("/etc/creds")
        paths["/etc/postfix/sasl"] = PathState("/etc/postfix/sasl")
    facts = Facts(
        postfix_version="3.7.11", default_database_type="hash", map_types=frozenset({"hash"})
    )
    return Observed(
        facts, main_cf=main_cf.parse(main), master_cf=master_cf.parse(master), paths=paths
    )


def _outputs(plan: HostPlan) -> dict[str, str]:
    lines = plantext.plans({"mx1": plan}, full_diff=True)
    return {
        "text": "\n".join(line.text for line in lines),
        "json": json.dumps(planfile.document(plan)),
    }


@pytest.mark.parametrize("present", [False, True])
def test_no_plan_shows_a_secret(desired: Desired, present: bool) -> None:
    plan = plan_host(desired, _observed(present=present))
    assert plan.errors == ()
    assert {change.address for change in plan.changes} >= {
        "parameter:smtp_helo_name",
        "parameter:smtpd_recipient_restrictions",
        "file:/etc/creds",
        "table:/etc/postfix/sasl",
        "service:policy/unix",
    }
    for name, output in _outputs(plan).items():
        for secret in (*NEW, OLD):
            assert secret not in output, (name, secret)
        assert "reject_rbl_client ***.zone.example" in output
        assert "plain-option" in output, "what is no secret is shown"


def test_a_plan_that_carries_a_secret_is_not_saved(desired: Desired) -> None:
    plan = plan_host(desired, _observed(present=True))
    assert set(plan.secrets) == {
        "parameter:smtp_helo_name",
        "parameter:smtpd_recipient_restrictions",
        "file:/etc/creds",
        "table:/etc/postfix/sasl",
        "service:policy/unix",
    }
    with pytest.raises(InputError, match="holds a secret, which a saved plan must not carry"):
        planfile.dump(planfile.SavedPlan({"mx1": planfile.SavedHost(plan)}))


def test_what_was_there_before_us_is_not_saved_either(desired: Desired) -> None:
    """Nothing changes, but what the host is to remember would hold the secret."""
    only = Desired("mx1", desired.resources[:1], desired.inventory)
    assert only.resources[0].address == "parameter:smtp_helo_name"
    observed = _observed(present=False)
    value = f"user:{NEW[0]}"
    already = main_cf.parse(f"smtp_helo_name = x {value} y\n")
    observed = Observed(
        observed.facts, main_cf=already, master_cf=observed.master_cf, paths=observed.paths
    )
    plan = plan_host(only, observed)
    assert [str(change.action) for change in plan.changes] == ["adopt"]
    with pytest.raises(InputError, match="holds a secret"):
        planfile.dump(planfile.SavedPlan({"mx1": planfile.SavedHost(plan)}))
