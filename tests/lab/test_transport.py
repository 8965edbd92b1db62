"""The transports against real sshd, sudo and login shells."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from provisioner.cli.hosts import hosts as hosts_command
from provisioner.errors import Failed, HostError, InputError, Unreachable
from provisioner.inventory import load_inventory
from provisioner.lab import cleanup, state
from provisioner.lab.lab import Lab
from provisioner.lab.recipe import PASSWORDS
from provisioner.lab.state import HostSpec
from provisioner.secrets import Secret
from provisioner.transport import Limits, Target, target_of
from provisioner.transport.ssh import SshTransport

pytestmark = pytest.mark.lab

ALL = ("mx1", "mx2", "mx3")
QUICK = Limits(seconds=20, silence=1.5)


@pytest.fixture(scope="module")
def lab(lab_possible, pytestconfig):
    """Hosts of our own: accounts and sshd's configuration are changed all over."""
    for name in state.names():  # of sessions that were killed
        owner = name.removeprefix("transport-")
        if owner.isdigit() and not Path("/proc", owner).exists():
            cleanup.down(name)
    releases = ("bookworm", "trixie", "bookworm")
    if pytestconfig.getoption("--all-releases"):
        releases = ("forky", "trixie", "bullseye")
    specs = [HostSpec(release=release) for release in releases]
    with Lab.up(f"transport-{os.getpid()}", specs) as up:
        yield up


@pytest.fixture(scope="module")
def transport():
    shared = SshTransport(config_file=None, prompt=lambda question: None, connect_seconds=5)
    yield shared
    shared.close()


@pytest.fixture
def enter(lab, transport):
    """Connect as a user of a lab host; closes what it opened."""
    opened = []

    def connect(host="mx1", user="root", *, through=transport, **variables):
        known = lab.connection_vars(host, user if user in ("admin", "deploy") else "root")
        connection = through.connect(target_of(host, {**known, "ansible_user": user, **variables}))
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture(scope="module")
def account(lab):
    """Make an account on a host, which the lab's key opens."""

    def make(name, *, host="mx1", shell="/bin/bash", bashrc="", sudoers="", password=""):
        public = lab.key_file.with_suffix(".pub").read_text()
        lab.exec(
            host,
            f"useradd -m -s {shell} {name} && mkdir -p ~{name}/.ssh && "
            f"cat > ~{name}/.ssh/authorized_keys && chown -R {name}: ~{name}",
            stdin=public,
        )
        lab.exec(host, f"cat > ~{name}/.bashrc", stdin=bashrc)
        if password:
            lab.exec(host, "chpasswd", stdin=f"{name}:{password}")
        if sudoers:
            lab.exec(
                host,
                f"cat > /etc/sudoers.d/{name} && chmod 440 /etc/sudoers.d/{name}",
                stdin=f"{name} {sudoers}\n",
            )
        return name

    return make


def records(lab, host):
    """The host's lines of the lab's known_hosts, by key type."""
    address = lab.host(host).address
    lines = lab.known_hosts_file.read_text().splitlines()
    return {line.split()[1]: line for line in lines if address in line.split()[0].split(",")}


# -- one exec --------------------------------------------------------------------


@pytest.mark.parametrize("host", ALL)
def test_script_and_payload_arrive_as_they_are(enter, host):
    payload = bytes(range(256)) * 40
    connection = enter(host)
    got = connection.run(b"printf 'out '; cat; echo err >&2; exit 7", payload)
    assert got.stdout == b"out " + payload
    assert (got.status, got.stderr) == (7, b"err\n")
    assert connection.host_key.startswith("ssh-ed25519 SHA256:")


def test_counters_say_what_it_cost(enter):
    connection = enter()
    assert connection.counters.connections == 1
    for _ in range(2):
        connection.run(b"cat", b"x" * 1000)
    assert connection.counters.execs == 2
    assert 2000 < connection.counters.bytes_sent < 2200
    assert 2000 < connection.counters.bytes_received < 2200


def test_output_arrives_in_pieces_while_the_script_runs(enter):
    pieces = []
    got = enter().run(b"echo one; sleep 0.3; echo two", on_stdout=pieces.append)
    assert pieces == [b"one\n", b"two\n"]
    assert got.stdout == b"one\ntwo\n"


