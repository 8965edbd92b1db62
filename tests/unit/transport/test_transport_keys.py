"""Key files as ssh-keygen writes them."""

import subprocess

import pytest

from provisioner.secrets import Secret
from provisioner.transport.keys import KeyRing, KeyUnusable


def nobody(question):
    return None


def make(path, kind="ed25519", passphrase="", *form):
    command = ["ssh-keygen", "-q", "-t", kind, *form, "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def ring_of(*paths, prompt=nobody, agent=None):
    return list(KeyRing(prompt).candidates(paths, agent, only_files=False))


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("ed25519", ()),
        ("rsa", ("-b", "2048")),
        ("ecdsa", ("-b", "384")),
        ("rsa", ("-b", "2048", "-m", "PEM")),
        ("ecdsa", ("-m", "PKCS8")),
    ],
)
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_kinds_of_key_files(tmp_path, kind, form, passphrase):
    path = make(tmp_path / "key", kind, passphrase, *form)
    (found,) = ring_of(path, prompt=lambda question: Secret(passphrase))
    public = (tmp_path / "key.pub").read_text().split()[1]
    assert found.load().get_base64() == public
    if found.blob is not None:
        assert found.load().asbytes() == found.blob


def test_public_half_of_a_locked_key_needs_no_passphrase(tmp_path):
    path = make(tmp_path / "key", passphrase="x" * 10)
    (tmp_path / "key.pub").rename(tmp_path / "elsewhere")
    (found,) = ring_of(path)
    opened = ring_of(path, prompt=lambda question: Secret("x" * 10))[0].load()
    assert found.blob == opened.asbytes()


def test_locked_keys_come_last_and_missing_files_not_at_all(tmp_path):
    locked = make(tmp_path / "locked", passphrase="secret")
    plain = make(tmp_path / "plain")
    found = ring_of(locked, tmp_path / "missing", plain)
    assert [each.label for each in found] == [str(plain), str(locked)]


@pytest.mark.parametrize(
    ("answers", "problem", "asked"),
    [
        ([None], "there is no terminal to ask on", 1),
        (["wrong", "wrong", "wrong"], "wrong passphrase", 3),
    ],
)
def test_passphrase_that_is_not_had_is_asked_for_once(tmp_path, answers, problem, asked):
    path = make(tmp_path / "key", passphrase="secret")
    questions = []

    def prompt(question):
        questions.append(question)
        answer = answers[len(questions) - 1]
        return None if answer is None else Secret(answer)

    (found,) = ring_of(path, prompt=prompt)
    for _ in range(2):
        with pytest.raises(KeyUnusable, match=problem):
            found.load()
    assert len(questions) == asked


def test_file_that_is_no_key(tmp_path):
    path = tmp_path / "key"
    path.write_text("-----BEGIN NOTHING-----\n")
    (found,) = ring_of(path)
    with pytest.raises(KeyUnusable, match="not a private key"):
        found.load()


def test_dangling_agent_is_no_agent(tmp_path):
    assert ring_of(agent=str(tmp_path / "gone")) == []
