"""The lab itself, on booted hosts."""

from __future__ import annotations

import os
import shlex
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
import yaml
from click.testing import CliRunner
from dnslib import RCODE, DNSRecord

from provisioner.cli.lab import lab as lab_command
from provisioner.errors import InputError
from provisioner.lab import HostSpec, LabError, cgroups, cleanup, network, roots, state, zones
from provisioner.lab.lab import Lab
from provisioner.lab.recipe import PASSWORDS
from provisioner.lab.state import Host
from provisioner.lab.system import marked_processes

FreshHost = Callable[..., Host]


def login(lab: Lab, host: Host, user: str, **how: object) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.load_host_keys(str(lab.known_hosts_file))  # the default policy refuses others
    client.connect(
        host.address, username=user, allow_agent=False, look_for_keys=False, timeout=10, **how
    )
    return client


def said(client: paramiko.SSHClient, command: str, stdin: str = "") -> str:
    channel_in, out, _ = client.exec_command(command, timeout=20)
    channel_in.write(stdin)
    channel_in.channel.shutdown_write()
    return out.read().decode().strip()


# -- a host -----------------------------------------------------------------------


def test_host_is_a_stock_debian_mail_server(lab: Lab, host: Host) -> None:
    out = lab.exec(
        host,
        "hostname -f; cat /etc/mailname; postconf -h myhostname; . /etc/os-release;"
        "echo $VERSION_CODENAME; systemctl --failed --no-legend; dpkg --audit",
    ).stdout.split()
    fqdn = f"{host.name}.lab.example"
    assert out == [fqdn, fqdn, fqdn, host.release]


