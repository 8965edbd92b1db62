"""Inventory variables to targets."""

import pytest

from provisioner.errors import InputError
from provisioner.inventory.values import UnsafeText, VaultValue
from provisioner.marks import Map, Mark
from provisioner.secrets import Secret
from provisioner.transport import Overrides, Target, target_of


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"address": "mx1"}),
        ({"ansible_host": "192.0.2.1"}, {"address": "192.0.2.1"}),
        ({"ansible_ssh_host": "192.0.2.2"}, {"address": "192.0.2.2"}),
        ({"ansible_host": "a", "ansible_ssh_host": "b"}, {"address": "b"}),
        ({"ansible_port": 2222}, {"port": 2222}),
        ({"ansible_port": "2222"}, {"port": 2222}),
        ({"ansible_user": "deploy"}, {"user": "deploy"}),
        ({"ansible_ssh_user": 1000}, {"user": "1000"}),
        ({"ansible_password": "x"}, {"password": Secret("x")}),
        ({"ansible_ssh_pass": Secret("y")}, {"password": Secret("y")}),
        ({"ansible_password": 123}, {"password": Secret("123")}),
        ({"ansible_password": UnsafeText("{{ x }}")}, {"password": Secret("{{ x }}")}),
        ({"ansible_private_key_file": "~/k"}, {"private_key_file": "~/k"}),
        ({"ansible_become": "yes"}, {"become": True}),
        ({"ansible_become": 1}, {"become": True}),
        ({"ansible_become": False}, {"become": False}),
        ({"ansible_become_user": "postfix"}, {"become_user": "postfix"}),
        ({"ansible_become_pass": "x"}, {"become_password": None}),
        (
            {"ansible_become": True, "ansible_become_pass": "x"},
            {"become": True, "become_password": Secret("x")},
        ),
        ({"ansible_become": True, "ansible_become_method": "sudo"}, {"become": True}),
        ({"ansible_become_method": "doas"}, {"become": False}),
        ({"ansible_connection": "paramiko"}, {"connection": "ssh"}),
        ({"ansible_connection": "ansible.builtin.ssh"}, {"connection": "ssh"}),
        ({"ansible_connection": "local"}, {"connection": "local"}),
        (
            {"ansible_connection": "local", "ansible_ssh_common_args": "--nonsense"},
            {"connection": "local"},
        ),
        (
            {"ansible_ssh_common_args": "-J a", "ansible_ssh_extra_args": "-J b"},
            {"options": (("proxyjump", "b"), ("proxyjump", "a"))},
        ),
        ({"ansible_host": None}, {"address": "mx1"}),
    ],
)
def test_variables(variables, expected):
    target = target_of("mx1", variables)
    assert {name: getattr(target, name) for name in expected} == expected


def test_overrides_count_where_no_variable_does():
    overrides = Overrides(user="cli", become=True, become_password=Secret("k"), port=1)
    assert target_of("h", {"ansible_user": "inventory"}, defaults=overrides) == Target(
        "h", "h", port=1, user="inventory", become=True, become_password=Secret("k")
    )
    assert target_of("h", {"ansible_become": "no"}, defaults=overrides).become is False


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ansible_port", "smtp", "is not a port: 'smtp'"),
        ("ansible_port", 70000, "is not a port"),
        ("ansible_port", 0, "is not a port"),
        ("ansible_host", "-oProxyCommand=x", "cannot be"),
        ("ansible_host", "", "cannot be"),
        ("ansible_host", "{{ address }}", "is a template"),
        ("ansible_host", ["a"], "must be text, not a list"),
        ("ansible_user", "a\nb", "control character"),
        ("ansible_user", True, "must be text, not true or false"),
        ("ansible_become", "perhaps", "neither yes nor no"),
        ("ansible_become_user", "a b", "is not a user name"),
        ("ansible_become_user", "x;reboot", "is not a user name"),
        ("ansible_connection", "winrm", "only ssh and local"),
        ("ansible_password", VaultValue("$ANSIBLE_VAULT"), "is a secret"),
        ("ansible_ssh_common_args", "-o Nonsense=1", "ssh option Nonsense is not supported"),
    ],
)
def test_errors_point_at_the_variable(name, value, message):
    mark = Mark("hosts.yml", 3, 9)
    variables = Map({name: value}, marks={name: mark})
    with pytest.raises(InputError, match=message) as caught:
        target_of("mx1", variables)
    assert caught.value.mark == mark


def test_become_method_matters_only_when_becoming():
    with pytest.raises(InputError, match="only sudo is supported"):
        target_of("h", {"ansible_become": True, "ansible_become_method": "doas"})


def test_secrets_stay_hidden():
    target = target_of("h", {"ansible_become": True, "ansible_become_password": "hush"})
    assert "hush" not in repr(target)
