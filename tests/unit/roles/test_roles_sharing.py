"""Hosts with equal options share the work, and nothing that is one host's own."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from provisioner.inventory import load_inventory
from provisioner.inventory.reading import Reader
from provisioner.inventory.site import RoleRef
from provisioner.marks import Mark
from provisioner.planning.planner import Desired
from provisioner.roles.desired import desired_states
from provisioner.roles.loading import RoleLibrary

ROLE = '''
"""Counts how often it is asked."""
from provisioner.roles import File, RoleOptions

ASKED = []

class Options(RoleOptions):
    """Text."""
    text: str = ""

def resources(options, host):
    ASKED.append(1)
    yield File(host.origin("text"), "/etc/motd", content=(options.text + BODY).encode())
'''


def states(folder: Path, body: str, **files: str) -> tuple[dict[str, Desired], int]:
    """The desired states of three hosts, and how often the role was asked for them."""
    (folder / "roles/counted").mkdir(parents=True)
    (folder / "roles/counted/role.py").write_text(ROLE.replace("BODY", body))
    (folder / "hosts.yml").write_text("mx:\n  hosts:\n    mx1:\n    mx2:\n    mx3:\n")
    for name, text in files.items():
        kind = "group_vars" if name == "mx" else "host_vars"
        (folder / kind).mkdir(exist_ok=True)
        (folder / kind / f"{name}.yml").write_text(textwrap.dedent(text))
    inventory = load_inventory([str(folder / "hosts.yml")], beside=folder)
    hosts = list(inventory.hosts.values())
    wanted = [RoleRef("counted", Mark("site.yml", 1, 1))]
    found = desired_states(
        hosts,
        {host.name: wanted for host in hosts},
        RoleLibrary(folder / "roles"),
        {},
        reader=Reader(inventory, merged={"counted", "mail"}),
    )
    return found, len(sys.modules["provisioner_roles.counted"].ASKED)


def contents(found: dict[str, Desired]) -> dict[str, bytes]:
    return {host: desired.resources[0].content for host, desired in found.items()}  # type: ignore[attr-defined]


def test_a_role_is_asked_once_for_equal_options(tmp_path: Path) -> None:
    found, asked = states(tmp_path, "'!'", mx="counted: {text: hello}\n")
    assert asked == 1
    assert set(contents(found).values()) == {b"hello!\n"}
    assert found["mx1"].resources is found["mx3"].resources
    assert [desired.host for desired in found.values()] == ["mx1", "mx2", "mx3"]


def test_an_exception_of_one_host_is_its_own(tmp_path: Path) -> None:
    found, asked = states(
        tmp_path, "''", mx="counted: {text: hello}\n", mx2="counted: {text: bye}\n"
    )
    assert asked == 2
    assert contents(found) == {"mx1": b"hello\n", "mx2": b"bye\n", "mx3": b"hello\n"}


@pytest.mark.parametrize(
    "body", ["host.name", "str(host.groups) + host.name", "host.variables['x']"]
)
def test_a_role_that_looks_at_the_host_is_asked_for_each(tmp_path: Path, body: str) -> None:
    own = {name: f"x: {name}\n" for name in ("mx1", "mx2", "mx3")}
    found, asked = states(tmp_path, body, **own)
    assert asked == 3
    assert [text.decode().strip()[-3:] for text in contents(found).values()] == list(own)


def test_a_template_in_the_options_is_rendered_for_each(tmp_path: Path) -> None:
    found, _ = states(tmp_path, "''", mx='counted: {text: "{{ inventory_hostname }}"}\n')
    assert contents(found) == {"mx1": b"mx1\n", "mx2": b"mx2\n", "mx3": b"mx3\n"}


def test_a_value_of_each_host_in_a_template_of_the_group(tmp_path: Path) -> None:
    own = {"mx1": "site: a\n", "mx2": "site: b\n", "mx3": "site: a\n"}
    found, _ = states(tmp_path, "''", mx='counted: {text: "at {{ site }}"}\n', **own)
    assert contents(found) == {"mx1": b"at a\n", "mx2": b"at b\n", "mx3": b"at a\n"}
