"""The tools that are compared: how each is installed, and called for each piece of work."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.lab.lab import Lab

BENCH = Path(__file__).resolve().parent
CHECKOUT = BENCH.parent
PEERS = BENCH / "peers"

#: Where the tools are installed, each with what it needs: by this command, not by the project.
VENVS = CHECKOUT / ".bench"

#: What pip installs for each; the versions that were measured.
PACKAGES: Mapping[str, Sequence[str]] = {
    "provisioner": (str(CHECKOUT),),
    "ansible": ("ansible-core==2.19.14", "mitogen==0.3.54"),
    "pyinfra": ("pyinfra==3.10.0",),
}

#: The kinds of work, in the order in which each tool does them on stock hosts.
WORKS = ("dry run", "first apply", "no change")


@dataclass(frozen=True)
class Tool:
    """`commands` by work; `statuses` by which each ends where it is not 0. A `slow` tool does each
    work once, and by default only where there are few hosts."""

    name: str
    title: str
    commands: Mapping[str, Sequence[str]]
    statuses: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    slow: bool = False


def install(names: Sequence[str]) -> None:
    """Make the virtual environments that are not there yet; this project's always anew."""
    for name in names:
        venv = VENVS / name
        if not (venv / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        pip += ["--disable-pip-version-check"]
        if name == "provisioner":  # the version does not change with each edit
            subprocess.run([*pip, *PACKAGES[name]], check=True, stderr=subprocess.DEVNULL)
            pip += ["--force-reinstall", "--no-deps"]
        subprocess.run([*pip, *PACKAGES[name]], check=True, stderr=subprocess.DEVNULL)


def bin_of(venv: str, program: str) -> str:
    return str(VENVS / venv / "bin" / program)


class Toolbox:
    """The tools, for the hosts of one lab. `folder` holds what they are told of these hosts."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.output = folder / "output"
        self.output.mkdir()
        self.inventory = lab.write_inventory(folder / "lab.yml")
        self.ssh_config = folder / "ssh_config"
        self.ssh_config.write_text(self._ssh_config())
        self.pyinfra_hosts = folder / "hosts.py"
        self.pyinfra_hosts.write_text(self._pyinfra_hosts())
        every = [self._provisioner(), self._ssh(), self._pyinfra(), *self._ansibles()]
        self.tools = {tool.name: tool for tool in every}

    def _ssh_config(self) -> str:
        lines = [
            "User root",
            f"IdentityFile {self.lab.key_file}",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {self.lab.known_hosts_file}",
            "StrictHostKeyChecking yes",
            "BatchMode yes",
        ]
        for host in self.lab.hosts:
            lines += [f"Host {host.name}", f"  HostName {host.address}"]
        return "\n".join(lines) + "\n"

    def _pyinfra_hosts(self) -> str:
        about = {
            "ssh_user": "root",
            "ssh_key": str(self.lab.key_file),
            "ssh_known_hosts_file": str(self.lab.known_hosts_file),
        }
        hosts = [(str(host.address), about) for host in self.lab.hosts]
        return f"hosts = {hosts!r}\n"

    def parallel(self, script: str) -> list[str]:
        """The command that runs bench/peers/SCRIPT on all hosts by plain ssh."""
        hosts = [host.name for host in self.lab.hosts]
        where = [str(PEERS / script), str(self.output), str(self.ssh_config)]
        return ["/bin/sh", str(PEERS / "parallel.sh"), *where, *hosts]

    def _provisioner(self) -> Tool:
        def run(verb: str, *more: str) -> list[str]:
            files = ["-i", str(self.inventory), "--site", str(BENCH / "site.yml")]
            return [bin_of("provisioner", "provisioner"), verb, *more, *files]

        return Tool(
            "provisioner",
            "provisioner",
            {
                "dry run": run("plan"),
                "first apply": run("apply", "-y"),
                "no change": run("apply", "-y"),
            },
            {"dry run": 2},
        )

    def _ssh(self) -> Tool:
        read, apply = self.parallel("read.sh"), self.parallel("apply.sh")
        works = {"dry run": read, "first apply": apply, "no change": read}
        return Tool("ssh", "parallel OpenSSH", works)

    def _pyinfra(self) -> Tool:
        run = bin_of("pyinfra", "pyinfra")
        what = [str(self.pyinfra_hosts), str(PEERS / "deploy.py")]
        work = [run, "-y", *what]  # without looking for changes first: the fastest that there is
        works = {"dry run": [run, *what, "--dry"], "first apply": work, "no change": work}
        return Tool("pyinfra", "pyinfra", works)

    def _ansibles(self) -> list[Tool]:
        run = [bin_of("ansible", "ansible-playbook"), "-i", str(self.inventory)]
        work = [*run, str(PEERS / "ansible.yml")]
        works = {"dry run": [*work, "--check"], "first apply": work, "no change": work}
        home = {
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "PATH": f"{VENVS / 'ansible' / 'bin'}:{os.environ['PATH']}",
        }
        tuned = {
            **home,
            "ANSIBLE_FORKS": "50",
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_GATHERING": "explicit",
        }
        plugins = VENVS.glob("ansible/lib/python*/site-packages/ansible_mitogen/plugins/strategy")
        mitogen = {
            **tuned,
            "ANSIBLE_STRATEGY": "mitogen_linear",
            "ANSIBLE_STRATEGY_PLUGINS": ":".join(map(str, plugins)),
        }
        return [
            Tool("mitogen", "Ansible, tuned, with Mitogen", works, {}, mitogen, slow=True),
            Tool("ansible-tuned", "Ansible, tuned", works, {}, tuned, slow=True),
            Tool("ansible", "Ansible as installed", works, {}, home, slow=True),
        ]


def environment(tool: Tool) -> dict[str, str]:
    """The environment that a tool is called in: ours, less what would slow it down."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ANSIBLE", "SSH_"))}
    return {**kept, "LC_ALL": "C.UTF-8", **tool.environment}


def shown(command: Sequence[str]) -> str:
    """A command as it is shown where it failed."""
    return shlex.join(command).replace(tempfile.gettempdir(), "…")[:300]
