"""Fixtures for tests against booted hosts.

One lab serves the whole session; each test gets hosts that are as new. Which Debian
releases: ``--all-releases``, ``--lab-release`` (repeatable), or the environment
variable PROVISIONER_LAB_RELEASES ("all", or names); else bookworm and trixie.

Where a lab is impossible these tests are skipped, saying why; with CI set they fail.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from releases import chosen_releases

from provisioner.lab import HostSpec, cleanup, requirements, state
from provisioner.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provisioner.lab.state import Host

#: Hosts a release: while one is made new again, the next test has another.
HOSTS_A_RELEASE = 2


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-releases", action="store_true", help="lab tests on every release")
    parser.addoption("--lab-release", action="append", metavar="RELEASE", help="lab tests on it")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `release` runs once on each release of the session."""
    if "release" in metafunc.fixturenames:
        metafunc.parametrize("release", chosen_releases(metafunc.config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)


def need_lab() -> None:
    """Skip, or in CI fail, where no lab can run."""
    missing = [each.name for each in requirements.check() if not each.met]
    if not missing:
        return
    reason = f"a lab is impossible here: no {', no '.join(missing)}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def sweep_dead_sessions() -> None:
    """Remove labs of test sessions that were killed: one session at a time."""
    with Path(tempfile.gettempdir(), "provisioner-test-sweep.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in state.names():
            found = re.match(r"test-(\d+)(-|$)", name)
            if found and not Path("/proc", found[1]).exists():
                cleanup.down(name)


@pytest.fixture(scope="session")
def lab_possible() -> None:
    need_lab()


@pytest.fixture(scope="session")
def lab(lab_possible: None, pytestconfig: pytest.Config) -> Iterator[Lab]:
    """The session's lab: some hosts of each release. Take hosts from `fresh_host`."""
    sweep_dead_sessions()
    specs = [
        HostSpec(f"{release}{number}", release)
        for release in chosen_releases(pytestconfig)
        for number in range(1, HOSTS_A_RELEASE + 1)
    ]
    with Lab.up(f"test-{os.getpid()}", specs) as running:
        yield running


class Pool:
    """Hands out hosts that are as new, and makes used ones new in the background."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._workers = ThreadPoolExecutor(1)
        self._ready: dict[str, list[Host]] = {}
        self._renewing: dict[str, list[Future[Host]]] = {}
        self._lock = threading.Lock()
        for host in lab.hosts:
            self._ready.setdefault(host.release, []).append(host)

    def take(self, release: str) -> Host:
        with self._lock:
            if release not in self._ready:
                pytest.skip(f"this session has no {release} hosts (--all-releases has)")
            if self._ready[release]:
                return self._ready[release].pop(0)
            waiting = self._renewing.get(release, [])
            assert waiting, f"a test wants more than {HOSTS_A_RELEASE} {release} hosts at once"
            renewed = waiting.pop(0)
        return renewed.result()

    def give_back(self, host: Host) -> None:
        def renew() -> Host:
            self._lab.reset(host)
            return host

        with self._lock:
            self._renewing.setdefault(host.release, []).append(self._workers.submit(renew))

    def close(self) -> None:
        self._workers.shutdown(wait=True, cancel_futures=True)


@pytest.fixture(scope="session")
def host_pool(lab: Lab) -> Iterator[Pool]:
    pool = Pool(lab)
    yield pool
    pool.close()


@pytest.fixture
def fresh_host(
    lab: Lab, host_pool: Pool, pytestconfig: pytest.Config
) -> Iterator[Callable[..., Host]]:
    """A function that gives this test a host as new: `fresh_host()`, `fresh_host("trixie")`."""
    taken: list[Host] = []
    default = chosen_releases(pytestconfig)[0]

    def take(release: str = default) -> Host:
        taken.append(host_pool.take(release))
        return taken[-1]

    lab.dns.reset()
    yield take
    for host in taken:
        host_pool.give_back(host)


@pytest.fixture
def host(release: str, fresh_host: Callable[..., Host]) -> Host:
    """A host as new; the test runs once on each release of the session."""
    return fresh_host(release)
