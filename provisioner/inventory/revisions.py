"""The files of a git revision, put into a folder: nothing in the working tree is touched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from provisioner.diagnostics import printable
from provisioner.errors import InputError

#: Longest time one call of git may take, in seconds.
SECONDS = 120.0


def top_of(folder: Path) -> Path:
    """The top folder of the repository that `folder` is in. Raises InputError: in none."""
    done = _git(folder, "rev-parse", "--show-toplevel")
    if done.returncode:
        raise InputError(
            f"{folder} is in no git repository", help="revisions are those of a git repository"
        )
    return Path(done.stdout.decode("utf-8", "surrogateescape").rstrip("\n"))


def write_revision(top: Path, revision: str, into: Path) -> bool:
    """Put all files of `revision` below `into`. False: it is HEAD, and there is no commit yet.

    Raises InputError for what is no revision.
    """
    named = _git(
        top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{tree}}"
    )
    if named.returncode:
        if revision == "HEAD" and _git(top, "rev-parse", "--verify", "--quiet", "HEAD").returncode:
            return False
        raise InputError(
            f"git knows no revision {printable(revision)}",
            help="name a commit, branch or tag; `git log --oneline` lists commits",
        )
    tree = named.stdout.decode("ascii").strip()
    index = {"GIT_INDEX_FILE": str(into.parent / f"{into.name}.index")}
    for arguments in (
        ("read-tree", tree),
        ("checkout-index", "--all", "--force", f"--prefix={into}{os.sep}"),
    ):
        done = _git(top, *arguments, environment=index)
        if done.returncode:
            why = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise InputError(f"git cannot read {printable(revision)}: {printable(why)}")
    return True


def _git(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    # A repository may come from anybody: nothing that it configures is to be run.
    guarded = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    # Inside a hook git points these at the commit being made.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
    }
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *guarded, *arguments],
            env={**inherited, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"git cannot be run: {error}", help="install git") from error
