"""The lab's pure parts: addresses, names, apt sources, recipes, inventory."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provisioner.errors import ExitCode, InputError
from provisioner.lab import HostSpec, apt, cgroups, network, requirements
from provisioner.lab.addresses import CLIENTS, Block
from provisioner.lab.inventory import connection_vars, known_hosts, render_inventory
from provisioner.lab.keys import make_pair
from provisioner.lab.lab import named
from provisioner.lab.recipe import RELEASES, Recipe
from provisioner.lab.state import Host, LabState, check_name

if TYPE_CHECKING:
    from pathlib import Path

blocks = st.integers(0, Block.COUNT - 1)


# -- addresses --------------------------------------------------------------------


@given(blocks, blocks, st.integers(1, Block.HOSTS))
def test_blocks_never_overlap(one: int, other: int, index: int) -> None:
    first, second = Block(one), Block(other)
    everybody = {first.controller, first.dns, first.host(index), *first.clients.values()}
    assert len(everybody) == 3 + len(CLIENTS)
    for address in everybody:
        assert IPv4Address(address) in Block.RANGE
        assert (IPv4Address(address) in second.network) == (one == other)


@pytest.mark.parametrize("index", [0, 255])
def test_too_many_hosts(index: int) -> None:
    with pytest.raises(InputError, match="at most 254"):
        Block(0).host(index)


def test_unknown_client_names_the_known() -> None:
    with pytest.raises(InputError) as error:
        Block(0).client("nobody")
    assert "listed" in error.value.help


@pytest.mark.parametrize(
    ("destination", "kind", "found"),
    [
        ("198.18.4.0/23", "unicast", {2}),
        ("198.18.4.7", "local", {2}),
        ("198.18.0.0/22", "unicast", {0, 1}),
        ("198.19.254.0/23", "unicast", {255}),
        ("198.18.0.0/15", "unreachable", set()),
        ("10.0.0.0/8", "unicast", set()),
        ("0.0.0.0/1", "unicast", set()),
        ("default", "unicast", set()),
        ("nonsense", "unicast", set()),
    ],
)
def test_blocks_that_a_route_takes(destination: str, kind: str, found: set[int]) -> None:
    assert network.overlapped(destination, {"dst": destination, "type": kind}) == found


def test_a_link_name_always_fits() -> None:
    lab = LabState("x", Block.COUNT - 1, 0.0)
    host = Host("h" * 32, "bookworm", "systemd", Block.HOSTS, "", "")
    assert len(lab.link(host)) <= 15
    assert len(lab.namespace) <= 15


# -- names ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a_b", "a/b", "..", "a" * 33, "a\n"])
def test_bad_names(name: str) -> None:
    with pytest.raises(InputError) as error:
        check_name(name, "lab")
    assert error.value.exit_code is ExitCode.USAGE
    assert error.value.help


def test_hosts_are_named_in_order() -> None:
    found = named([HostSpec(), HostSpec("relay", "trixie"), HostSpec(release="forky")])
    assert [(spec.name, spec.release) for spec in found] == [
        ("mx1", "bookworm"),
        ("relay", "trixie"),
        ("mx3", "forky"),
    ]


@pytest.mark.parametrize(
    ("specs", "why"),
    [
        ([], "1 to 254"),
        ([HostSpec()] * 255, "1 to 254"),
        ([HostSpec("a"), HostSpec("a")], "two hosts"),
        ([HostSpec("mx2"), HostSpec()], "two hosts"),
        ([HostSpec("No")], "cannot name a host"),
    ],
)
def test_impossible_hosts(specs: list[HostSpec], why: str) -> None:
    with pytest.raises(InputError, match=why):
        named(specs)


# -- apt --------------------------------------------------------------------------

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://archive.test/debian/
Suites: bookworm bookworm-updates
# another
Components: main
Signed-By: /usr/share/keyrings/own.gpg

Types: deb
URIs: http://archive.test/security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://off.test/debian
Suites: bookworm

Types: deb
URIs: https://other.test/tool
Suites: nodistro
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
"""

ONE_LINE = """\
# deb http://off.test/debian bookworm main
deb-src http://archive.test/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://archive.test/debian trixie main contrib
deb [trusted=yes] file:/srv/mirror ./
  deb http://archive.test/security trixie-security main
"""


def test_deb822_sources() -> None:
    found = apt.parse_deb822(DEB822)
    assert [(source.uri, source.suite) for source in found] == [
        ("http://archive.test/debian/", "bookworm"),
        ("http://archive.test/debian/", "bookworm-updates"),
        ("http://archive.test/security", "bookworm-security"),
        ("https://other.test/tool", "nodistro"),
    ]
    assert found[0].signed_by == "/usr/share/keyrings/own.gpg"
    assert found[3].signed_by == ""


def test_one_line_sources() -> None:
    found = apt.parse_one_line(ONE_LINE)
    assert [(source.uri, source.suite, source.signed_by, source.trusted) for source in found] == [
        ("http://archive.test/debian", "trixie", "/k.gpg", False),
        ("file:/srv/mirror", "./", "", True),
        ("http://archive.test/security", "trixie-security", "", False),
    ]