def test_large_payload_makes_the_round_trip(enter):
    payload = os.urandom(1 << 20) * 30
    connection = enter()
    assert connection.run(b"cat", payload).stdout == payload
    assert connection.counters.bytes_sent > 30 << 20


def test_large_payload_that_nobody_reads(enter):
    assert enter().run(b"echo done", bytes(8 << 20)).stdout == b"done\n"


def test_nothing_of_script_payload_or_password_shows_in_a_process_list(enter):
    connection = enter(user="admin")
    script = b"# hidden-in-script\nps -eww -o args"
    listed = connection.run(script, b"hidden-in-payload").stdout
    assert b"dd bs=" in listed
    for secret in (b"hidden-in-script", b"hidden-in-payload", PASSWORDS["admin"].encode()):
        assert secret not in listed


def test_background_process_does_not_hold_the_exec(enter):
    got = enter().run(b"sleep 100 & echo started", limits=Limits(seconds=30))
    assert got.stdout == b"started\n"


# -- limits ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "limits", "kind", "cause"),
    [
        (b"echo last words; sleep 50", Limits(silence=0.5), Unreachable, "nothing heard for 0.5 s"),
        (b"while :; do echo; sleep 0.1; done", Limits(seconds=1), Unreachable, "not done after 1 "),
        (b"yes", Limits(stdout_bytes=100_000), Failed, "more than 100000 bytes of output"),
        (b"yes >&2", Limits(stdout_bytes=100_000), Failed, "more than 100000 bytes of error"),
    ],
)
def test_limits_end_the_exec_and_the_connection(enter, script, limits, kind, cause):
    connection = enter()
    with pytest.raises(kind, match=cause):
        connection.run(script, limits=limits)
    with pytest.raises(Unreachable):
        connection.run(b"id")


def test_last_output_is_part_of_the_error(enter):
    with pytest.raises(Unreachable, match="last words"):
        enter().run(b"echo last words; sleep 50", limits=Limits(silence=0.5))


def test_standard_error_is_cut_to_its_end(enter):
    got = enter().run(b"seq 100000 >&2", limits=Limits(stderr_bytes=1000))
    assert len(got.stderr) == 1000
    assert got.stderr.endswith(b"\n100000\n")


@pytest.mark.parametrize("victim", ["$$", "$PPID"])
def test_death_of_shell_or_session_is_a_lost_connection(enter, victim):
    with pytest.raises(Unreachable, match="connection lost"):
        enter().run(f"echo dying; kill -9 {victim}; sleep 20".encode(), limits=Limits(silence=5))


def test_cut_cable_is_noticed(enter, lab):
    connection = enter("mx3")
    lab.cut("mx3")
    try:
        with pytest.raises(Unreachable):
            connection.run(b"id", limits=Limits(silence=1, seconds=5))
    finally:
        lab.restore("mx3")


# -- sudo ------------------------------------------------------------------------


@pytest.mark.parametrize("host", ALL)
@pytest.mark.parametrize("user", ["admin", "deploy"])
def test_sudo_runs_the_script_and_gives_it_nothing_but_the_payload(enter, host, user):
    payload = bytes(range(256)) * 4000
    got = enter(host, user, ansible_become_password="correct horse").run(
        b'printf "%s %s\\n" "$(id -un)" "$HOME"; cat; echo err >&2', payload
    )
    assert got.stdout == b"root /root\n" + payload
    assert got.stderr == b"err\n"


@pytest.mark.parametrize("host", ALL)
def test_wrong_sudo_password(enter, host):
    with pytest.raises(Failed, match="sudo refused the password") as caught:
        enter(host, "admin", ansible_become_password="wrong").run(b"id")
    assert "-K" in caught.value.help


def test_missing_sudo_password(enter, lab):
    with pytest.raises(Failed, match="sudo asks for a password and none is given"):
        enter("mx1", "admin", ansible_become_password=None).run(b"id")


def test_become_another_user(enter):
    got = enter("mx1", "deploy", ansible_become_user="alice").run(b"id -un; cat", b"x")
    assert got.stdout == b"alice\nx"


