"""ssh configuration: what is read, what is refused, and what becomes of it."""

import getpass
from pathlib import Path

import pytest

from provisioner.errors import InputError
from provisioner.transport.base import Target
from provisioner.transport.endpoint import Resolver, parse_destination
from provisioner.transport.sshconfig import SshConfig


@pytest.fixture
def resolve(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")

    def make(text="", *, files=None, **target):
        for name, content in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        config = tmp_path / "config"
        config.write_text(text)
        name = target.pop("name", "mx1")
        resolver = Resolver(SshConfig(config), None, 10.0)
        return resolver.target(Target(name, target.pop("address", name), **target))

    return make


def test_defaults(resolve, tmp_path):
    found = resolve()
    assert (found.host, found.port, found.user) == ("mx1", 22, getpass.getuser())
    assert found.known_hosts[0] == tmp_path / ".ssh/known_hosts"
    assert found.known_hosts[-2] == Path("/etc/ssh/ssh_known_hosts")
    assert (found.identity_files, found.agent, found.jumps) == ((), "/run/agent", ())


CONFIG = """
Host mx1
  HostName 192.0.2.1
  Port 2222
  User deploy
  IdentityFile ~/.ssh/%h-%r
  IdentityFile "/keys/with space"
  IdentitiesOnly yes
  ConnectTimeout=3
  AddressFamily inet6
  UserKnownHostsFile ~/a "~/b c"
  IdentityAgent none
  PasswordAuthentication no
  Compression yes
Host mx*
  User ignored
  ProxyJump jump@gw:2200
  HostKeyAlias Alias
"""


def test_configuration(resolve, tmp_path):
    found = resolve(CONFIG)
    assert (found.host, found.port, found.user) == ("192.0.2.1", 2222, "deploy")
    assert found.identity_files == (tmp_path / ".ssh/192.0.2.1-deploy", Path("/keys/with space"))
    assert found.identities_only
    assert found.connect_seconds == 3
    assert found.family.name == "AF_INET6"
    assert found.known_hosts[:2] == (tmp_path / "a", tmp_path / "b c")
    assert found.agent is None
    assert not found.use_password
    assert found.jumps == ("jump@gw:2200",)
    assert found.known_as == "alias"


def test_inventory_before_options_before_configuration(resolve):
    options = (("port", "3"), ("user", "option"), ("proxyjump", "none"), ("identityfile", "/o"))
    found = resolve(CONFIG, options=options, user="inventory", private_key_file="/i")
    assert (found.port, found.user, found.jumps) == (3, "inventory", ())
    assert [str(path) for path in found.identity_files[:2]] == ["/i", "/o"]


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("ProxyCommand nc %h %p %r%%", {"port": 99, "user": "u"}, "nc mx1 99 u%"),
        ("ProxyCommand none", {}, None),
        ("ProxyJump gw\nProxyCommand nc", {}, None),
        ("ProxyCommand nc\nHost *\nProxyJump gw", {}, None),
    ],
)
def test_proxy_command(resolve, text, target, expected):
    assert resolve(text, **target).proxy_command == expected


def test_jump_host_is_reached_directly(resolve):
    config = "Host *\nProxyJump gw"
    assert resolve(config, name="gw").jumps == ()
    assert resolve(config).jumps == ("gw",)


def test_names_in_known_hosts(resolve):
    assert resolve(port=2222).known_as == "[mx1]:2222"
    assert resolve("HostName MX1.Example").known_as == "mx1.example"


def test_include(resolve):
    files = {"conf.d/a": "Host mx1\n User a\n", "conf.d/b": "Port 7\nHost other\n Port 8\n"}
    found = resolve("Include conf.d/*\nIdentityFile /k\n", files=files)
    assert (found.user, found.port, str(found.identity_files[0])) == ("a", 7, "/k")
    assert resolve("Include none-there*\n").port == 22
    assert resolve("Host x\n Port 1\nHost *\n Include conf.d/b\n", files=files).port == 7


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("Match host mx1\nPort 1\n", "mx1", 1),
        ("Match host mx2\nPort 1\n", "mx1", 22),
        ("Match originalhost mx1 exec true\nPort 1\n", "mx1", 1),
        ("Match exec false\nPort 1\n", "mx1", 22),
        ("Match exec 'test %h = mx1'\nPort 1\n", "mx1", 1),
        ("Match !exec true\nPort 1\n", "mx1", 22),
        ("Match host mx2 exec true\nPort 1\n", "mx1", 22),
        ("Match !host mx1\nPort 1\n", "mx1", 22),
        ("Match all\nPort 1\n", "mx1", 1),
    ],
)
def test_match(resolve, text, name, port):
    assert resolve(text, name=name).port == port


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("\nHost mx1\n  Include x\n", 3, "Include inside a Host or Match block"),
        ("Match localnetwork 10.0.0.0/8\n", 1, "Match localnetwork is not supported"),
        ("Match host\n", 1, "Match host lacks its argument"),
        ("Host *\nCertificateFile ~/x\n", 2, "user certificates are not supported"),
        ("Port\n", 1, "KEYWORD VALUE is expected"),
        ("Host 'a\n", 1, "No closing quotation"),
    ],
)
def test_what_is_refused_is_named_with_its_line(resolve, tmp_path, text, line, message):
    with pytest.raises(InputError, match=message) as caught:
        resolve(text)
    assert (caught.value.mark.file, caught.value.mark.line) == (str(tmp_path / "config"), line)


def test_certificate_for_other_hosts_is_no_error(resolve):
    assert resolve("Host other\n CertificateFile ~/x\n").port == 22


def test_include_of_itself_ends(resolve):
    with pytest.raises(InputError, match="nested more than 16 deep"):
        resolve("Include config\n")


def test_bad_number(resolve):
    with pytest.raises(InputError, match="'x' is not a number"):
        resolve("Port x\n")


@pytest.mark.parametrize(
    ("spec", "address", "port", "user"),
    [
        ("gw", "gw", None, None),
        ("root@gw:2222", "gw", 2222, "root"),
        ("[2001:db8::1]:22", "2001:db8::1", 22, None),
        ("ssh://root@gw:2222/", "gw", 2222, "root"),
    ],
)
def test_destinations(spec, address, port, user):
    found = parse_destination(spec)
    assert (found.address, found.port, found.user) == (address, port, user)


@pytest.mark.parametrize("spec", ["", "-oProxyCommand=x", "a:b:c", "u@"])
def test_bad_destinations(spec):
    with pytest.raises(InputError, match="not a host to log in to"):
        parse_destination(spec)
