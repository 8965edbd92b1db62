"""Recorded host keys."""

import base64
import hashlib
import hmac
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.transport.knownhosts import (
    HostKey,
    KnownHosts,
    Verdict,
    forget_keys,
    host_name_in_records,
    read_records,
    record_key,
)

KEY = HostKey("ssh-ed25519", b"one")
OTHER = HostKey("ssh-ed25519", b"two")
RSA = HostKey("ssh-rsa", b"three")


def line(names, key=KEY, marker=""):
    return f"{marker} {names} {key.type} {key.base64} comment".strip() + "\n"


def hashed(name):
    salt = b"s" * 20
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("text", "name", "verdict"),
    [
        ("", "mx1", Verdict.UNKNOWN),
        (line("mx1"), "mx1", Verdict.KNOWN),
        (line("MX1"), "mx1", Verdict.KNOWN),
        (line("a,mx1,b"), "mx1", Verdict.KNOWN),
        (line("mx1", OTHER), "mx1", Verdict.CHANGED),
        (line("mx1", RSA), "mx1", Verdict.CHANGED),
        (line("mx1", OTHER) + line("mx1"), "mx1", Verdict.KNOWN),
        (line("mx2"), "mx1", Verdict.UNKNOWN),
        (line("*.example.com"), "mx1.example.com", Verdict.KNOWN),
        (line("*.example.com,!mx1.example.com"), "mx1.example.com", Verdict.UNKNOWN),
        (line("mx?"), "mx1", Verdict.KNOWN),
        (line("[mx1]:2222"), "[mx1]:2222", Verdict.KNOWN),
        (line("[mx1]:2222"), "mx1", Verdict.UNKNOWN),
        (line("[mx*]:2222"), "[mx1]:2222", Verdict.KNOWN),
        (line("m[x]1"), "mx1", Verdict.UNKNOWN),
        (line("mx1"), "[mx1]:2222", Verdict.KNOWN),
        (line("mx1", OTHER), "[mx1]:2222", Verdict.UNKNOWN),
        (line(hashed("mx1")), "mx1", Verdict.KNOWN),
        (line(hashed("[mx1]:22222"), OTHER), "[mx1]:22222", Verdict.CHANGED),
        (line("|1|broken"), "mx1", Verdict.UNKNOWN),
        (line("mx1") + line("*", marker="@revoked"), "mx1", Verdict.REVOKED),
        (line("*", OTHER, "@revoked") + line("mx1"), "mx1", Verdict.KNOWN),
        (line("mx1", marker="@revoked"), "[mx1]:2222", Verdict.REVOKED),
        (line("mx1", marker="@cert-authority"), "mx1", Verdict.AUTHORITY),
        ("# mx1\n\nmx1 ssh-ed25519\nmx1 ssh-ed25519 *** \n", "mx1", Verdict.UNKNOWN),
    ],
)
def test_verdicts(tmp_path, text, name, verdict):
    path = tmp_path / "known_hosts"
    path.write_text(text)
    assert KnownHosts([path]).judge(name, KEY).verdict is verdict


def test_records_say_where_they_stand(tmp_path):
    path = tmp_path / "known_hosts"
    path.write_text("\n# x\n" + line("mx1", OTHER))
    finding = KnownHosts([tmp_path / "none", path]).judge("mx1", KEY)
    assert [str(each.mark) for each in finding.records] == [f"{path}:3"]


def test_key_types_in_the_order_recorded(tmp_path):
    path = tmp_path / "known_hosts"
    path.write_text(line("mx1", RSA) + line("mx1") + line("mx1", OTHER, "@revoked"))
    assert KnownHosts([path]).key_types("mx1") == ["ssh-rsa", "ssh-ed25519"]


@pytest.mark.parametrize(("port", "name"), [(22, "mx1"), (2222, "[mx1]:2222")])
def test_name_in_records(port, name):
    assert host_name_in_records("MX1", port) == name


def test_fingerprint_and_hashes_are_those_of_ssh_keygen(tmp_path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True
    )
    kind, blob = (tmp_path / "key.pub").read_text().split()[:2]
    key = HostKey(kind, base64.b64decode(blob))
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(tmp_path / "key.pub")], check=True, capture_output=True, text=True
    ).stdout
    assert shown.split()[1] == key.fingerprint
    path = tmp_path / "known_hosts"
    record_key(path, "mx1", key)
    record_key(path, "[mx1]:2222", key)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    assert "mx1" not in path.read_text()
    known = KnownHosts([path])
    assert known.judge("mx1", key).verdict is Verdict.KNOWN
    assert known.judge("[mx1]:2222", key).verdict is Verdict.KNOWN
    assert known.judge("mx2", key).verdict is Verdict.UNKNOWN


def test_recording_keeps_what_there_is(tmp_path):
    path = tmp_path / "ssh" / "known_hosts"
    record_key(path, "a", KEY)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)
    path.write_text("# no newline")
    record_key(path, "b", RSA)
    assert path.read_text() == f"# no newline\nb ssh-rsa {RSA.base64}\n"
    assert path.stat().st_mode & 0o777 == 0o644


def test_forgetting_takes_one_name_and_leaves_the_rest(tmp_path):
    path = tmp_path / "known_hosts"
    kept = "# comment\n" + line("*.example.com") + line("mx1", KEY, "@revoked") + "garbage"
    path.write_text(line("mx1") + line("a,MX1,b", RSA) + line(hashed("mx1")) + kept)
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    forget_keys(link, "mx1")
    assert path.read_text() == line("a,b", RSA) + kept
    assert path.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()


@given(st.binary())
def test_any_bytes_are_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("known") / "known_hosts"
    path.write_bytes(data)
    for record in read_records(path):
        record.matches("mx1")
    assert KnownHosts([path]).judge("mx1", KEY).verdict is not None


def test_hash_format_is_sha1_hmac():
    assert (
        hashed("x").split("|")[3]
        == base64.b64encode(hmac.new(b"s" * 20, b"x", hashlib.sha1).digest()).decode()
    )
