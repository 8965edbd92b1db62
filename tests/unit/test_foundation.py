"""Marks, diagnostics, errors, secrets: what everything else stands on."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.diagnostics import (
    SNIPPET_WIDTH,
    Diagnostic,
    Severity,
    nearest,
    printable,
    read_source_line,
    render,
)
from provisioner.errors import (
    Conflict,
    ExitCode,
    Failed,
    HostError,
    InputError,
    ProvisionerError,
    worst,
)
from provisioner.marks import Map, Mark, Seq, find_mark
from provisioner.secrets import MASK, Secret

# ---- marks -----------------------------------------------------------------------------

DATA = Map(
    {"a": Map({"b": Seq([1, 2], mark=Mark("f", 3, 5), marks=[Mark("f", 3, 6), Mark("f", 3, 9)])},
              marks={"b": Mark("f", 3, 5)}, key_marks={"b": Mark("f", 3, 3)})},
    mark=Mark("f", 1, 1), marks={"a": Mark("f", 2, 3)}, key_marks={"a": Mark("f", 2, 1)},
)  # fmt: skip

FINDS = [
    ((), False, "f:1:1"),
    (("a",), False, "f:2:3"),
    (("a",), True, "f:2:1"),
    (("a", "b"), True, "f:3:3"),
    (("a", "b", 1), False, "f:3:9"),
    (("a", "b", -1), False, "f:3:9"),
    (("a", "b", 7), False, "f:3:5"),
    (("a", "b", "x"), False, "f:3:5"),
    (("a", "x", "y"), False, "f:2:3"),
    (("x",), False, "f:1:1"),
    (("a", "b", 0, "deeper"), False, "f:3:6"),
]


@pytest.mark.parametrize(("path", "key", "expected"), FINDS)
def test_a_mark_is_found_or_that_of_the_nearest_ancestor(
    path: tuple[object, ...], key: bool, expected: str
) -> None:
    assert str(find_mark(DATA, path, key=key)) == expected


def test_without_marks_there_is_none() -> None:
    assert find_mark({"a": 1}, ("a",)) is None
    assert find_mark(None, ("a",)) is None


def test_marked_containers_are_ordinary_ones() -> None:
    assert Map({"a": 1}) == {"a": 1}
    assert Seq([1]) == [1]
    assert copy.deepcopy(DATA) == DATA


@pytest.mark.parametrize(
    ("mark", "text"),
    [(Mark("f"), "f"), (Mark("f", 3), "f:3"), (Mark("f", 3, 4), "f:3:4"), (Mark("f", 0, 4), "f")],
)
def test_marks_read_as_compilers_print_them(mark: Mark, text: str) -> None:
    assert str(mark) == text


# ---- diagnostics -----------------------------------------------------------------------


def test_a_message_shows_its_line_with_a_caret(tmp_path: Path) -> None:
    file = tmp_path / "f.yml"
    file.write_text("one\n  two: three\n")
    found = Diagnostic("no such thing", Mark(str(file), 2, 3), "did you mean tow?")
    assert render(found) == (
        f"{file}:2:3: error: no such thing\n"
        "    2 |   two: three\n"
        "      |   ^\n"
        "  help: did you mean tow?"
    )


@pytest.mark.parametrize(
    ("mark", "lines"),
    [
        (None, ["warning: x"]),
        (Mark("/no/such/file", 3, 1), ["/no/such/file:3:1: warning: x"]),
        (Mark("f", 1), ["f:1: warning: x", "    1 | a\\x1bb"]),
        (Mark("f", 1, 3), ["f:1:3: warning: x", "    1 | a\\x1bb", "      |      ^"]),
        (Mark("f", 1, 99), ["f:1:99: warning: x", "    1 | a\\x1bb"]),
    ],
)
def test_messages_without_a_place_or_line(mark: Mark | None, lines: list[str]) -> None:
    def source(asked: Mark) -> str | None:
        return read_source_line(asked) if asked.file != "f" else "a\x1bb"

    found = Diagnostic("x", mark, severity=Severity.WARNING)
    assert render(found, source).split("\n") == lines


def test_a_tab_does_not_move_the_caret() -> None:
    text = render(Diagnostic("x", Mark("f", 1, 3)), lambda _mark: "\t\tname: x")
    assert text.split("\n")[1:] == ["    1 |   name: x", "      |   ^"]


def test_an_endless_line_is_cut() -> None:
    text = render(Diagnostic("x", Mark("f", 1, 5000)), lambda _mark: "y" * 10_000)
    assert len(max(text.split("\n"), key=len)) <= SNIPPET_WIDTH + 20


@given(st.text())
def test_what_is_printable_is_one_harmless_line(text: str) -> None:
    shown = printable(text)
    assert all(char.isprintable() or char == "\t" for char in shown)
    assert printable(shown) == shown
    if text.isprintable():
        assert shown == text


@given(st.text(max_size=50), st.integers(0, 60), st.text(max_size=20))
def test_rendering_never_raises(line: str, column: int, message: str) -> None:
    text = render(Diagnostic(message, Mark("f", 1, column)), lambda _mark: line)
    assert text.startswith("f:1")
    assert "\x1b" not in text


def test_the_nearest_name_is_near() -> None:
    known = ["parameters", "packages", "absent"]
    assert nearest("paramters", known) == "parameters"
    assert nearest("zebra", known) is None
    assert nearest("x", []) is None


# ---- errors ----------------------------------------------------------------------------


def test_one_error_of_many_findings() -> None:
    found = [
        Diagnostic("w", severity=Severity.WARNING),
        Diagnostic("first", Mark("f", 1), "do this"),
        Diagnostic("second"),
    ]
    error = InputError.of(found)
    assert (str(error), error.help, error.mark) == ("first", "do this", Mark("f", 1))
    assert [each.message for each in error.diagnostics()] == ["first", "second"]
    assert error.exit_code == 3


def test_a_hosts_error_names_it_and_its_step_harmlessly() -> None:
    error = Failed("mx1", "apply", "it said \x1b[2J", help="look")
    assert str(error) == "mx1: apply: it said \\x1b[2J"
    assert error.diagnostics() == [Diagnostic(str(error), help="look")]


def test_every_error_is_ours_and_has_a_documented_code() -> None:
    def below(kind: type[ProvisionerError]) -> set[type[ProvisionerError]]:
        return {kind} | {each for sub in kind.__subclasses__() for each in below(sub)}

    for kind in below(ProvisionerError):
        assert kind.exit_code in set(ExitCode)
    assert issubclass(Conflict, HostError)
    assert Conflict.exit_code == 8


@given(st.lists(st.sampled_from(list(ExitCode))))
def test_the_worst_of_several_codes(codes: list[ExitCode]) -> None:
    order = [130, 1, 3, 8, 4, 6, 7, 5, 2, 0]
    assert worst(codes) == next((code for code in order if code in codes), 0)


# ---- secrets ---------------------------------------------------------------------------


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {secret:>10} {[secret]} %s" % secret
    assert "hunter2" not in shown
    assert MASK in shown
    assert b"hunter2" not in pickle.dumps(secret)
    assert "hunter2" not in repr(copy.deepcopy(secret))
    assert secret.reveal() == "hunter2"
    assert not hasattr(secret, "__dict__")


def test_secrets_compare_by_what_they_hide() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
