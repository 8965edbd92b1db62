"""Time reading a large inventory against `ansible-inventory`, in one run.

`inv bench-inventory` writes the same fleet twice, as INI and as YAML: hosts with four
variables each, every one in two groups, groups of groups above them, `group_vars/all.yml`
beside. Then it runs, in turn,

  provisioner inventory -i FILE --list
  ansible-inventory     -i FILE --list

as whole processes, from start to end. A first round warms caches and is not counted; in it
the two answers are compared, and have to be the same. Numbers compare with each other and
with nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import yaml

#: Groups of groups, over the leaves: a tenth of all.
PARENT_SHARE = 10


def fleet(hosts: int, groups: int) -> dict[str, Any]:
    """The inventory as YAML inventories have it."""
    parents = max(1, groups // PARENT_SHARE)
    leaves: dict[str, Any] = {
        f"group{number:03}": {
            "hosts": {},
            "vars": {"mail_zone": f"zone{number}.example.org", "mail_weight": number},
        }
        for number in range(groups - parents)
    }
    names = list(leaves)
    for number in range(hosts):
        name = f"mx{number:05}.example.org"
        leaves[names[number % len(names)]]["hosts"][name] = {
            "ansible_host": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            "rack": f"r{number % 40:02}",
            "slot": number % 42,
            "banner": f"mail server {number}",
        }
        leaves[names[(number * 7 + 3) % len(names)]]["hosts"].setdefault(name, None)
    above = {
        f"region{number:02}": {"children": dict.fromkeys(names[number::parents])}
        for number in range(parents)
    }
    return {**leaves, **above}


def as_ini(groups: dict[str, Any]) -> str:
    lines: list[str] = []
    for name, content in groups.items():
        if "children" in content:
            lines += [f"[{name}:children]", *content["children"], ""]
            continue
        lines.append(f"[{name}]")
        for host, variables in content["hosts"].items():
            words = [f"{key}={_word(value)}" for key, value in (variables or {}).items()]
            lines.append(" ".join([host, *words]))
        lines += ["", f"[{name}:vars]"]
        lines += [f"{key}={value}" for key, value in content["vars"].items()]
        lines.append("")
    return "\n".join(lines)


def _word(value: Any) -> str:
    return f'"{value}"' if " " in str(value) else str(value)


def run(argv: list[str], folder: Path) -> tuple[float, float, bytes]:
    """Seconds of wall time and of processor time, and what the program printed."""
    env = {**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
    # As installed: bytecode is there from the first round on.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(argv, cwd=folder, env=env, stdout=subprocess.PIPE, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, processor, done.stdout


def variables(output: bytes) -> Any:
    listing = json.loads(output)
    listing["_meta"].pop("profile", None)
    return listing


def _ansible() -> str:
    beside = Path(sys.executable).parent / "ansible-inventory"
    found = str(beside) if beside.exists() else shutil.which("ansible-inventory")
    if not found:
        sys.exit("ansible-inventory is not here: pip install '.[contract]'")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    programs = {
        "provisioner inventory": [sys.executable, "-m", "provisioner", "inventory"],
        "ansible-inventory": [_ansible()],
    }
    print("| inventory | program | wall, median (range) | processor, median | times as fast |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        groups = fleet(options.hosts, options.groups)
        (folder / "group_vars").mkdir()
        (folder / "group_vars/all.yml").write_text("mail: {domains: [example.org]}\n", "utf-8")
        (folder / "hosts.ini").write_text(as_ini(groups), "utf-8")
        (folder / "hosts.yml").write_text(yaml.safe_dump(groups, sort_keys=False), "utf-8")
        for file in ("hosts.ini", "hosts.yml"):
            commands = {name: [*argv, "-i", file, "--list"] for name, argv in programs.items()}
            first = {name: variables(run(argv, folder)[2]) for name, argv in commands.items()}
            if first["provisioner inventory"] != first["ansible-inventory"]:
                sys.exit(f"{file}: the two programs do not say the same")
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
            for _ in range(options.repeat):
                for name, argv in commands.items():
                    taken[name].append(run(argv, folder)[:2])
            wall = {name: [each[0] for each in rounds] for name, rounds in taken.items()}
            processor = {name: median(each[1] for each in rounds) for name, rounds in taken.items()}
            for name, seconds in wall.items():
                factors = [
                    f"{each['ansible-inventory'] / each[name]:.1f}"
                    for each in ({key: median(found) for key, found in wall.items()}, processor)
                ]
                print(
                    f"| {file} | `{name}` | {median(seconds):.2f} s"
                    f" ({min(seconds):.2f} to {max(seconds):.2f}) | {processor[name]:.2f} s"
                    f" | {factors[0]} in wall time, {factors[1]} in processor time |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