def test_root_needs_no_sudo(enter, lab):
    lab.exec("mx3", "chmod 0 /usr/bin/sudo")
    try:
        assert enter("mx3", ansible_become=True).run(b"id -u").stdout == b"0\n"
    finally:
        lab.exec("mx3", "chmod 4755 /usr/bin/sudo")


@pytest.mark.parametrize(
    ("name", "sudoers", "cause"),
    [
        ("nosudoers", "", "may not run /bin/sh through sudo"),
        ("onlyls", "ALL=(ALL) NOPASSWD: /bin/ls", "may not run /bin/sh through sudo"),
        ("needstty", "ALL=(ALL) NOPASSWD: ALL\nDefaults:needstty requiretty", "a terminal"),
    ],
)
def test_sudo_that_refuses_is_named(enter, account, name, sudoers, cause):
    account(name, sudoers=sudoers, password="pw")
    with pytest.raises(Failed, match=cause) as caught:
        enter(user=name, ansible_become=True, ansible_become_password="pw").run(b"id")
    assert caught.value.help


def test_unknown_user_to_become(enter):
    with pytest.raises(Failed, match="does not know the user"):
        enter(user="deploy", ansible_become_user="nobody-here").run(b"id")


def test_host_without_sudo(enter, lab):
    lab.exec("mx3", "mv /usr/bin/sudo /usr/bin/sudo.away")
    try:
        with pytest.raises(Failed, match="sudo is not installed"):
            enter("mx3", "deploy").run(b"id")
    finally:
        lab.exec("mx3", "mv /usr/bin/sudo.away /usr/bin/sudo")


# -- login shells ----------------------------------------------------------------

NOISE = "seq 200000 | head -c 1000000; echo noise >&2; printf 'no newline'\n"


@pytest.mark.parametrize("become", [False, True])
def test_noisy_startup_files_are_told_apart_from_output(enter, account, lab, become):
    name = account(f"noisy{become}".lower(), bashrc=NOISE, sudoers="ALL=(ALL) NOPASSWD: ALL")
    got = enter(user=name, ansible_become=become).run(b"cat; echo err >&2", b"payload")
    assert (got.stdout, got.stderr) == (b"payload", b"err\n")


def test_noise_then_sudo_password(enter, account):
    name = account("noisypw", bashrc=NOISE, sudoers="ALL=(ALL) ALL", password="pässword")
    connection = enter(user=name, ansible_become=True, ansible_become_password="pässword")
    got = connection.run(b"id -un; cat; echo err >&2", b"payload")
    assert (got.stdout, got.stderr) == (b"root\npayload", b"err\n")


def test_startup_file_that_hangs(enter, account):
    name = account("hanging", bashrc="echo before; sleep 1000\n")
    with pytest.raises(Unreachable, match=r"login shell has not started our shell.*before"):
        enter(user=name).run(b"id", limits=QUICK)


def test_startup_file_without_end(enter, account):
    with pytest.raises(Failed, match="MiB of output before our shell started"):
        enter(user=account("endless", bashrc="yes\n")).run(b"id")


def test_startup_file_that_reads_our_input(enter, account):
    name = account("greedy", bashrc="read -r line; echo got $line\n")
    with pytest.raises(Failed, match="did not arrive whole"):
        enter(user=name).run(b"echo first\ntouch /tmp/greedy-ran\n", b"rm -rf /tmp/x\n" * 10)
    assert enter().run(b"test -e /tmp/greedy-ran").status == 1


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false"])
def test_account_without_shell(enter, account, shell):
    with pytest.raises(Failed, match="ended with status 1 without running our command"):
        enter(user=account(Path(shell).name, shell=shell)).run(b"id")


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/rbash"])
def test_other_shells(enter, account, shell):
    name = account(f"uses{Path(shell).name}", shell=shell, sudoers="ALL=(ALL) NOPASSWD: ALL")
    if shell == "/bin/rbash":
        with pytest.raises(Failed, match="restricted"):
            enter(user=name).run(b"id -un")
    else:
        assert enter(user=name, ansible_become=True).run(b"id -un").stdout == b"root\n"


