"""The bootstrap, run by real shells, and the conversation before the script."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.errors import Failed
from provisioner.secrets import Secret
from provisioner.transport.base import Target
from provisioner.transport.shell import Bootstrap, Dialogue, Gate, is_user_name, last_words

TARGET = Target("mx1", "mx1", become=True, become_password=Secret("hush"))


def run(bootstrap, stdin, *, shell="sh"):
    return subprocess.run([shell, "-c", bootstrap.command], input=stdin, capture_output=True)


@pytest.mark.parametrize("shell", ["sh", "bash"])
@given(payload=st.binary(max_size=5000))
def test_bootstrap_runs_the_script_and_leaves_the_payload(shell, payload):
    bootstrap = Bootstrap(b"printf '%s\\n' \"$0\" 'it''s'; cat; exit 5")
    got = run(bootstrap, bootstrap.input + payload, shell=shell)
    assert got.returncode == 5
    assert got.stdout == bootstrap.ready + b"/bin/sh\nits\n" + payload
    assert got.stderr == bootstrap.ready


@pytest.mark.parametrize(
    ("script", "status"),
    [(b"", 0), (b"true", 0), (b"false\n", 1), (b"# only a comment", 0), (b"cat <<E\nx\nE", 0)],
)
def test_scripts_of_any_shape(script, status):
    bootstrap = Bootstrap(script)
    assert run(bootstrap, bootstrap.input).returncode == status


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("cut", [0, 1, 5, 30])
def test_script_cut_short_is_not_run(cut, alone):
    bootstrap = Bootstrap(b"echo ran\n" * 10, alone=alone)
    got = run(bootstrap, bootstrap.input[: -1 - cut])
    assert got.stdout == bootstrap.ready + bootstrap.refused
    dialogue = Dialogue(Target("mx1", "mx1"), bootstrap)
    passed = dialogue.stdout(got.stdout)
    with pytest.raises(Failed, match="did not arrive whole"):
        dialogue.end(got.returncode, passed)


def test_script_whose_beginning_was_swallowed_is_not_run():
    bootstrap = Bootstrap(b"echo first\necho second\n")
    got = run(bootstrap, bootstrap.input[11:] + b"payload payload payload")
    assert b"second" not in got.stdout


@pytest.mark.parametrize("alone", [False, True])
def test_scripts_travel_compressed(alone):
    bootstrap = Bootstrap(b"echo much the same again\n" * 1000, alone=alone)
    assert len(bootstrap.input) < 1000
    got = run(bootstrap, bootstrap.input)
    assert got.stdout == bootstrap.ready + b"much the same again\n" * 1000
    assert got.returncode == 0


def test_script_of_some_hundred_kilobytes():
    bootstrap = Bootstrap(b"# filler\n" * 40_000 + b"cat")
    assert run(bootstrap, bootstrap.input + b"x").stdout == bootstrap.ready + b"x"


@pytest.mark.parametrize("name", ["root", "www-data", "a.b", "user@domain", "machine$", "_x"])
def test_user_names(name):
    assert is_user_name(name)
    command = Bootstrap(b":", name).command
    assert shlex.split(command)[shlex.split(command).index("-u") + 1] == name


@pytest.mark.parametrize("name", ["", "a b", "-x", "a;b", "$(x)", "a'b", "a\nb"])
def test_no_user_names(name):
    assert not is_user_name(name)
    with pytest.raises(ValueError, match="not a user name"):
        Bootstrap(b":", name).command  # noqa: B018 - the property raises


@given(
    junk=st.binary(max_size=300),
    rest=st.binary(max_size=300),
    size=st.integers(min_value=1, max_value=50),
)
def test_gate_finds_the_marker_however_it_is_cut(junk, rest, size):
    data = junk + b"READY-1\n" + rest
    gate = Gate(b"READY-1\n")
    passed = b"".join(gate.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert gate.open
    assert passed == data.partition(b"READY-1\n")[2]


def test_gate_keeps_a_bounded_end():
    gate = Gate(b"READY-1\n")
    for _ in range(100):
        gate.feed(b"x" * 10_000)
    assert (len(gate.held), gate.junk) == (4096, 1_000_000)


def sudo(target=TARGET):
    return Dialogue(target, Bootstrap(b"id", "root", nonce="n"))


def test_password_is_sent_only_after_our_prompt():
    talk = sudo()
    talk.stderr(b"[sudo] password for admin: ")
    assert not talk.wants_password
    talk.stderr(b"lecture\n[provisioner n] pass")
    assert not talk.wants_password
    talk.stderr(b"word: ")
    assert talk.wants_password
    assert talk.password() == b"hush\n"
    assert not talk.wants_password
    assert not talk.is_ready
    assert talk.stdout(b"READY-n\nout") == b"out"
    assert talk.stderr(b"\nREADY-n\nerr") == b"err"
    assert talk.is_ready


def test_without_prompt_no_password():
    talk = sudo()
    assert talk.must_wait
    assert talk.stdout(b"motd\nREADY-n\n") == b""
    assert talk.is_ready
    assert not talk.wants_password


def test_prompt_that_the_script_prints_is_no_prompt():
    talk = sudo()
    talk.stdout(b"READY-n\n")
    talk.stderr(b"READY-n\n")
    assert talk.stderr(b"[provisioner n] password: ") == b"[provisioner n] password: "
    assert not talk.wants_password


def test_second_prompt_is_a_wrong_password():
    talk = sudo()
    talk.stderr(b"[provisioner n] password: ")
    talk.password()
    with pytest.raises(Failed, match=r"refused the password.*Sorry, try again"):
        talk.stderr(b"\nSorry, try again.\n[provisioner n] password: ")


def test_prompt_without_password_given():
    talk = sudo(Target("mx1", "mx1", become=True))
    talk.stderr(b"[provisioner n] password: ")
    with pytest.raises(Failed, match="none is given"):
        talk.password()


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("env: 'sudo': No such file or directory", "not installed"),
        ("bash: sudo: command not found", "not installed"),
        ("admin is not in the sudoers file.", "may not run /bin/sh"),
        ("Sorry, user x is not allowed to execute '/bin/sh' as root on h.", "may not run"),
        ("sudo: sorry, you must have a tty to run sudo", "insists on a terminal"),
        ("sudo: unknown user: nobody", "does not know the user"),
        ("sudo: 1 incorrect password attempt", "refused the password"),
        ("something else", "sudo ended with status 1"),
    ],
)
def test_causes_of_sudo(said, cause):
    talk = sudo()
    talk.stderr(said.encode())
    with pytest.raises(Failed, match=cause) as caught:
        talk.end(1, b"")
    assert said.split("'")[0] in caught.value.message


def test_endless_junk_is_refused():
    talk = Dialogue(Target("mx1", "mx1"), Bootstrap(b"id"))
    with pytest.raises(Failed, match="MiB of output before our shell started"):
        any(talk.stdout(b"y\n" * 32768) for _ in range(200))


@given(st.binary(max_size=2000))
def test_last_words_are_one_short_printable_line(data):
    words = last_words(data)
    assert "\n" not in words
    assert all(char.isprintable() for char in words)
    assert len(words) < 4000
