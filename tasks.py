"""What is done to this project, as invoke tasks: `inv -l` lists them."""

from __future__ import annotations

import shlex
import sys

from invoke.context import Context
from invoke.tasks import task

PYTHON = shlex.quote(sys.executable)


@task
def lint(c: Context) -> None:
    """Style and likely mistakes (ruff)."""
    c.run(f"{PYTHON} -m ruff check .", pty=False)
    c.run(f"{PYTHON} -m ruff format --check .", pty=False)


@task
def types(c: Context) -> None:
    """Types, strictly (mypy)."""
    c.run(f"{PYTHON} -m mypy", pty=False)


@task(
    help={
        "all": "every release and the heavy tests (the full matrix)",
        "only": "pytest's own selection, as in --only 'tests/unit -k main_cf'",
        "again": "run tests that fail a second time, and go by that; both are shown",
    }
)
def test(
    c: Context,
    all: bool = False,  # noqa: A002 - the flag's name
    only: str = "",
    again: bool = False,
) -> None:
    """Unit, case, contract and lab tests; --all for the full release matrix."""
    pytest = f"{PYTHON} -m pytest" + ("" if all else " -m 'not matrix'")
    releases = {"PROVISIONER_LAB_RELEASES": "all"} if all else {}
    # What needs no booted host uses every core. Tests on hosts wait more than they work: two
    # labs side by side.
    hosts = "-n 2 --dist loadfile tests/lab"
    for part in [only] if only else ["-n auto tests/unit tests/contract", hosts]:
        run = f"{pytest} -q {part}"
        done = c.run(run, pty=sys.stdout.isatty(), env=releases, warn=again)
        if again and done is not None and done.failed:
            print("These failed; on busy hosts that may be the machine. Once more, and no more:")
            c.run(f"{run} -n 0 --last-failed", pty=sys.stdout.isatty(), env=releases)


@task(help={"install": "install the Debian packages the lab needs (root)"})
def lab(c: Context, install: bool = False) -> None:
    """Whether this machine can run the lab; --install gets what is missing."""
    from provisioner.lab import requirements

    missing = [each for each in requirements.check() if not each.met]
    line = requirements.install_line(missing)
    if install and line:
        c.run("apt-get update -q", hide=True, warn=True)
        c.run(f"DEBIAN_FRONTEND=noninteractive {line} -y -q --no-install-recommends", hide="out")
    c.run(f"{PYTHON} -m provisioner lab doctor", warn=True)


@task(help={"keep": "leave the hosts running", "mirror": "Debian archive (needed on Ubuntu)"})
def demo(c: Context, keep: bool = False, mirror: str = "") -> None:
    """Three real hosts: plan, apply, an SMTP conversation, and no changes left."""
    options = (" --keep" if keep else "") + (f" --mirror {shlex.quote(mirror)}" if mirror else "")
    c.run(f"{PYTHON} examples/demo.py{options}", pty=sys.stdout.isatty())


@task(
    help={
        "hosts": "how many lab hosts, several numbers with commas  [5,20,60]",
        "peers": "which other tools, with commas; slow ones at large numbers only if named",
        "repeat": "timed rounds  [5]",
        "out": "where the results go  [docs/]",
        "minutes": "begin no round after these  [45]",
    }
)
def bench(
    c: Context, hosts: str = "", peers: str = "", repeat: int = 0, out: str = "", minutes: int = 0
) -> None:
    """Time this tool against Ansible, Mitogen, pyinfra and bare OpenSSH on the same lab hosts."""
    given = {"hosts": hosts, "peers": peers, "repeat": repeat, "out": out, "minutes": minutes}
    options = [f"--{name} {shlex.quote(str(value))}" for name, value in given.items() if value]
    c.run(f"{PYTHON} bench/run.py {' '.join(options)}", pty=False)


@task(
    iterable=["only", "release"],
    help={
        "seed": "which cases of the fault matrix are drawn",
        "runs": "how many",
        "only": "a part (matrix, corpus, concurrency, load), a kind of fault, or one case",
        "like": "only faults of the corpus, meetings and loads whose name has this text",
        "release": "on this release (several times)",
        "lab": "use a lab that is up; its hosts are made new",
        "write": "write the tables of docs/reliability.md",
    },
)
def faults(
    c: Context,
    only: list[str],
    release: list[str],
    seed: int = 1,
    runs: int = 60,
    like: str = "",
    lab: str = "",
    write: bool = False,
) -> None:
    """Faults at every boundary of an apply, bad configurations, others at work, load."""
    words = ["--seed", str(seed), "--runs", str(runs)]
    words += [word for each in only for word in ("--only", each)]
    words += [word for each in release for word in ("--release", each)]
    words += ["--like", like] if like else []
    words += ["--lab", lab] if lab else []
    words += ["--write"] if write else []
    c.run(f"{PYTHON} tests/faults/run.py {shlex.join(words)}", pty=False)


@task(help={"hosts": "how many hosts", "groups": "in how many groups", "repeat": "repetitions"})
def bench_inventory(c: Context, hosts: int = 10_000, groups: int = 200, repeat: int = 5) -> None:
    """Time reading a large inventory, INI and YAML, against ansible-inventory."""
    c.run(
        f"{PYTHON} bench/inventory.py --hosts {hosts} --groups {groups} --repeat {repeat}",
        pty=False,
    )


@task(help={"hosts": "how many hosts; a tenth of them, too"})
def bench_planning(c: Context, hosts: int = 10_000) -> None:
    """Time reading, composing and planning a large fleet, without a network."""
    c.run(f"{PYTHON} bench/planning.py --hosts {hosts}", pty=False)


@task(help={"command": "arguments of provisioner, as in --command 'plan -i lab.yml'"})
def profile(c: Context, command: str) -> None:
    """Where the controller's processor time goes, by package and by function."""
    c.run(f"{PYTHON} bench/spent.py {command}", pty=False)


@task(help={"hosts": "how many lab hosts  [20]", "delay": "milliseconds each way  [50]"})
def latency(c: Context, hosts: int = 20, delay: int = 50) -> None:
    """Time planning of hosts that are far away."""
    c.run(f"{PYTHON} bench/latency.py --hosts {hosts} --delay {delay}", pty=False)


@task(
    help={
        "minutes": "how long, all targets together",
        "only": "targets, as in --only 'probed main_text'",
        "seed": "where to begin; 0 is anywhere",
    }
)
def fuzz(c: Context, minutes: float = 5.0, only: str = "", seed: int = 0) -> None:
    """Fuzz every reader of what hosts and people write; with atheris, led by coverage."""
    options = f"--seconds {minutes * 60:g} --seed {seed}"
    c.run(f"{PYTHON} tests/fuzz/fuzzing.py {options} {only}", pty=False)


@task(help={"check": "only say whether the generated pages are up to date"})
def docs(c: Context, check: bool = False) -> None:
    """Generate the reference pages of roles and commands."""
    c.run(f"{PYTHON} docs/generate.py{' --check' if check else ''}", pty=False)
