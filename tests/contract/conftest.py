"""The real Postfix of each Debian release, out of the lab's root file systems."""

from __future__ import annotations

import os
import shutil

import pytest
from real_postfix import Postfix

from provisioner.lab import roots
from provisioner.lab.recipe import RELEASES

#: Stands for this machine's own Postfix among the releases.
_LIVE = ""

_known: dict[str, Postfix] = {}


def _postfix(release: str) -> Postfix | None:
    if release not in _known:
        root = roots.cached(release) if release != _LIVE and os.geteuid() == 0 else None
        if root is not None or (release == _LIVE and shutil.which("postconf")):
            _known[release] = Postfix(root)
    return _known.get(release)


@pytest.fixture(scope="session", params=RELEASES)
def postfix(request: pytest.FixtureRequest) -> Postfix:
    """The Postfix of each release whose root is cached; of this machine where none is."""
    found = _postfix(request.param)
    if found is None and request.param == RELEASES[0]:
        found = _postfix(_LIVE)
    if found is None:
        reason = (
            f"no root file system of {request.param} (run `provisioner lab up --release "
            f"{request.param}` as root once)"
        )
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; in CI these tests must run")
        pytest.skip(reason)
    return found
