"""Root file systems of lab hosts: built once by mmdebstrap(1), then cached.

A root is built aside and renamed when complete, so what stands in the cache under
its final name is whole. Two builders of one release wait for each other.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provisioner.lab import apt, state
from provisioner.lab.recipe import DOMAIN, PLACEHOLDER, RELEASES, VARIANTS, Recipe, init_of
from provisioner.lab.system import LabError, progress, run, tail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Longest build, in seconds: a slow mirror is slow, a hung one ends here.
BUILD_SECONDS = 1800.0


def roots_directory() -> Path:
    """The directory that holds one directory a root."""
    return state.cache_directory() / "roots"


def cached(release: str, variant: str = "systemd") -> Path | None:
    """The root of `release` if it is in the cache and of the present recipe."""
    root = roots_directory() / Recipe(release, variant).key
    return root if root.is_dir() else None


def ensure(release: str, mirror: str | None = None, variant: str = "systemd") -> Path:
    """The root of `release`, built if need be (about a minute; needs root and an archive).

    Raises `InputError` where no Debian archive is known, `LabError` where the build fails.
    """
    recipe = Recipe(release, variant)
    root = roots_directory() / recipe.key
    if root.is_dir():
        return root
    roots_directory().mkdir(parents=True, exist_ok=True)
    with _lock(roots_directory() / f".{release}-{variant}.lock"):
        if not root.is_dir():  # the other builder may have finished it
            _build(recipe, root, mirror)
    return root


def prune() -> list[Path]:
    """Remove roots that no present recipe makes and no running lab uses; returns them."""
    wanted = {Recipe(release, variant).key for release in RELEASES for variant in VARIANTS}
    used = {host.root for name in state.names() for host in state.load(name).hosts}
    removed = []
    for release in RELEASES:
        for variant in VARIANTS:
            prefix = Recipe(release, variant).key.rpartition("-")[0]
            with _lock(roots_directory() / f".{release}-{variant}.lock"):
                for path in sorted(roots_directory().glob(f"{prefix}-????????????")):
                    if path.name not in wanted and str(path) not in used:
                        shutil.rmtree(path)
                        removed.append(path)
    return removed


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another process builds this root; waiting ({path})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def serves(uri: str, suite: str) -> bool:
    """Whether the archive at `uri` has `suite`. False for what urllib cannot ask."""
    if not uri.startswith(("http://", "https://")):
        return False
    request = urllib.request.Request(f"{uri}/dists/{suite}/InRelease", method="HEAD")  # noqa: S310 - http(s) only, see above
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _proxy_options() -> list[str]:
    """apt's proxies on this machine, for the apt that fills the root."""
    options = []
    for line in run(["apt-config", "dump"], check=False).stdout.splitlines():
        name, _, value = line.partition(" ")
        if name.lower() in ("acquire::http::proxy", "acquire::https::proxy") and value != '"";':
            options.append(f"--aptopt={name} {value}")
    return options


def _build(recipe: Recipe, root: Path, mirror: str | None) -> None:
    started = time.monotonic()
    aside = root.with_name(f".building-{recipe.key}")
    log = roots_directory() / f"{recipe.key}.log"
    if aside.exists():
        shutil.rmtree(aside)  # a build that was killed; we hold the lock
    archive = apt.find_archive(apt.read_sources(), mirror)
    lines = apt.entries(archive, recipe.release, serves)
    progress(f"building {recipe.release} ({recipe.variant}) from {archive.main}; log: {log}")
    try:
        _bootstrap(recipe, lines, aside, log)
    except LabError as error:
        if len(lines) == 1:
            raise
        # Security archives of old releases lose packages that their index still names.
        progress(f"{error.message.splitlines()[0]}; trying again without updates")
        _bootstrap(recipe, lines[:1], aside, log)
    aside.rename(root)
    log.unlink()
    progress(f"built {recipe.release} in {time.monotonic() - started:.0f} s: {root}")


def _bootstrap(recipe: Recipe, lines: list[str], aside: Path, log: Path) -> None:
    argv = [
        # A host name of its own, so that what packages derive from it names no machine.
        *("unshare", "--mount", "--uts", "--fork", "--kill-child"),
        *("sh", "-c", 'hostname "$0"; exec "$@"', PLACEHOLDER),
        *("mmdebstrap", "--mode=root", "--variant=minbase"),
        "--aptopt=Acquire::Check-Valid-Until false",
        *_proxy_options(),
        f"--include={','.join(recipe.packages)}",
        "--essential-hook="
        f'printf %s {shlex.quote(recipe.answers)} | chroot "$1" debconf-set-selections',
        f'--essential-hook=echo "127.0.1.1 {PLACEHOLDER}.{DOMAIN} {PLACEHOLDER}" > "$1/etc/hosts"',
        f"--customize-hook={recipe.script}",
        *(recipe.release, str(aside), *lines),
    ]
    environment = {
        **os.environ,
        "LAB_RELEASE": recipe.release,
        "LAB_VARIANT": init_of(recipe.variant),
        "LAB_SPARE": " ".join(recipe.spare_packages),
        "LAB_ACCOUNTS": recipe.accounts,
        "LC_ALL": "C.UTF-8",
    }
    _run_logged(argv, environment, log, aside)


def _run_logged(argv: list[str], environment: dict[str, str], log: Path, aside: Path) -> None:
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
        try:
            status = process.wait(BUILD_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            shutil.rmtree(aside, ignore_errors=True)
            raise
    if status != 0:
        shutil.rmtree(aside, ignore_errors=True)
        said = log.read_text(errors="replace")
        errors = "\n".join(line[:300] for line in said.splitlines() if line.startswith("E: "))
        raise LabError(
            f"building the root failed (mmdebstrap status {status})\n{errors or tail(said)}",
            help=f"the whole log is {log}; another archive can be named by --mirror URL",
        )
