"""The words of INI host lines: what a shell would see, however they are found."""

from __future__ import annotations

import ast
import shlex
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.errors import InputError
from provisioner.inventory.iniwords import typed, words
from provisioner.marks import Mark

HERE = Mark("hosts", 1, 1)
_PIECES = st.sampled_from(["a", "b", "x=", " ", "\t", "'", '"', "#", "\\", "é", "$", "="])
_LITERALS = st.sampled_from(
    ["True", "False", "None", "set", "b", "rb", "u", "foo", "0", "12", "1.5", "'x'", '"y"']
) | st.sampled_from("é()[]{},:+-*.#=~_j ")


@given(st.lists(_PIECES, max_size=12).map("".join).map(str.strip))
def test_words_are_those_of_a_shell(line: str) -> None:
    if not line or line[0] == "#":
        return
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split = True
    try:
        expected = list(lexer)
    except ValueError:
        with pytest.raises(InputError, match="cannot be split into words"):
            words(line, HERE)
        return
    found = words(line, HERE)
    assert [word for word, _ in found] == expected
    assert all(column == 1 or line[column - 2] in " \t\"'" for _, column in found)


@given(st.lists(_LITERALS, max_size=6).map("".join))
def test_a_text_is_a_literal_where_python_says_so(text: str) -> None:
    expected: Any
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        expected = text
    except (TypeError, MemoryError, RecursionError):
        return
    found = typed(text, HERE)
    if isinstance(expected, (str, int, float, bool)) or expected is None:
        assert (found, type(found)) == (expected, type(expected))
    elif isinstance(expected, (list, dict)):
        assert found == expected
