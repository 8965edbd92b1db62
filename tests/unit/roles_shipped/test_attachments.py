"""Which attachments are found by their names: the patterns alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from provisioner.postfix import attachments

CASES = yaml.safe_load(
    (Path(__file__).parents[2] / "cases/roles/attachments.yaml").read_text("utf-8")
)
ENDINGS = ["bat", "com", "exe", "dll"]


def found(header: str) -> bool:
    """As regexp_table(5) matches: ignoring case, `.` meets line ends, `$` the end alone."""
    return any(
        re.search(pattern.replace("[:space:]", r"\s").replace("$)", r"\Z)"), header, re.I | re.S)
        for pattern in attachments.patterns(ENDINGS)
    )


@pytest.mark.parametrize("header", CASES["refused"])
def test_refused(header: str) -> None:
    assert found(header)


@pytest.mark.parametrize("header", CASES["passes"])
def test_passes(header: str) -> None:
    assert not found(header)


@pytest.mark.parametrize("ending", ["", ".", "a b", "tar.gz", "e/x", "(", "x" * 17])
def test_no_ending(ending: str) -> None:
    with pytest.raises(ValueError, match="is not the ending of a file name"):
        attachments.patterns([ending])


def test_the_dot_is_taken_with_or_without() -> None:
    assert attachments.patterns([".EXE"]) == attachments.patterns(["exe"])
