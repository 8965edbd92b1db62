"""The site file: who gets which roles."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import InputError
from provisioner.inventory import load_inventory
from provisioner.inventory.site import Site, default_inventory, find_site, load_site

SITE = """\
- name: every host
  hosts: all:!old
  roles: [postfix]
- hosts: [relay, "mx*"]
  roles:
    - access_maps
    - postfix
- hosts: nowhere
  roles: [submission]
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    path = tmp_path / "site.yml"
    path.write_text(SITE, encoding="utf-8")
    return load_site(path)


def test_plays_have_patterns_roles_and_places(site: Site) -> None:
    first, second, _ = site.plays
    assert (first.hosts, [role.name for role in first.roles]) == ("all:!old", ["postfix"])
    assert second.hosts == "relay,mx*"
    assert [role.mark.line for role in second.roles] == [6, 7]
    assert (first.mark.line, first.mark.column) == (2, 10)


def test_roles_come_in_site_order_each_once(site: Site) -> None:
    loaded = load_inventory(["mx1,old,www,"])
    roles = {
        host.name: [(role.name, role.mark.line) for role in site.roles_for(host, loaded)]
        for host in loaded.hosts.values()
    }
    assert roles == {
        "mx1": [("postfix", 3), ("access_maps", 6)],
        "www": [("postfix", 3)],
        "old": [],
    }


def test_plays_without_hosts_are_named(site: Site) -> None:
    (warning,) = site.idle(load_inventory(["mx1,relay,"]))
    assert (warning.mark and warning.mark.line) == 8
    assert '"nowhere"' in warning.message


def test_a_pattern_that_is_none_is_an_error_at_its_play(tmp_path: Path) -> None:
    path = tmp_path / "site.yml"
    path.write_text("- hosts: ~(\n  roles: [postfix]\n", encoding="utf-8")
    loaded = load_inventory(["mx1,"])
    with pytest.raises(InputError, match="no pattern") as caught:
        load_site(path).roles_for(loaded.hosts["mx1"], loaded)
    assert str(caught.value.mark) == f"{path}:1:10"


def test_the_site_file_is_found_beside_the_inventory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no site"):
        find_site(tmp_path)
    site_path = tmp_path / "site.yml"
    site_path.touch()
    assert find_site(tmp_path) == site_path
    assert find_site(tmp_path, Path("other.yml")) == Path("other.yml")
    with pytest.raises(InputError, match="no inventory named"):
        default_inventory(site_path)
    (tmp_path / "inventory").mkdir()
    assert default_inventory(site_path) == tmp_path / "inventory"