def test_ssh_with_the_variables_of_the_inventory(lab: Lab, host: Host, tmp_path: Path) -> None:
    inventory = yaml.safe_load(lab.write_inventory(tmp_path / "lab.yml", "admin").read_text())
    group = inventory["all"]["children"]["lab"]
    variables = group["vars"]
    done = subprocess.run(
        [
            *("ssh", "-F", "none", "-o", "BatchMode=yes"),
            *("-i", variables["ansible_ssh_private_key_file"]),
            *shlex.split(variables["ansible_ssh_common_args"]),
            *("-l", variables["ansible_user"], group["hosts"][host.name]["ansible_host"]),
            "sudo -S -k -p '' id -un",
        ],
        input=variables["ansible_become_password"] + "\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("root\n", 0), done.stderr
    assert inventory["all"]["children"][host.release]["hosts"][host.name] == {}


def test_another_host_key_is_refused(lab: Lab, host: Host, tmp_path: Path) -> None:
    other = next(each for each in lab.hosts if each.name != host.name)
    lines = lab.known_hosts_file.read_text().splitlines()
    keys = [line.split(" ", 1)[1] for line in lines if f",{other.address} " in line]
    wrong = tmp_path / "known_hosts"
    wrong.write_text("".join(f"{host.address} {key}\n" for key in keys))
    client = paramiko.SSHClient()
    client.load_host_keys(str(wrong))
    with pytest.raises(paramiko.BadHostKeyException):
        client.connect(host.address, username="root", key_filename=str(lab.key_file), timeout=10)


def test_accounts(lab: Lab, host: Host) -> None:
    with login(lab, host, "admin", password=PASSWORDS["admin"]) as admin:
        assert said(admin, "sudo -n id -un 2>&1").startswith("sudo: a password is required")
        assert said(admin, "sudo -S -p '' id -un", PASSWORDS["admin"] + "\n") == "root"
    with login(lab, host, "deploy", key_filename=str(lab.key_file)) as deploy:
        assert said(deploy, "sudo -n id -un") == "root"
    with login(lab, host, "alice", password=PASSWORDS["alice"]) as alice:
        assert said(alice, "id -un") == "alice"
    with pytest.raises(paramiko.AuthenticationException):
        login(lab, host, "admin", password="wrong")


def test_packages_are_installed_with_no_way_out(lab: Lab, host: Host) -> None:
    lab.exec(
        host,
        "export DEBIAN_FRONTEND=noninteractive; set -e\n"
        "apt-get -qq update && apt-get -qq -y purge postfix && apt-get -qq -y autoremove\n"
        "! test -e /usr/sbin/postfix; ! test -e /etc/postfix/main.cf\n"
        "apt-get -qq -y install postfix postfix-pcre postfix-lmdb postgrey\n"
        "postfix status",
        seconds=300,
    )
    assert "sqlite" not in lab.exec(host, "postconf -m").stdout.split()
    lab.exec(host, "apt-get -qq -y install postfix-sqlite", seconds=120)
    assert "sqlite" in lab.exec(host, "postconf -m").stdout.split()


def test_there_is_no_way_out(lab: Lab, fresh_host: FreshHost) -> None:
    host = fresh_host()
    assert lab.exec(host, "ip route show default").stdout == ""
    reached = lab.exec(host, "curl -sS -m 5 http://192.0.2.1/", check=False)
    assert reached.returncode != 0
    assert "Couldn't connect" in reached.stderr or "Failed to connect" in reached.stderr


def test_controller_never_sends_lab_packets_elsewhere(lab: Lab) -> None:
    free = next(n for n in range(256) if n not in network.taken_blocks())
    address = type(lab.addresses)(free).host(1)
    with pytest.raises(OSError, match=r"No route to host|Network is unreachable"):
        socket.create_connection((address, 22), timeout=5)


# -- names ------------------------------------------------------------------------


def ask(lab: Lab, name: str, kind: str = "A", tcp: bool = False) -> DNSRecord:
    query = DNSRecord.question(name, kind)
    return DNSRecord.parse(query.send(lab.addresses.dns, 53, tcp=tcp, timeout=2))


def answers(lab: Lab, name: str, kind: str = "A", tcp: bool = False) -> list[str]:
    return [str(record.rdata) for record in ask(lab, name, kind, tcp).rr]


@pytest.mark.parametrize("tcp", [False, True])
def test_dns_forward_and_reverse(lab: Lab, tcp: bool) -> None:
    lab.dns.reset()
    host = lab.hosts[0]
    assert answers(lab, f"{host.name}.lab.example", "A", tcp) == [host.address]
    assert answers(lab, zones.reverse_name(host.address), "PTR", tcp) == [
        f"{host.name}.lab.example."
    ]
    assert ask(lab, "nowhere.example", "A", tcp).header.rcode == RCODE.NXDOMAIN


def test_dns_lists(lab: Lab) -> None:
    lab.dns.reset()
    listed = lab.client_address("listed").split(".")
    back = ".".join(reversed(listed))
    assert answers(lab, f"{back}.{zones.DNSBL}") == ["127.0.0.2"]
    assert answers(lab, f"2.0.0.127.{zones.DNSBL}") == ["127.0.0.2"]
    assert ask(lab, f"1.0.0.127.{zones.DNSBL}").header.rcode == RCODE.NXDOMAIN
    assert answers(lab, f"4.3.2.1.{zones.LISTS_EVERYTHING}") == ["127.0.0.2"]
    assert answers(lab, f"4.3.2.1.{zones.REFUSES}") == ["127.255.255.254"]
    assert ask(lab, f"4.3.2.1.{zones.FAILS}").header.rcode == RCODE.SERVFAIL
    with pytest.raises(TimeoutError):
        ask(lab, f"4.3.2.1.{zones.SILENT}")


def test_dns_is_changed_at_once(lab: Lab) -> None:
    lab.dns.set("new.example", A=["192.0.2.7"], MX=["10 new.example"])
    assert answers(lab, "new.example") == ["192.0.2.7"]
    lab.dns.set("new.example")
    assert ask(lab, "new.example").header.rcode == RCODE.NXDOMAIN
    lab.dns.set_zone("down.example", "servfail")
    assert ask(lab, "x.down.example").header.rcode == RCODE.SERVFAIL
    lab.dns.list_address(zones.DNSBL, "192.0.2.9")
    assert answers(lab, f"9.2.0.192.{zones.DNSBL}") == ["127.0.0.2"]
    lab.dns.reset()
    assert ask(lab, f"9.2.0.192.{zones.DNSBL}").header.rcode == RCODE.NXDOMAIN
    assert lab.dns.asked()[-1] == f"9.2.0.192.{zones.DNSBL}. A nxdomain"


def rcpt(lab: Lab, host: Host, client: str) -> tuple[int, str]:
    source = (lab.client_address(client), 0)
    with smtplib.SMTP(host.address, 25, "client.example", 30, source) as smtp:
        smtp.ehlo()
        smtp.mail("someone@good.example")
        code, text = smtp.rcpt(f"root@{host.fqdn}")
        return code, text.decode()


def test_postfix_judges_clients_by_the_labs_dns(lab: Lab, host: Host) -> None:
    lab.exec(
        host,
        f"postconf -e 'smtpd_client_restrictions=reject_rbl_client {zones.DNSBL},"
        "reject_unknown_reverse_client_hostname' && touch -d '-1 minute' /etc/postfix/main.cf"
        "&& postfix reload",
    )
    assert rcpt(lab, host, "good")[0] == 250
    code, text = rcpt(lab, host, "listed")
    assert code == 554
    assert f"[{lab.client_address('listed')}] blocked using {zones.DNSBL}" in text
    code, text = rcpt(lab, host, "nameless")
    assert code == 450
    assert "cannot find your reverse hostname" in text


# -- what can be done to a host ---------------------------------------------------


def test_reset_makes_a_host_new(lab: Lab, fresh_host: FreshHost) -> None:
    host = fresh_host()
    lab.exec(host, "rm -rf /etc/postfix; touch /root/mark; systemctl stop ssh")
    lab.reset(host)
    assert lab.exec(host, "ls -A /root/mark", check=False).returncode != 0
    with login(lab, host, "root", key_filename=str(lab.key_file)) as root:
        assert said(root, "postconf -h myhostname") == host.fqdn


def test_a_host_keeps_its_disk_over_reboot_and_power_cut(lab: Lab, host: Host) -> None:
    boot = lab.exec(host, "echo kept > /root/mark; sync; cat /proc/sys/kernel/random/boot_id")
    lab.reboot(host)
    assert lab.exec(host, "cat /root/mark").stdout == "kept\n"
    lab.kill(host)
    assert not lab.is_running(host)
    with pytest.raises(LabError, match="does not run"):
        lab.exec(host, "true")
    lab.start(host)
    assert lab.exec(host, "cat /root/mark").stdout == "kept\n"
    assert boot.returncode == 0


def test_hosts_can_be_far_away(lab: Lab, host: Host) -> None:
    client = login(lab, host, "root", key_filename=str(lab.key_file))
    try:
        lab.delay(40)
        began = time.monotonic()
        with socket.create_connection((host.address, 25), timeout=20) as far:
            assert far.recv(4) == b"220 "
        # The one place where time is what is tested: two round trips take no less.
        assert time.monotonic() - began >= 4 * 0.040
        assert said(client, "head -c 300000 /dev/zero | md5sum; cat", "x" * 50_000).endswith("xx")
        assert marked_processes(f"{lab.name}/line")
    finally:
        lab.delay(0)
    assert said(client, "echo here") == "here"
    assert not marked_processes(f"{lab.name}/line")


def test_a_cut_host_is_silent_until_restored(lab: Lab, fresh_host: FreshHost) -> None:
    host = fresh_host()
    lab.cut(host)
    with pytest.raises(OSError):  # noqa: PT011 - a time-out or no route: both are silence
        socket.create_connection((host.address, 22), timeout=1)
    assert lab.exec(host, "echo inside").stdout == "inside\n"
    lab.restore(host)
    socket.create_connection((host.address, 22), timeout=1).close()


def test_exec_reports_failure_and_slowness(lab: Lab, fresh_host: FreshHost) -> None:
    host = fresh_host()
    with pytest.raises(LabError, match=f"{host.name}.*status 3: why"):
        lab.exec(host, "echo why >&2; exit 3")
    with pytest.raises(LabError, match="did not end within"):
        lab.exec(host, ["sleep", "60"], seconds=0.5)
    assert lab.exec(host, "cat", stdin="given").stdout == "given"
    with pytest.raises(InputError, match="has no host 'nobody'"):
        lab.exec("nobody", "true")


def test_a_failed_boot_is_tried_again(
    lab: Lab, fresh_host: FreshHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link that survived its host keeps the next one from its name: a real fault."""
    host = fresh_host()
    lab.kill(host)
    link = f"vb-{lab.machine(host).name}"
    space = next(name for name in network.leftovers() if _has_block(name, lab))
    subprocess.run(["ip", "-n", space, "link", "add", link, "type", "veth"], check=True)
    lab.start(host)
    assert lab.is_running(host)
    assert f"{host.name} (boot 1 of 3): its container ended" in capsys.readouterr().err


def _has_block(name: str, lab: Lab) -> bool:
    return name == f"provlab{lab.addresses.number}"


def test_a_host_that_never_boots_is_named(lab: Lab, fresh_host: FreshHost) -> None:
    host = fresh_host()
    lab.exec(host, "rm -f /usr/lib/systemd/systemd /lib/systemd/systemd /sbin/init")
    lab.kill(host)
    with pytest.raises(LabError, match=rf"(?s){host.name} \({host.release}\) did not come up: its"):
        lab.start(host)


# -- labs -------------------------------------------------------------------------


def what_is_left(name: str, block: int) -> list[str]:
    """Everything on this machine that belongs to a lab."""
    machines = f"lab{block}h"
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [
        *(f"process {number}" for number in marked_processes(name)),
        *(each for each in network.leftovers() if each == f"provlab{block}"),
        *(each for each in cgroups.leftovers() if each.startswith(machines)),
        *(line for line in mounts if f"/{name}/" in line or f"provlab{block} " in line),
        *(["directory"] if (state.run_directory() / name).exists() else []),
        *(["disks"] if (state.disks_directory() / name).exists() else []),
        *(str(path) for path in Path("/run/systemd/nspawn").glob(f"*/{machines}*")),
        *(["route"] if block in network.taken_blocks() else []),
    ]


@pytest.fixture
def other_name(lab: Lab) -> Iterator[str]:
    name = f"{lab.name}-other"
    yield name
    cleanup.down(name)


def test_two_labs_side_by_side(lab: Lab, fresh_host: FreshHost, other_name: str) -> None:
    host = fresh_host()
    with Lab.up(other_name, [HostSpec(host.name, host.release)]) as other:
        twin = other.host(host.name)
        assert twin.address != host.address
        other.exec(twin, "touch /root/twin")
        assert lab.exec(host, "ls /root/twin", check=False).returncode != 0
        ping = lab.exec(host, ["ping", "-c1", "-W1", twin.address], check=False)
        assert ping.returncode != 0
        with pytest.raises(InputError, match="up already"):
            Lab.up(other_name, [HostSpec()])
        block = other.addresses.number
        assert what_is_left(other_name, block) != []
    assert what_is_left(other_name, block) == []
    assert lab.exec(host, "echo here").stdout == "here\n"
    other.down()  # a second time is nothing


def test_down_after_everything_was_killed(lab: Lab, other_name: str) -> None:
    other = Lab.up(other_name, [HostSpec(release=lab.hosts[0].release) for _ in range(2)])
    block = other.addresses.number
    supervisor, _ = other.machine("mx1").processes()
    os.kill(supervisor, signal.SIGKILL)
    os.kill(other.machine("mx2").leader() or 0, signal.SIGKILL)
    (other.directory / "lab.json").write_text("{ torn")
    found = Lab.open  # what an administrator would try first
    with pytest.raises(LabError, match=r"cannot be read"):
        found(other_name)
    CliRunner().invoke(lab_command, ["down", "--name", other_name], catch_exceptions=False)
    assert what_is_left(other_name, block) == []


def test_down_after_the_controller_was_killed(lab: Lab, other_name: str) -> None:
    script = (
        "import sys; from provisioner.lab import HostSpec; from provisioner.lab.lab import Lab;"
        "Lab.up(sys.argv[1], [HostSpec(release=sys.argv[2]) for _ in range(3)])"
    )
    release = lab.hosts[0].release
    process = subprocess.Popen([sys.executable, "-c", script, other_name, release])
    while len(marked_processes(other_name)) < 3:
        assert process.poll() is None
    process.kill()
    process.wait()
    block = state.load(other_name).block
    assert what_is_left(other_name, block) != []
    cleanup.down(other_name)
    assert what_is_left(other_name, block) == []


def test_commands(lab: Lab, lab_possible: None) -> None:
    host = lab.hosts[0]
    runner = CliRunner()
    listed = runner.invoke(lab_command, ["ls"], catch_exceptions=False).stdout
    row = next(line.split() for line in listed.splitlines() if f"{lab.name} " in line)
    assert row == [lab.name, host.name, host.release, host.address, "running"]
    shown = runner.invoke(lab_command, ["inventory", "--name", lab.name], catch_exceptions=False)
    assert host.name in yaml.safe_load(shown.stdout)["all"]["children"]["lab"]["hosts"]
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from provisioner.cli.lab import lab; lab()"),
            *("ssh", "--name", lab.name, host.name, "--", "hostname", "-f"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == f"{host.fqdn}\n", done.stderr
    assert runner.invoke(lab_command, ["doctor"], catch_exceptions=False).exit_code == 0


def test_cached_roots_are_whole(lab: Lab, release: str) -> None:
    root = roots.cached(release)
    assert root is not None
    assert (root / "usr/sbin/postconf").exists()
    assert root == roots.ensure(release)


@pytest.mark.matrix
def test_twenty_hosts(lab_possible: None, other_name: str) -> None:
    specs = [HostSpec(release="bookworm") for _ in range(20)]
    with Lab.up(other_name, specs) as other:
        greetings = [
            socket.create_connection((host.address, 25), timeout=10).recv(200).decode()
            for host in other.hosts
        ]
        block = other.addresses.number
    assert [line.split()[1] for line in greetings] == [host.fqdn for host in other.hosts]
    assert what_is_left(other_name, block) == []


@pytest.mark.matrix
@pytest.mark.parametrize("variant", ["sysvinit", "openrc"])
def test_other_init_systems(lab_possible: None, other_name: str, variant: str) -> None:
    with Lab.up(other_name, [HostSpec(variant=variant)]) as other:
        other.exec("mx1", "service cron status && service postfix restart")
        assert other.exec("mx1", "ls /run/systemd/system", check=False).returncode != 0
        other.reboot("mx1")
        assert "running" in other.exec("mx1", "service postfix status").stdout
