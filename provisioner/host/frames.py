"""Taking a framed answer apart. Everything a host sends is treated as hostile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Longest frame line that is believed, in bytes.
MAX_HEAD = 4096
#: Most frames of one answer; a host gives one for each thing it was asked, and a few more.
MAX_FRAMES = 50_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One piece of an answer: the words of its line, and the bytes that follow it."""

    words: tuple[str, ...]
    body: bytes

    @property
    def kind(self) -> str:
        return self.words[0] if self.words else ""

    def text(self) -> str:
        return self.body.decode("utf-8", "surrogateescape")


def split(answer: bytes, nonce: str) -> list[Frame]:
    """The frames of an answer in order; what stands before the first is dropped.

    The nonce is fresh and travels on standard input only, so no file content and no
    stray output can be taken for a frame.
    """
    mark = b"\n@@" + nonce.encode("ascii") + b" "
    pieces = (b"\n" + answer).split(mark, MAX_FRAMES + 1)
    if len(pieces) > MAX_FRAMES + 1:
        return []  # nobody's answer
    frames = []
    for piece in pieces[1:]:
        head, newline, body = piece.partition(b"\n")
        if not newline or len(head) > MAX_HEAD:
            continue
        frames.append(Frame(tuple(head.decode("utf-8", "replace").split()), body))
    return frames


class FrameWatcher:
    """Calls back with each frame line as it arrives, for progress while a program runs."""

    def __init__(self, nonce: str, seen: Callable[[tuple[str, ...]], None]) -> None:
        self._mark = b"@@" + nonce.encode("ascii") + b" "
        self._seen = seen
        self._rest = b""

    def __call__(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[-MAX_HEAD:]
        for line in lines:
            if line.startswith(self._mark):
                self._seen(tuple(line[len(self._mark) :].decode("utf-8", "replace").split()))
