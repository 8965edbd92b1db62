"""`connection: local`, with real processes and a stand-in for sudo."""

import os

import pytest

from provisioner.errors import Failed, Unreachable
from provisioner.secrets import Secret
from provisioner.transport import Limits, Target
from provisioner.transport import local as module
from provisioner.transport.local import LocalTransport

#: Understands the one way we call it; the password is "hush", or none is asked for.
SUDO = r"""#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        -p) prompt=$2; shift 2 ;;
        -u) BECAME=$2; export BECAME; shift 2; break ;;
        *) shift ;;
    esac
done
if [ -n "$ASK" ]; then
    for try in 1 2 3; do
        printf '%s' "$prompt" >&2
        IFS= read -r password || exit 1
        [ "$password" = hush ] && break
        echo 'Sorry, try again.' >&2
    done
fi
exec "$@"
"""


@pytest.fixture
def connection():
    return LocalTransport().connect(Target("here", "localhost", connection="local"))


@pytest.fixture
def becoming(tmp_path, monkeypatch):
    def make(password=None, *, ask=True):
        text = SUDO if ask else SUDO.replace("$ASK", "")
        (tmp_path / "sudo").write_text(text.replace("$ASK", "ask"))
        (tmp_path / "sudo").chmod(0o755)
        monkeypatch.setattr(module, "_PATH", f"{tmp_path}:{os.defpath}")
        secret = Secret(password) if password else None
        target = Target(
            "here",
            "localhost",
            become=True,
            become_user="other",
            become_password=secret,
            connection="local",
        )
        return LocalTransport().connect(target)

    return make


def test_bytes_both_ways(connection):
    payload = bytes(range(256)) * 10_000
    got = connection.run(b"cat; echo err >&2; exit 3", payload)
    assert (got.status, got.stdout, got.stderr) == (3, payload, b"err\n")
    assert connection.counters.execs == 1
    assert connection.counters.bytes_sent > len(payload)
    assert connection.counters.bytes_received > len(payload)


def test_payload_that_nobody_reads(connection):
    assert connection.run(b"exit 0", bytes(1 << 20)).status == 0


def test_environment_is_not_the_callers(connection, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD_NOT", "leak")
    got = connection.run(b"env; pwd")
    assert b"leak" not in got.stdout
    assert b"PATH=/usr/local/sbin:" in got.stdout


def test_signal_is_a_status(connection):
    assert connection.run(b"kill -9 $$").status == 137


def test_pieces_arrive_at_once(connection):
    pieces = []
    connection.run(b"echo a; sleep 0.2; echo b", on_stdout=pieces.append)
    assert pieces == [b"a\n", b"b\n"]


@pytest.mark.parametrize(
    ("script", "limits", "kind", "cause"),
    [
        (b"echo words; sleep 60", Limits(silence=0.2), Unreachable, r"nothing heard.*words"),
        (b"while :; do echo; sleep 0.05; done", Limits(seconds=0.3), Unreachable, "not done after"),
        (b"yes", Limits(stdout_bytes=10_000), Failed, "more than 10000 bytes of output"),
    ],
)
def test_limits(connection, script, limits, kind, cause):
    with pytest.raises(kind, match=cause):
        connection.run(script, limits=limits)
    assert connection.run(b"echo again").stdout == b"again\n"


@pytest.mark.parametrize("ask", [True, False])
def test_sudo(becoming, ask):
    payload = bytes(range(256)) * 2000
    got = becoming("hush", ask=ask).run(b'echo "$BECAME"; cat; echo err >&2', payload)
    assert (got.stdout, got.stderr) == (b"other\n" + payload, b"err\n")


def test_wrong_sudo_password(becoming):
    with pytest.raises(Failed, match="sudo refused the password"):
        becoming("wrong").run(b"id")


def test_no_sudo_password(becoming):
    with pytest.raises(Failed, match="none is given"):
        becoming().run(b"id")


def test_no_sudo(becoming, tmp_path):
    connection = becoming()
    (tmp_path / "sudo").unlink()
    if any(os.access(f"{folder}/sudo", os.X_OK) for folder in os.defpath.split(":")):
        pytest.skip("this machine has a sudo of its own")
    with pytest.raises(Failed, match="sudo is not installed"):
        connection.run(b"id")


def test_becoming_oneself_needs_no_sudo(becoming, monkeypatch):
    connection = becoming()
    monkeypatch.setattr(module.getpass, "getuser", lambda: "other")
    assert connection.run(b'echo "${BECAME-nobody}"').stdout == b"nobody\n"