# -- logging in ------------------------------------------------------------------


@pytest.fixture
def bare(lab):
    """A target of which only address, user and host keys are known."""

    def make(host="mx1", user="root", **fields):
        files = (("userknownhostsfile", str(lab.known_hosts_file)),)
        options = files + tuple(fields.pop("options", ()))
        return Target(host, lab.host(host).address, user=user, options=options, **fields)

    return make


@pytest.fixture
def no_keys(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def fresh(**options):
    options.setdefault("prompt", lambda question: None)
    options.setdefault("connect_seconds", 5)
    return SshTransport(config_file=None, **options)


def copy_of_key(lab, path, passphrase=""):
    path.write_bytes(lab.key_file.read_bytes())
    path.chmod(0o600)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", str(path)],
        check=True,
        capture_output=True,
    )
    return path


def test_nothing_to_log_in_with(bare, no_keys):
    with pytest.raises(Unreachable, match="no key, no agent, no password"):
        fresh().connect(bare())


@pytest.mark.parametrize("files", [True, False])
def test_agent(bare, no_keys, lab, monkeypatch, files):
    path = str(no_keys / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not Path(path).exists():
            assert agent.poll() is None
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        subprocess.run(["ssh-add", "-q", str(lab.key_file)], check=True)
        fields = {}
        if files:  # a locked key file whose open half the agent holds: nobody is asked
            locked = copy_of_key(lab, no_keys / "locked", "secret")
            fields = {
                "private_key_file": str(locked),
                "options": (("identitiesonly", "yes"),),
            }
        transport = fresh()
        with ThreadPoolExecutor(12) as pool:
            opened = list(
                pool.map(lambda i: transport.connect(bare(ALL[i % 3], **fields)), range(12))
            )
        assert {each.login.partition(" ")[0] for each in opened} == {"agent"}
        transport.close()
    finally:
        agent.terminate()
        agent.wait()


def test_passphrase_is_asked_for_once(bare, no_keys, lab):
    key = copy_of_key(lab, no_keys / "locked", "open sesame")
    asked = []

    def prompt(question):
        asked.append(question)
        return Secret("open sesame" if len(asked) > 1 else "wrong")

    transport = fresh(prompt=prompt)
    with ThreadPoolExecutor(6) as pool:
        targets = [bare(ALL[i % 3], private_key_file=str(key)) for i in range(6)]
        opened = list(pool.map(transport.connect, targets))
    assert {each.login for each in opened} == {str(key)}
    assert asked == [f"passphrase of {key}"] * 2


def test_passphrase_without_anybody_to_ask(bare, no_keys, lab):
    key = copy_of_key(lab, no_keys / "locked", "open sesame")
    with pytest.raises(Unreachable, match=r"it has a passphrase, and there is no terminal"):
        fresh().connect(bare(private_key_file=str(key)))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519", "rsa-pem"])
def test_kinds_of_keys(bare, no_keys, lab, account, kind):
    path = no_keys / "key"
    form = ["-m", "PEM"] if kind.endswith("pem") else []
    type_ = kind.partition("-")[0]
    subprocess.run(["ssh-keygen", "-q", "-t", type_, *form, "-N", "", "-f", str(path)], check=True)
    name = account(f"key-{kind}", host="mx2")
    lab.exec("mx2", f"cat > ~{name}/.ssh/authorized_keys", stdin=Path(f"{path}.pub").read_bytes())
    connection = fresh().connect(bare("mx2", name, private_key_file=str(path)))
    assert connection.run(b"id -un").stdout.decode().strip() == name
    connection.close()


@pytest.mark.parametrize("host", ALL)
def test_password(bare, no_keys, host):
    connection = fresh().connect(bare(host, "admin", password=Secret(PASSWORDS["admin"])))
    assert connection.login == "password"
    connection.close()


def test_wrong_password_and_key_are_listed(bare, no_keys):
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(no_keys / "other")], check=True)
    target = bare(user="admin", password=Secret("x"), private_key_file=str(no_keys / "other"))
    with pytest.raises(Unreachable, match=r"refused the login as admin; tried: .*other, password"):
        fresh().connect(target)


