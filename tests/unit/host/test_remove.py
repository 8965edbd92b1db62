"""The host program's `remove`, run by the machine's own sh."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from provisioner.host.program import library, quote

if TYPE_CHECKING:
    from pathlib import Path


def remove(path: Path, state: Path) -> str:
    lines = [library("frames.sh"), library("apply.sh"), "N=x", f"STATE={quote(str(state))}"]
    script = "\n".join([*lines, f"remove {quote(str(path))} -", "echo went on", ""])
    return subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True).stdout


def test_an_empty_directory_goes(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    assert remove(folder, tmp_path / "state") == "went on\n"
    assert not folder.exists()


def test_a_directory_that_somebody_else_uses_stays(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    (folder / "theirs").write_text("kept\n")
    assert remove(folder, tmp_path / "state") == "went on\n"
    assert (folder / "theirs").read_text() == "kept\n"


def test_a_link_to_a_directory_is_removed_and_not_what_it_names(tmp_path: Path) -> None:
    folder, link = tmp_path / "maps", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    assert remove(link, tmp_path / "state") == "went on\n"
    assert folder.is_dir()
    assert not link.is_symlink()
