"""Who an inventory is: so that a host can tell one controller's from another's."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Longest time one call of git may take, in seconds.
GIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Identity:
    """`id` is the same for every full clone of a repository; `commit` and `dirty` (of the
    whole repository, new files included) are None where there is none, or git is silent.
    A `shallow` clone does not know its first commit: its `id` is another."""

    id: str
    commit: str | None = None
    dirty: bool | None = None
    shallow: bool = False


def identity(paths: Iterable[Path]) -> Identity:
    """The identity of the inventory at `paths` (files and directories).

    In a git repository: its root commits and the paths inside it. Elsewhere: the
    absolute paths. Never raises because of git.
    """
    resolved = [Path(os.path.realpath(path)) for path in paths]
    first = resolved[0] if resolved else Path.cwd()
    folder = first if first.is_dir() else first.parent
    top = _git(folder, "rev-parse", "--show-toplevel")
    commit = _git(folder, "rev-parse", "--verify", "HEAD") if top else None
    roots = _git(folder, "rev-list", "--max-parents=0", "HEAD") if commit else None
    if not (top and commit and roots):
        return Identity(_digest("path", *(str(path) for path in resolved)))
    inside = [os.path.relpath(path, top) for path in resolved]
    status = _git(folder, "status", "--porcelain")
    return Identity(
        _digest("git", *sorted(roots.split()), *inside),
        commit,
        None if status is None else bool(status),
        _git(folder, "rev-parse", "--is-shallow-repository") == "true",
    )


def _digest(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None where it fails, is missing or takes too long."""
    # An inventory may come from anybody: nothing in its repository is to be run.
    guarded = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *guarded, *arguments],
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return done.stdout.decode("utf-8", "surrogateescape").strip()