def test_keyboard_interactive_and_two_factors(bare, no_keys, lab, account):
    for name in ("kbd", "both"):
        account(name, host="mx2", password="pw")
    lab.exec(
        "mx2",
        "cat >> /etc/ssh/sshd_config && systemctl restart ssh",
        stdin=(
            "KbdInteractiveAuthentication yes\n"
            "Match User kbd\nPasswordAuthentication no\nPubkeyAuthentication no\n"
            "KbdInteractiveAuthentication yes\n"
            "Match User both\nAuthenticationMethods publickey,password\n"
        ),
    )
    transport = fresh()
    key = str(lab.key_file)
    for name in ("kbd", "both"):
        target = bare("mx2", name, password=Secret("pw"), private_key_file=key)
        assert transport.connect(target).login == "password"
    with pytest.raises(Unreachable, match="accepted, but password is asked for as well"):
        transport.connect(bare("mx2", "both", private_key_file=key))


def test_more_keys_than_the_host_takes(bare, no_keys, lab):
    options = []
    for number in range(8):
        path = no_keys / f"key{number}"
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(path)], check=True)
        options.append(("identityfile", str(path)))
    with pytest.raises(Unreachable, match=r"key0.*key5") as caught:
        fresh().connect(bare(options=options))
    assert "ansible_ssh_private_key_file" in caught.value.help


# -- host keys -------------------------------------------------------------------


def try_records(lab, path, text, **options):
    path.write_text(text)
    transport = fresh(known_hosts=[path], **options)
    target = Target("mx1", lab.host("mx1").address, user="root", private_key_file=str(lab.key_file))
    try:
        transport.connect(target).close()
    finally:
        transport.close()


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"])
def test_host_is_known_by_any_recorded_key(lab, tmp_path, kind):
    known = records(lab, "mx1")
    if kind not in known:
        made = "ssh-keygen -A > /dev/null; systemctl restart ssh; cat /etc/ssh/ssh_host_rsa_key.pub"
        public = lab.exec("mx1", made).stdout
        known[kind] = f"{lab.host('mx1').address} {public}"
    try_records(lab, tmp_path / "known", known[kind] + "\n")


