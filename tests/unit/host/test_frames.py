"""Framed answers: whatever a host sends is taken apart without harm."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.host.frames import MAX_HEAD, FrameWatcher, split

NONCE = "0123456789abcdef"
MARK = b"@@" + NONCE.encode() + b" "

_pieces = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"\n", MARK, b"\n" + MARK, b"@@0123 ", b"@@", b"\r\n", b"\x00"]),
    ),
    max_size=12,
).map(b"".join)


def test_frames_have_words_and_a_body() -> None:
    answer = b"noise\n\n@@%s file 0 plain\na\nb\n@@%s end\n" % ((NONCE.encode(),) * 2)
    first, last = split(answer, NONCE)
    assert (first.kind, first.words, first.body) == ("file", ("file", "0", "plain"), b"a\nb")
    assert (last.kind, last.text()) == ("end", "")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no frame at all",
        b"x" + MARK + b"end\n",
        MARK + b"end",
        b"@@fedcba9876543210 end\n",
        MARK + b"x" * (MAX_HEAD + 1) + b"\nbody",
    ],
    ids=["nothing", "noise", "inside a line", "cut short", "another nonce", "endless head"],
)
def test_what_is_no_frame(answer: bytes) -> None:
    assert split(answer, NONCE) == []


@given(_pieces)
def test_hostile_bytes_never_raise(answer: bytes) -> None:
    for frame in split(answer, NONCE):
        assert frame.kind in ("", *frame.words[:1])
        assert isinstance(frame.text(), str)
        assert b"\n" + MARK not in frame.body


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_without_the_nonce_nothing_is_believed(before: bytes, after: bytes) -> None:
    forged = before + b"\n@@" + NONCE[:-1].encode() + b"0 result ok\n" + after
    assert split(forged, NONCE) == []


@given(st.lists(st.tuples(st.sampled_from(["a", "b c", "d 1 2"]), st.binary(max_size=50))))
def test_any_content_without_the_nonce_comes_back_whole(told: list[tuple[str, bytes]]) -> None:
    answer = b"".join(b"\n" + MARK + head.encode() + b"\n" + body for head, body in told)
    assert [(" ".join(f.words), f.body) for f in split(answer, NONCE)] == told


@given(
    st.lists(st.tuples(st.sampled_from(["step lock", "b", "d 1"]), _pieces)),
    st.lists(st.integers(0, 250), max_size=6),
)
def test_a_watcher_hears_the_same_frames_in_any_chunks(
    told: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    answer = b"".join(
        b"\n" + MARK + head.encode() + b"\n" + body.replace(MARK, b"") for head, body in told
    )
    heard: list[tuple[str, ...]] = []
    watcher = FrameWatcher(NONCE, heard.append)
    edges = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    for start, end in pairwise(edges):
        watcher(answer[start:end])
    assert heard == [frame.words for frame in split(answer, NONCE)]


def test_a_watcher_keeps_little_of_an_endless_line() -> None:
    heard: list[tuple[str, ...]] = []
    watcher = FrameWatcher(NONCE, heard.append)
    for _ in range(1000):
        watcher(b"x" * 1000)
    watcher(b"\n" + MARK + b"step one\n")
    assert heard == [("step", "one")]
