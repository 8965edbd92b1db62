"""Edits that touch nothing but what they must: splices of a text, in byte offsets."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.postfix.logical import (
    BOM,
    SPACE,
    Logical,
    Physical,
    logical_lines,
    physical_lines,
)


@dataclass(frozen=True, order=True, slots=True)
class Splice:
    """Replace bytes `start` to `end` of the original by `replacement`."""

    start: int
    end: int
    replacement: bytes


@dataclass(frozen=True, slots=True)
class Edit:
    """The outcome of an edit: the whole new text, and the splices that make it.

    `splices` are ascending and do not overlap; offsets are bytes of the original text
    encoded as UTF-8 with surrogateescape. None at all means: nothing to do. `notes` say
    what was done beyond what was asked (duplicates or a byte order mark removed).
    """

    text: str
    splices: tuple[Splice, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.splices)


def apply_splices(original: bytes, splices: tuple[Splice, ...]) -> bytes:
    """`original` with `splices` (ascending, not overlapping) applied."""
    pieces: list[bytes] = []
    position = 0
    for splice in splices:
        pieces += (original[position : splice.start], splice.replacement)
        position = splice.end
    pieces.append(original[position:])
    return b"".join(pieces)


class Editor:
    """Collects replacements in a text (character offsets) and turns them into an `Edit`."""

    def __init__(self, text: str) -> None:
        self.text = text
        first = next(physical_lines(text), None)
        #: The line ending of lines we add: that of the file's first line.
        self.eol = "\r\n" if first and first.eol == "\r\n" else "\n"
        self._replacements: list[tuple[int, int, str]] = []
        self._appended: list[str] = []
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        """Say that something was done beyond what was asked."""
        self._notes.append(text)

    def replace(self, start: int, end: int, replacement: str) -> None:
        """Put `replacement` in the place of `text[start:end]`; ranges must not overlap."""
        self._replacements.append((start, end, replacement))

    def append(self, block: str) -> None:
        """Add `block` (lines separated by LF, without a last one) at the end."""
        self._appended.append(block)

    def rewrite(self, entry: Logical, block: str) -> None:
        """Replace a logical line by `block`; comments and blank lines inside it stay, after it."""
        first, *rest = entry.parts
        eol = first.eol or self.eol
        self.replace(first.start, first.end, block.replace("\n", eol) + eol)
        self._drop(rest)

    def remove(self, entry: Logical) -> None:
        """Take a logical line out; comments and blank lines inside it stay."""
        self._drop(list(entry.parts))

    def _drop(self, lines: list[Physical]) -> None:
        for line in lines:
            self.replace(line.start, line.end, "")

    def finish(self) -> Edit:
        """The edit. Whatever is written, the last line of the result ends in a newline."""
        if not self._replacements and not self._appended:
            return Edit(self.text)
        if _hides_a_comment(self.text):
            # Postfix reads the mark as the start of a word, so the comment behind it
            # is none and stops every program.
            self.replace(0, len(BOM), "")
            self.note("the byte order mark at the start of the file was removed")
        self._end_in_newline()
        merged = _merge(sorted(self._replacements))
        pieces: list[str] = []
        position = 0
        for start, end, replacement in merged:
            pieces += (self.text[position:start], replacement)
            position = end
        pieces.append(self.text[position:])
        return Edit("".join(pieces), _in_bytes(self.text, merged), tuple(self._notes))

    def _end_in_newline(self) -> None:
        size = len(self.text)
        tail = "".join(block.replace("\n", self.eol) + self.eol for block in self._appended)
        last_line_stays = not any(end == size for _, end, _ in self._replacements)
        if size and not self.text.endswith("\n") and last_line_stays:
            tail = self.eol + tail
        if tail:
            self._replacements.append((size, size, tail))


def _hides_a_comment(text: str) -> bool:
    """Whether a byte order mark stands before a comment or nothing, and no text continues it."""
    if not text.startswith(BOM):
        return False
    first, *rest = logical_lines(text).logical[0].parts
    behind = first.content.removeprefix(BOM).lstrip(SPACE)
    return not rest and (not behind or behind.startswith("#"))


def _merge(replacements: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Join replacements that touch, so that each splice stands alone."""
    merged: list[tuple[int, int, str]] = []
    for start, end, text in replacements:
        if merged and merged[-1][1] == start:
            before, _, earlier = merged.pop()
            merged.append((before, end, earlier + text))
        else:
            merged.append((start, end, text))
    return merged


def _in_bytes(text: str, replacements: list[tuple[int, int, str]]) -> tuple[Splice, ...]:
    splices: list[Splice] = []
    characters = offset = 0
    for start, end, replacement in replacements:
        begin = offset + len(encode(text[characters:start]))
        offset = begin + len(encode(text[start:end]))
        characters = end
        splices.append(Splice(begin, offset, encode(replacement)))
    return tuple(splices)


def encode(text: str) -> bytes:
    """The bytes that `text` stands for in a file."""
    return text.encode("utf-8", "surrogateescape")


def decode(content: bytes) -> str:
    """The text of a file, every byte of it recoverable with `encode`."""
    return content.decode("utf-8", "surrogateescape")
