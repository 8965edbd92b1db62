"""Programs: what is quoted arrives, what is sent is taken, in every shell there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provisioner.host import program as host_program
from provisioner.host.program import SHORT, Program, library, quote

#: Each shell's command; those that are not on this machine are left out.
SHELLS = {
    name: command
    for name, command in {
        "dash": ("dash",),
        "bash": ("bash", "--posix"),
        "busybox": ("busybox", "sh"),
    }.items()
    if shutil.which(command[0])
}

#: A library that gives back what it was given, each argument as a frame.
_ECHO = """
show() {
  for argument; do
    frame argument
    printf '%s' "$argument"
  done
}
receive_all() {
  frame received
  take "$1" "$2"
}
"""

_text = st.text(
    st.characters(codec="utf-8", exclude_characters="\0")
    | st.sampled_from("'\"\\$`\n\t -*~!;&|<>"),
    max_size=30,
)


@cache
def _libraries() -> str:
    return library("frames.sh") + _ECHO


def run(shell: str, program: Program) -> bytes:
    """The answer of a program of `_ECHO` calls; script and payload apart, as they travel."""
    script = _libraries().encode() + b"\n" + b"\n".join(
        line.encode("utf-8", "surrogateescape") for line in program._lines
    )  # fmt: skip
    done = subprocess.run(
        [*SHELLS[shell], "-c", script], input=program.payload(), capture_output=True, check=True
    )
    assert done.stderr == b""
    return done.stdout


def arguments(shell: str, words: list[str]) -> list[bytes]:
    from provisioner.host.frames import split

    program = Program()
    program.call("show", *words)
    return [frame.body for frame in split(run(shell, program), program.nonce)]


def test_a_shell_is_there() -> None:
    assert "dash" in SHELLS or "bash" in SHELLS


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=25)
@given(words=st.lists(_text, max_size=6))
@example(
    words=["", "-n", "--", "-e a", "'", "''", '"', "a'b", "$HOME", "`id`", "$(id)", "\\", "\\n"]
)
@example(words=["\n", "a\nb\n", "\ttab", "*", "~root", "!x", "🙂", "\u2028", "\x85", "\x1b[31m"])
def test_arguments_arrive_unchanged(shell: str, words: list[str]) -> None:
    assert arguments(shell, words) == [word.encode("utf-8") for word in words]


@pytest.mark.parametrize("shell", SHELLS)
def test_bytes_that_are_no_text_arrive_too(shell: str) -> None:
    raw = bytes(range(1, 256))
    assert arguments(shell, [raw.decode("utf-8", "surrogateescape")]) == [raw]


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=15)
@given(pieces=st.lists(st.binary(max_size=40), max_size=4))
@example(pieces=[b"", b"\n", b"", b"exit 1\n", b"\0\xff", b"x" * (SHORT + 1), b"end"])
def test_pieces_of_the_payload_are_told_apart(shell: str, pieces: list[bytes]) -> None:
    from provisioner.host.frames import split

    program = Program()
    for piece in pieces:
        program.send("receive_all", piece)
    frames = split(run(shell, program), program.nonce)
    assert [frame.body for frame in frames] == pieces


def test_large_pieces_travel_compressed() -> None:
    program = Program()
    program.send("receive", b"a" * 100_000, "x")
    assert len(program.payload()) < 1000
    assert f"receive gzip {len(program.payload())} x" in program.script().decode()


def test_short_text_travels_in_the_script() -> None:
    program = Program()
    program.send("receive", b"it's\n\xff", "x")
    assert program.payload() == b""
    assert b"""receive text 'it'"'"'s\n\xff' x""" in program.script()


def test_nul_cannot_be_passed() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")


def test_each_program_has_a_nonce_of_its_own() -> None:
    assert Program().nonce != Program().nonce
    assert len(Program().nonce) == 32


@pytest.mark.parametrize("name", ["frames.sh", "probe.sh", "apply.sh", "undo.sh", "health.sh"])
@pytest.mark.parametrize("shell", SHELLS)
def test_libraries_are_sound_in_every_shell(shell: str, name: str) -> None:
    """Without comments and indentation, as they travel, they still parse."""
    text = library(name)
    assert not any(line.startswith(("#", " ")) for line in text.splitlines())
    done = subprocess.run(
        [*SHELLS[shell], "-n"], input=text.encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_no_two_libraries_define_one_function() -> None:
    """They travel together, and the later one would be called by the earlier one's callers."""
    files = [each.name for each in Path(host_program.__file__).parent.glob("*.sh")]
    defined = [
        found
        for name in files
        for found in re.findall(r"^(\w+)\(\) \{$", library(name), re.MULTILINE)
    ]
    assert [each for each, count in Counter(defined).items() if count > 1] == []
