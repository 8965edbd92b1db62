"""Secrets planted in the options of a role that puts them everywhere: no output shows one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.errors import InputError
from provisioner.inventory import load_inventory
from provisioner.inventory.reading import Reader
from provisioner.inventory.site import load_site
from provisioner.marks import Mark
from provisioner.planning import planfile
from provisioner.planning.plan import HostPlan
from provisioner.planning.planner import Desired, plan_host
from provisioner.postfix import main_cf, master_cf
from provisioner.report import plantext
from provisioner.resources.base import Origin
from provisioner.resources.observed import Facts, Observed, PathKind, PathState
from provisioner.resources.parameter import Parameter
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
    yield RestrictionEntry(at, Stage.RELAY_GUARD, (RECIPIENT,), "reject_unauth_destination")
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
    return _desired(tmp_path)


def _desired(tmp_path: Path) -> Desired:
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


def _save(plan: HostPlan, desired: Desired) -> str:
    saved = planfile.SavedPlan({"mx1": planfile.SavedHost(plan, "SHA256:key")})
    return planfile.dump(saved, {"mx1": desired}, os.urandom)


@pytest.mark.parametrize("present", [False, True])
def test_a_saved_plan_holds_no_secret_and_can_be_opened_again(
    desired: Desired, present: bool
) -> None:
    plan = plan_host(desired, _observed(present=present))
    assert set(plan.secrets) == {
        "parameter:smtp_helo_name",
        "parameter:smtpd_recipient_restrictions",
        "file:/etc/creds",
        "table:/etc/postfix/sasl",
        "service:policy/unix",
    }
    text = _save(plan, desired)
    for secret in (*NEW, OLD):
        for form in _forms(secret):
            assert form not in text, (secret, form)
    assert desired.digest not in text, "it could be guessed from"
    assert "file:/etc/creds" in text, "what changes can be read"
    loaded = planfile.load(text, "p").hosts["mx1"]
    assert not loaded.plan.steps
    opened = planfile.opened(loaded, desired)
    assert opened is not None
    shown = tuple(replace(change, effects=()) for change in plan.changes)
    assert opened == planfile.SavedHost(replace(plan, changes=shown), "SHA256:key")


def _forms(secret: str) -> list[str]:
    """The text, its digest, and what base64 makes of it wherever it stands."""
    raw = secret.encode()
    shifted = [base64.b64encode(b"x" * shift + raw)[4:-4].decode() for shift in (0, 1, 2)]
    return [secret, hashlib.sha256(raw).hexdigest(), *shifted]


def test_a_secret_that_changed_does_not_open_the_plan(
    desired: Desired, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    saved = planfile.load(_save(plan_host(desired, _observed(present=True)), desired), "p")
    (tmp_path / "inventory/group_vars/secret").write_text("another-one-today\n", encoding="utf-8")
    other = _desired(tmp_path)
    assert other.digest != desired.digest
    assert planfile.opened(saved.hosts["mx1"], other) is None
    without = Desired("mx1", (), desired.inventory)
    assert planfile.opened(saved.hosts["mx1"], without) is None


def test_a_secret_of_yesterday_alone_cannot_be_sealed() -> None:
    """The inventory has no secret that would give a key."""
    origin = Origin("postfix", mark=Mark("site.yml", 1, 1))
    only = Desired("mx1", (Parameter(origin, "smtpd_recipient_restrictions", "permit"),), {})
    observed = _observed(present=False)
    value = "reject_rbl_client abcdefabcdefabcdefabcdefab.zen.dq.spamhaus.net"
    main = main_cf.parse(f"smtpd_recipient_restrictions = {value}\n")
    plan = plan_host(
        only,
        Observed(observed.facts, main_cf=main, master_cf=observed.master_cf, paths=observed.paths),
    )
    with pytest.raises(InputError, match="holds a secret today") as refused:
        _save(plan, only)
    assert "without a saved plan" in refused.value.help