def test_hashed_records(lab, tmp_path):
    path = tmp_path / "known"
    path.write_text(lab.known_hosts_file.read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    assert "|1|" in path.read_text()
    try_records(lab, path, path.read_text())


def test_unknown_host_key_shows_the_fingerprint_that_ssh_keygen_shows(lab, tmp_path):
    public = lab.exec("mx1", "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout
    with pytest.raises(Unreachable, match="is not known: ssh-ed25519 SHA256:") as caught:
        try_records(lab, tmp_path / "known", "")
    assert public.split()[1] in caught.value.message
    assert caught.value.help.endswith("provisioner hosts trust mx1")


def test_changed_host_key_is_loud_and_points_at_the_record(lab, tmp_path):
    wrong = records(lab, "mx2")["ssh-ed25519"].split(maxsplit=1)[1]
    text = f"# comment\n{lab.host('mx1').address} {wrong}\n"
    with pytest.raises(Unreachable, match="HAS CHANGED") as caught:
        try_records(lab, tmp_path / "known", text)
    assert f"{tmp_path / 'known'}:2" in caught.value.message


def test_revoked_key_and_certificate_authority(lab, tmp_path):
    line = records(lab, "mx1")["ssh-ed25519"]
    with pytest.raises(Unreachable, match="@revoked"):
        try_records(lab, tmp_path / "known", f"{line}\n@revoked {line}\n")
    with pytest.raises(Unreachable, match="host certificates are not supported"):
        try_records(lab, tmp_path / "known", f"@cert-authority {line}\n")


# -- ways there ------------------------------------------------------------------


def accepted(lab, host):
    shown = lab.exec(host, "journalctl -q -u ssh -o cat | grep -c Accepted || true").stdout
    return int(shown)


@pytest.mark.parametrize("through", ["jump", "chain", "config"])
def test_jump_host_is_shared(lab, no_keys, tmp_path, through):
    config = tmp_path / "config"
    config.write_text(
        f"Host {' '.join(each.address for each in lab.hosts)}\n"
        f" IdentityFile {lab.key_file}\n UserKnownHostsFile {lab.known_hosts_file}\n User root\n"
        f"Host {lab.host('mx2').address}\n ProxyJump {lab.host('mx1').address}\n"
    )
    mx1, mx2, mx3 = (lab.host(name).address for name in ALL)
    jumps = {"jump": mx1, "chain": f"root@{mx1}:22,{mx3}", "config": None}[through]
    before = accepted(lab, "mx1")
    transport = SshTransport(config_file=config, prompt=lambda question: None)
    targets = [Target(f"t{number}", mx2, proxy_jump=jumps) for number in range(5)]
    with ThreadPoolExecutor(5) as pool:
        opened = list(pool.map(transport.connect, targets))
    came_from = {each.run(b"echo ${SSH_CLIENT%% *}").stdout.decode().strip() for each in opened}
    assert came_from == {mx3 if through == "chain" else mx1}
    assert opened[0].run(b"cat", bytes(3 << 20)).stdout == bytes(3 << 20)
    assert accepted(lab, "mx1") == before + 1
    transport.close()


def test_jump_hosts_that_need_each_other(no_keys, tmp_path):
    config = tmp_path / "config"
    config.write_text("Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
    transport = SshTransport(config_file=config)
    with pytest.raises(InputError, match="goes in circles"):
        transport.connect(Target("mx1", "mx1", proxy_jump="a"))


def test_jump_host_with_unknown_key(lab, no_keys, tmp_path):
    known = tmp_path / "known"
    known.write_text(records(lab, "mx2")["ssh-ed25519"] + "\n")
    jump = lab.host("mx1").address
    target = Target("mx2", lab.host("mx2").address, user="root", proxy_jump=jump)
    with pytest.raises(Unreachable, match="is not known") as caught:
        fresh(known_hosts=[known]).connect(target)
    assert caught.value.step == f"jump host {jump}: host key"
    assert caught.value.help.endswith(f"hosts trust {jump}")


def test_host_that_a_jump_host_cannot_reach(lab, no_keys, bare):
    target = Target(
        "far",
        "127.0.0.1",
        port=1,
        proxy_jump=f"root@{lab.host('mx1').address}",
        options=(
            ("userknownhostsfile", str(lab.known_hosts_file)),
            ("identityfile", str(lab.key_file)),
        ),
    )
    config = no_keys / "config"
    config.write_text(f"IdentityFile {lab.key_file}\nUserKnownHostsFile {lab.known_hosts_file}\n")
    with pytest.raises(Unreachable, match=r"127.0.0.1:1 through root@.*[Cc]onnect"):
        SshTransport(config_file=config).connect(target)


@pytest.fixture
def behind(lab, no_keys):
    """Write an inventory in which mx2 is behind the jump host mx1, as `args` name it. Each key is
    recorded in one file alone: the jump host's in the user's, mx2's in that of `args`."""
    (no_keys / ".ssh").mkdir(mode=0o700)
    copy_of_key(lab, no_keys / ".ssh" / "id_ed25519")

    def write(args, *, jump_known=True, known=True):
        records_of = {
            no_keys / ".ssh" / "known_hosts": ("mx1", jump_known),
            no_keys / "known": ("mx2", known),
        }
        for file, (host, is_known) in records_of.items():
            file.write_text(records(lab, host)["ssh-ed25519"] + "\n" if is_known else "")
        inventory = no_keys / "hosts.yml"
        inventory.write_text(
            f"all:\n  hosts:\n    mx2:\n      ansible_host: {lab.host('mx2').address}\n"
            "      ansible_user: root\n      ansible_ssh_common_args: >-\n"
            f"        -o UserKnownHostsFile={no_keys / 'known'} {args}\n"
        )
        return inventory

    return write


@pytest.mark.parametrize(
    "spelling", ["-o ProxyJump={}", "-oProxyJump={}", "-o 'ProxyJump {}'", "-J {}", "-J{}"]
)
def test_jump_host_named_in_common_args(lab, behind, spelling):
    jump = lab.host("mx1").address
    inventory = load_inventory([behind(spelling.format(f"root@{jump}:22"))])
    transport = SshTransport(prompt=lambda question: None, connect_seconds=5)
    connection = transport.connect(target_of("mx2", inventory.hosts["mx2"].vars))
    assert connection.run(b"hostname; echo ${SSH_CLIENT%% *}").stdout.decode().split() == [
        "mx2",
        jump,
    ]
    transport.close()


REFUSED_ON_THE_WAY = {
    "key of the jump host": (
        {"jump_known": False},
        "root@{jump}",
        "mx2: jump host root@{jump}: host key: the host key of {jump} is not known: ssh-ed25519",
        "then: provisioner hosts trust root@{jump}",
    ),
    "key of the host behind": (
        {"known": False},
        "root@{jump}",
        "mx2: host key: the host key of {host} is not known: ssh-ed25519",
        "then: provisioner hosts trust mx2",
    ),
    "port of the jump host": (
        {},
        "root@{jump}:1",
        "mx2: jump host root@{jump}:1: connect: {jump}:1: connection refused",
        "is the jump host right, where ProxyJump (or -J) names it",
    ),
    "login on the jump host": (
        {},
        "nobody-here@{jump}",
        "mx2: jump host nobody-here@{jump}: login: {jump}:22 refused the login as nobody-here; ",
        "name the user in ProxyJump (user@host), and the key in ~/.ssh/config",
    ),
    "forwarding by the jump host": (
        {},
        "noforward@{jump}",
        "mx2: connect: {host}:22 through noforward@{jump}: ",
        "AllowTcpForwarding and PermitOpen in its sshd_config",
    ),
}


@pytest.mark.parametrize("case", REFUSED_ON_THE_WAY)
def test_what_is_refused_on_the_way_through_a_jump_host(lab, behind, account, case):
    known, spec, says, helps = REFUSED_ON_THE_WAY[case]
    words = {"jump": lab.host("mx1").address, "host": lab.host("mx2").address}
    if "noforward" in spec:
        name = account("noforward")
        lab.exec("mx1", f"sed -i 's/^/no-port-forwarding /' ~{name}/.ssh/authorized_keys")
    inventory = behind(f"-o ProxyJump={spec.format(**words)}", **known)
    checked = CliRunner().invoke(hosts_command, ["check", "-i", str(inventory)])
    assert checked.exit_code == 5, checked.output
    assert says.format(**words) in checked.stderr
    assert helps.format(**words) in checked.stderr


def test_proxy_command(lab, enter):
    jump = lab.host("mx1").address
    command = (
        f"ssh -F none -i {lab.key_file} -o UserKnownHostsFile={lab.known_hosts_file} "
        f"-W %h:%p root@{jump}"
    )
    known = lab.connection_vars("mx2")
    args = f"{known['ansible_ssh_common_args']} -o ProxyCommand='{command}'"
    connection = enter("mx2", ansible_ssh_common_args=args)
    assert connection.run(b"echo ${SSH_CLIENT%% *}").stdout.decode().strip() == jump


def test_proxy_command_that_fails_says_what_it_said(lab, enter):
    args = "-o ProxyCommand='echo no such tunnel >&2; exit 1'"
    with pytest.raises(Unreachable, match="no such tunnel"):
        enter("mx2", ansible_ssh_common_args=args)


@pytest.fixture
def silent_port():
    """A port that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_dead_hosts_are_named_with_their_cause(lab, silent_port):
    transport = fresh(connect_seconds=2)
    address = lab.host("mx1").address
    unused = address.rsplit(".", 1)[0] + ".199"
    causes = {
        Target("refused", address, port=1): "connection refused",
        Target("silent", "127.0.0.1", port=silent_port): "(no SSH greeting|handshake in)",
        Target("smtp", address, port=25): 'does not greet as SSH does, but with "220 ',
        Target("nobody", unused): "(no route to host|no answer within)",
        Target("nameless", "no-such-host.invalid"): "cannot find the address|no answer from DNS",
    }

    def attempt(target):
        with pytest.raises(Unreachable) as caught:
            transport.connect(target)
        return target, caught.value

    with ThreadPoolExecutor(len(causes)) as pool:
        for target, error in pool.map(attempt, causes):
            assert error.host == target.name
            assert error.step == "connect"
            with pytest.raises(Unreachable, match=causes[target]):
                raise error


def test_one_bad_host_costs_the_others_nothing(lab, silent_port, account):
    transport = fresh(connect_seconds=2)
    name = account("hangs2", bashrc="sleep 1000\n")
    variables = lab.connection_vars("mx1")
    targets = [target_of(f"good{n}", lab.connection_vars(ALL[n % 3])) for n in range(20)]
    targets.append(Target("silent", "127.0.0.1", port=silent_port))
    targets.append(target_of("hung", {**variables, "ansible_user": name}))

    def work(target):
        try:
            connection = transport.connect(target)
        except HostError as error:
            return error
        try:
            return connection.run(b"echo here", limits=QUICK).stdout
        except HostError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(32) as pool:
        results = list(pool.map(work, targets))
    assert results[:20] == [b"here\n"] * 20
    assert [type(each) for each in results[20:]] == [Unreachable] * 2


def test_banner_is_no_output(lab, enter):
    lab.exec(
        "mx2",
        "yes 'Authorized use only' | head -200 > /etc/issue.net;"
        "echo 'Banner /etc/issue.net' > /etc/ssh/sshd_config.d/banner.conf; systemctl restart ssh",
    )
    got = enter("mx2").run(b"echo quiet")
    assert (got.stdout, got.stderr) == (b"quiet\n", b"")


def test_closing_from_another_thread_ends_a_run(enter):
    connection = enter()
    timer = threading.Timer(0.5, connection.close)
    timer.start()
    with pytest.raises(Unreachable, match="connection lost"):
        connection.run(b"sleep 30", limits=Limits(silence=20))
    timer.join()


# -- commands --------------------------------------------------------------------


def test_trust_then_check(lab, no_keys, tmp_path):
    known = tmp_path / "known"
    known.write_text("# mine, without newline at the end")
    known.chmod(0o640)
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "all:\n  vars:\n"
        f"    ansible_ssh_common_args: -o UserKnownHostsFile={known}\n"
        f"    ansible_ssh_private_key_file: {lab.key_file}\n"
        "    ansible_user: deploy\n    ansible_become: true\n  hosts:\n"
        + "".join(f"    {each.name}: {{ansible_host: {each.address}}}\n" for each in lab.hosts)
    )
    run = CliRunner().invoke
    unknown = run(hosts_command, ["check", "-i", str(inventory)])
    assert unknown.exit_code == 5
    assert unknown.stderr.count("provisioner hosts trust mx") == 3

    trusted = run(hosts_command, ["trust", "-y", "-i", str(inventory)])
    assert trusted.exit_code == 0, trusted.output
    lines = known.read_text().splitlines()
    assert lines[0] == "# mine, without newline at the end"
    assert len(lines) == 4
    assert known.stat().st_mode & 0o777 == 0o640
    again = run(hosts_command, ["trust", "-y", "-i", str(inventory), "mx1"])
    assert (again.exit_code, known.read_text().splitlines()) == (0, lines)

    checked = run(hosts_command, ["check", "-i", str(inventory)])
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.count("user deploy by") == 3
    assert checked.stdout.count("became root") == 3


def test_changed_key_is_replaced_only_on_request(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address = lab.host("mx1").address
    known = tmp_path / "known"
    wrong = records(lab, "mx2")["ssh-ed25519"].split(maxsplit=1)[1]
    known.write_text(f"other,{address} {wrong}\n")
    run = CliRunner().invoke
    arguments = ["trust", "-y", "--known-hosts", str(known), address]
    refused = run(hosts_command, arguments)
    assert refused.exit_code == 5
    assert "HAS CHANGED" in refused.stderr
    assert known.read_text() == f"other,{address} {wrong}\n"
    replaced = run(hosts_command, [*arguments, "--replace"])
    assert replaced.exit_code == 0, replaced.output
    right = records(lab, "mx1")["ssh-ed25519"].split(maxsplit=1)[1]
    assert known.read_text() == f"other {wrong}\n{address} {right}\n"
