"""The words of a host line in an INI inventory, and the values that texts stand for."""

from __future__ import annotations

import ast
import io
import re
import shlex
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from provisioner.errors import InputError
from provisioner.inventory.values import MAX_NUMBER_BITS, UnsafeText
from provisioner.marks import Map, Mark, Seq

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLANKS = " \t\r\n"
_PLAIN_WORD = re.compile(r"[^ \t\r\n]+")
#: A word as most are: plain, or `key=` and one quoted text.
_EASY_WORD = re.compile(
    r"""[ \t\r\n]*(?=[^ \t\r\n#])([^ \t\r\n"'#]*)(?:"([^"]*)"|'([^']*)')?(?=[ \t\r\n]|$)"""
)
#: Before the first of these in a line, words are what stands between blanks.
_NEEDS_CARE = re.compile(r"""["'\\#]""")
#: Texts that Python reads as no literal: what begins with a name (but none that a literal can
#: begin with, as `b"` and `set()` do), and addresses.
_NO_LITERAL = re.compile(
    r"(?!(?:True|False|None|set)\b)[A-Za-z_][A-Za-z0-9_]*\b(?:[ !#-&(-~].*)?"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){2,3}"
)
_SMALL_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
#: How many texts' literals are remembered: values repeat from host to host.
_REMEMBERED = 4096


def words(line: str, mark: Mark) -> list[tuple[str, int]]:
    """The words of `line`, each with its column, quotes and comments as in a shell.

    `line` begins at `mark`, with a word. Raises InputError: a quote is not closed.
    """
    column = mark.column
    care = _NEEDS_CARE.search(line)
    end = len(line) if care is None else line.rfind(" ", 0, care.start()) + 1
    plain = _plain_words(line[:end], column)
    if care is None:
        return plain
    easy = _easy_words(line, end, column)
    return list(_shell_words(line, mark)) if easy is None else plain + easy


def _plain_words(text: str, column: int) -> list[tuple[str, int]]:
    """As `words`, of a text without quotes, backslashes and comments."""
    if not text.isprintable():  # there are other blanks than spaces
        return [(found[0], column + found.start()) for found in _PLAIN_WORD.finditer(text)]
    found: list[tuple[str, int]] = []
    for word in text.split(" "):
        if word:
            found.append((word, column))
        column += len(word) + 1
    return found


def _easy_words(line: str, end: int, column: int) -> list[tuple[str, int]] | None:
    """As `words` from the index `end` on, or None where that takes shlex, which is slow."""
    if "\\" in line:
        return None
    found: list[tuple[str, int]] = []
    for word in _EASY_WORD.finditer(line, end):
        if word.start() != end:
            break  # what stands between is no easy word
        plain, double, single = word.groups("")
        found.append((plain + double + single, column + word.start(1)))
        end = word.end()
    rest = line[end:].lstrip(_BLANKS)
    return found if not rest or rest[0] == "#" else None


def _shell_words(line: str, mark: Mark) -> Iterator[tuple[str, int]]:
    source = io.StringIO(line)
    lexer = shlex.shlex(source, posix=True)
    lexer.whitespace_split = True
    while True:
        start = source.tell()
        start += len(line[start:]) - len(line[start:].lstrip(_BLANKS))
        try:
            word = lexer.get_token()
        except ValueError as error:
            raise InputError(
                f"the line cannot be split into words: {str(error).lower()}",
                mark=Mark(mark.file, mark.line, mark.column + start),
                help='write \\\\ for a backslash, or "..." around the value'
                if "escaped" in str(error)
                else 'close the quote, or write "..." around a value with a quote in it',
            ) from None
        if word is None:
            return
        yield word, mark.column + start


def typed(text: str, mark: Mark) -> Any:
    """The value that `text` stands for: a Python literal if it is one, itself otherwise."""
    # Asking Python's parser is what costs most in a large inventory; these need no asking.
    if _NO_LITERAL.fullmatch(text):
        return text
    if _SMALL_NUMBER.fullmatch(text):
        return int(text)
    try:
        return _plain(_literal(text), mark)
    except (TypeError, MemoryError, RecursionError) as error:
        raise InputError(
            f"the value cannot be read: {str(error) or type(error).__name__}",
            mark=mark,
            help="quote the value",
        ) from None


@lru_cache(_REMEMBERED)
def _literal(text: str) -> Any:
    """The Python literal `text`, shared: to be copied before use; or `text`, if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _plain(value: Any, mark: Mark) -> Any:
    """A literal's value in the types that variables have."""
    if isinstance(value, (list, tuple)):
        return Seq([_plain(item, mark) for item in value], mark=mark, marks=[mark] * len(value))
    if isinstance(value, set):
        return _plain(sorted(value, key=repr), mark)
    if isinstance(value, dict):
        places = dict.fromkeys(value, mark)
        items = {key: _plain(item, mark) for key, item in value.items()}
        return Map(items, mark=mark, marks=places, key_marks=places)
    if isinstance(value, bytes):
        return UnsafeText(value.decode("utf-8", "replace"))  # Ansible's reading of b'...'
    if isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
        raise InputError("the number is too large", mark=mark, help="quote the value")
    if value is ...:
        return "..."
    return str(value) if isinstance(value, complex) else value
