"""Options of ssh in inventories."""

import pytest

from provisioner.errors import InputError
from provisioner.transport.sshargs import parse_ssh_args


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("-o ProxyJump=a,b", [("proxyjump", "a,b")]),
        ("-oPort=2222", [("port", "2222")]),
        ("-o 'Port 2222'", [("port", "2222")]),
        ("-o Port = 2222", None),
        (
            "-J bastion -p 22 -i k",
            [("proxyjump", "bastion"), ("port", "22"), ("identityfile", "k")],
        ),
        ('-o ProxyCommand="ssh -W %h:%p gw"', [("proxycommand", "ssh -W %h:%p gw")]),
        ('-o UserKnownHostsFile="/a b"', [("userknownhostsfile", "/a b")]),
        ("-C -q -vvv -4", [("addressfamily", "inet")]),
        ("-o ControlMaster=auto -o ControlPersist=60s -S /x", []),
        ("-o StrictHostKeyChecking=no", []),
        ("-o ServerAliveInterval=5 -luser", [("user", "user")]),
        ("-o Nonsense=1", None),
        ("-D 8080", None),
        ("-o", None),
        ("-J", None),
        ("host", None),
        ("-", None),
        ("-o CertificateFile=x", None),
        ("'unclosed", None),
    ],
)
def test_parsing(text, expected):
    if expected is None:
        with pytest.raises(InputError, match="ansible_ssh_common_args: "):
            parse_ssh_args(text, "ansible_ssh_common_args", None)
    else:
        assert parse_ssh_args(text, "ansible_ssh_common_args", None) == expected


def test_unknown_option_names_the_nearest():
    with pytest.raises(InputError) as caught:
        parse_ssh_args("-o ProxyJmp=a", "v", None)
    assert caught.value.help == "did you mean proxyjump?"