def test_sources_are_read_from_both_places(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d/old.list.save").write_text(ONE_LINE)
    assert len(apt.read_sources(tmp_path)) == 7


def test_archive_of_this_machine() -> None:
    archive = apt.find_archive(apt.parse_deb822(DEB822))
    assert archive.main == "http://archive.test/debian"
    assert archive.security == "http://archive.test/security"
    assert archive.signed_by == "/usr/share/keyrings/own.gpg"


def test_archive_given_by_the_user() -> None:
    archive = apt.find_archive(apt.parse_deb822(DEB822), "http://mine.test/debian/")
    assert (archive.main, archive.security) == (
        "http://mine.test/debian",
        "http://mine.test/debian-security",
    )


def test_no_archive_says_how_to_name_one() -> None:
    with pytest.raises(InputError) as error:
        apt.find_archive([apt.Source("http://archive.test/ubuntu", "noble")])
    assert error.value.exit_code is ExitCode.USAGE
    assert "--mirror URL" in error.value.help


def test_entries_leave_out_what_is_not_served() -> None:
    archive = apt.Archive("http://a.test/debian", "http://a.test/sec", trusted=True)
    lines = apt.entries(archive, "forky", lambda uri, suite: "security" in suite)
    assert lines == [
        "deb [trusted=yes] http://a.test/debian forky main",
        "deb [trusted=yes] http://a.test/sec forky-security main",
    ]


# -- recipes ----------------------------------------------------------------------


def test_every_release_has_its_own_root() -> None:
    keys = {Recipe(release, variant).key for release in RELEASES for variant in ("systemd",)}
    assert len(keys) == len(RELEASES)
    assert Recipe("bookworm").key == Recipe("bookworm").key
    assert Recipe("bookworm", "openrc").key.startswith("bookworm-openrc-")


def test_unknown_release_names_the_nearest() -> None:
    with pytest.raises(InputError, match="no release 'bokworm'") as error:
        Recipe("bokworm")
    assert "'bookworm'" in error.value.help


# -- requirements -----------------------------------------------------------------


def test_missing_programs_become_one_apt_line(tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('ID=ubuntu\nID_LIKE="debian"\n')
    found = requirements.check(lambda program: None, release)
    missing = [each for each in found if not each.met]
    line = requirements.install_line(missing)
    assert line.startswith("apt-get install ")
    assert {"mmdebstrap", "systemd-container", "iproute2", "util-linux"} <= set(line.split())
    assert next(each for each in found if each.name == "Debian or Ubuntu").met


@pytest.mark.parametrize(
    ("text", "debian"),
    [
        ("ID=debian\n", True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ('ID="fedora"\n', False),
        ("", False),
    ],
)
def test_which_systems_are_debian(tmp_path: Path, text: str, debian: bool) -> None:
    path = tmp_path / "os-release"
    path.write_text(text)
    assert requirements.is_debian(path) is debian
    assert not requirements.is_debian(tmp_path / "absent")


def test_require_says_what_is_missing_and_what_else_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        requirements.Check("root", False, "run as root"),
        requirements.Check("mmdebstrap", False, "", "mmdebstrap"),
        requirements.Check("ip", True),
    ]
    monkeypatch.setattr(requirements, "check", lambda: checks)
    with pytest.raises(InputError) as error:
        requirements.require()
    assert error.value.exit_code is ExitCode.USAGE
    assert "no root, no mmdebstrap" in error.value.message
    assert "apt-get install mmdebstrap" in error.value.help
    assert "provisioner plan -i FILE" in error.value.help


# -- control groups ---------------------------------------------------------------

MOUNTINFO = {
    "hybrid": (
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n"
        "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n",
        ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"],
    ),
    "unified": (
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
        ["/sys/fs/cgroup"],
    ),
    "none": ("1 0 8:1 / / rw - ext4 /dev/sda rw\n\n", []),
}


@pytest.mark.parametrize("case", MOUNTINFO)
def test_where_control_groups_are(case: str) -> None:
    text, expected = MOUNTINFO[case]
    assert [str(path) for path in cgroups.hierarchies(text)] == expected


# -- inventory --------------------------------------------------------------------

LAB = LabState(
    "demo",
    3,
    0.0,
    [
        Host("mx1", "bookworm", "systemd", 1, "198.18.7.1", "/roots/b"),
        Host("mx2", "trixie", "systemd", 2, "198.18.7.2", "/roots/t"),
        Host("mx3", "bookworm", "systemd", 3, "198.18.7.3", "/roots/b"),
    ],
)


def test_inventory_lists_hosts_and_how_to_log_in() -> None:
    groups = yaml.safe_load(render_inventory(LAB))["all"]["children"]
    assert groups["lab"]["hosts"]["mx2"] == {"ansible_host": "198.18.7.2"}
    assert list(groups["bookworm"]["hosts"]) == ["mx1", "mx3"]
    variables = groups["lab"]["vars"]
    assert variables["ansible_user"] == "root"
    assert "ansible_become" not in variables
    assert "StrictHostKeyChecking=yes" in variables["ansible_ssh_common_args"]
    assert f"UserKnownHostsFile={LAB.directory}/known_hosts" in variables["ansible_ssh_common_args"]


@pytest.mark.parametrize(
    ("user", "become", "password"), [("admin", True, True), ("deploy", True, False)]
)
def test_accounts_that_become_root(user: str, become: bool, password: bool) -> None:
    variables = connection_vars(LAB, LAB.hosts[0], user)
    assert variables["ansible_host"] == "198.18.7.1"
    assert variables["ansible_become"] is become
    assert ("ansible_become_password" in variables) is password


def test_the_lab_key_opens_only_some() -> None:
    with pytest.raises(InputError, match="does not open 'alice'"):
        connection_vars(LAB, LAB.hosts[0], "alice")


def test_known_hosts_name_every_key_of_a_host() -> None:
    keys = {kind: make_pair(kind, "a comment")[1] for kind in ("ed25519", "ecdsa")}
    lines = known_hosts([(LAB.hosts[0], keys)]).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["mx1.lab.example,mx1,198.18.7.1", "ssh-ed25519"],
        ["mx1.lab.example,mx1,198.18.7.1", "ecdsa-sha2-nistp256"],
    ]
    assert all(len(line.split()) == 3 for line in lines)
