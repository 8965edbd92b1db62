"""What we give people to copy works: examples, and the example of each role."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulate import MemoryHost

from provisioner.inventory import load_inventory
from provisioner.inventory.opening import Secrets
from provisioner.inventory.reading import Reader
from provisioner.inventory.site import load_site
from provisioner.inventory.yamlfile import parse_yaml
from provisioner.planning.planner import Desired, plan_host
from provisioner.resources.observed import (
    Observed,
)
from provisioner.roles.desired import desired_states
from provisioner.roles.loading import RoleLibrary, shipped_folder
from provisioner.roles.options import validate

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/site.yml"))
ROLES = sorted(RoleLibrary().names())
#: Roles whose restrictions need the relay guard of another.
CONTRIBUTE = ("access_maps", "dnsbl", "greylisting")

MAIN = "/etc/postfix/main.cf"
MASTER = "/etc/postfix/master.cf"
STOCK = {
    MAIN: b"compatibility_level = 3.6\nmydestination = localhost\n",
    MASTER: b"smtp inet n - y - - smtpd\n",
}


def desired(folder: Path) -> dict[str, Desired]:
    """What each host of the repository in `folder` is to be."""
    inventory = load_inventory([folder / "inventory"], beside=folder)
    site = load_site(folder / "site.yml")
    assert inventory.warnings == []
    assert site.idle(inventory) == []
    assigned = site.assign(inventory)
    library = RoleLibrary(folder / "roles")
    reader = Reader(inventory, Secrets(), merged={*library.names(), "mail"})
    return desired_states(
        list(inventory.hosts.values()),
        assigned,
        library,
        {"id": "example"},
        folder=folder,
        reader=reader,
    )


def stock_host(wanted: Desired) -> Observed:
    return MemoryHost.stock(wanted).observe(wanted.resources)


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_an_example_can_be_planned(folder: Path) -> None:
    states = desired(folder)
    assert set(states) == set(load_inventory([folder / "inventory"]).hosts)
    for wanted in states.values():
        plan = plan_host(wanted, stock_host(wanted))
        assert plan.errors == ()
        assert plan.steps
        relay = next(c for c in plan.changes if c.address == "parameter:smtpd_relay_restrictions")
        assert "reject_unauth_destination" in (relay.after or "")


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_an_example_explains_itself(folder: Path) -> None:
    readme = (folder / "README.md").read_text("utf-8")
    assert "provisioner plan" in readme
    assert "provisioner apply" in readme


@pytest.mark.parametrize("name", ROLES)
def test_the_example_of_a_role_is_valid_and_can_be_planned(name: str, tmp_path: Path) -> None:
    file = shipped_folder() / name / "example.yml"
    assert file.is_file(), f"roles/{name}/example.yml is missing"
    text = file.read_text("utf-8")
    document = parse_yaml(text, str(file)).value
    assert set(document) <= {"mail", name}
    options, wrong = validate(RoleLibrary().load(name).options, document[name], name)
    assert wrong == []
    assert options is not None
    assert options.model_fields_set, "an example sets something"

    (tmp_path / "inventory" / "host_vars").mkdir(parents=True)
    (tmp_path / "inventory" / "hosts.yml").write_text("all: {hosts: {mx1: {}}}\n")
    (tmp_path / "inventory" / "host_vars" / "mx1.yml").write_text(text)
    guard = "smtpd_restrictions, " if name in CONTRIBUTE else ""
    (tmp_path / "site.yml").write_text(f"- hosts: all\n  roles: [{guard}{name}]\n")
    wanted = desired(tmp_path)["mx1"]
    plan = plan_host(wanted, stock_host(wanted))
    assert plan.errors == ()
    assert plan.changes
