"""A scratch repository (site, inventory) for lab hosts, and the program run in it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import signal
import smtplib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from provisioner.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

#: Longest time any run of the program is waited for, in seconds: a bound, never an assertion.
PATIENCE = 240

#: A policy with something of every kind: parameters, lists, services, tables of both sorts.
POLICY: dict[str, Any] = {
    "mail": {"domains": ["lab.example"], "networks": ["127.0.0.0/8", "[::1]/128"]},
    "postfix": {
        "parameters": {
            "disable_vrfy_command": True,
            "smtpd_banner": "$myhostname ESMTP",
            "header_checks": "regexp:/etc/postfix/header_checks",
        },
        "tables": {
            "/etc/postfix/header_checks": {
                "type": "regexp",
                "text": "/^Subject: refuse me/ REJECT\n",
            }
        },
    },
    "access_maps": {"client": {"entries": {"80.218.40.251": "REJECT"}}},
}

ROLES = ("postfix", "smtpd_restrictions", "access_maps", "dovecot_auth", "submission")

#: One parameter and nothing else: for tests of how things are done, not of what.
SMALL: dict[str, Any] = {"postfix": {"parameters": {"disable_vrfy_command": True}}}


@dataclass(frozen=True)
class Done:
    """One run of the program: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return f"{self.out}\n{self.err}"

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Site:
    """A repository of its own in `folder`, for some hosts of the lab."""

    def __init__(self, lab: Lab, folder: Path, *hosts: Host, user: str = "root") -> None:
        self.lab = lab
        self.folder = folder
        self.entries: dict[str, dict[str, Any]] = {
            host.name: lab.connection_vars(host, user) for host in hosts
        }
        self.say(POLICY)

    def say(self, policy: Mapping[str, Any], roles: Sequence[str] = ROLES, **about: Any) -> None:
        """Write the repository anew; `about` are further variables of every host."""
        inventory = {"all": {"hosts": self.entries, "vars": {**policy, **about}}}
        site = [{"hosts": "all", "roles": list(roles)}]
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        (self.folder / "site.yml").write_text(yaml.safe_dump(site))

    def say_parameters(self, **parameters: Any) -> None:
        """The role postfix alone, with these parameters."""
        self.say({"postfix": {"parameters": parameters}}, ["postfix"])

    def start(
        self, verb: str, *arguments: str, program: Sequence[str] = ("-m", "provisioner")
    ) -> subprocess.Popen[str]:
        """The program as a process. In a process group of its own, as a shell starts it."""
        return subprocess.Popen(
            [sys.executable, *program, verb, "-i", "hosts.yml", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environment(),
        )

    def run(self, verb: str, *arguments: str, code: int | None = None) -> Done:
        """Run a command line to its end in this process, which saves starting one; with
        `code`, that is how it must end."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            ended = main.run([verb, "-i", "hosts.yml", *arguments])
        return checked(Done(ended, out.getvalue(), err.getvalue()), code)

    def plan(self, *arguments: str, code: int | None = None) -> Done:
        return self.run("plan", *arguments, code=code)

    def apply(self, *arguments: str, code: int | None = 0) -> Done:
        return self.run("apply", "-y", *arguments, code=code)

    def changes(self, host: Host, *arguments: str) -> list[dict[str, Any]]:
        """The changes that a plan of `host` shows."""
        document = self.plan("--json", "-l", host.name, *arguments).document
        found: list[dict[str, Any]] = document["hosts"][host.name]["changes"]
        return found

    def addresses(self, host: Host, *arguments: str) -> dict[str, str]:
        """Address and action of each change that a plan of `host` shows."""
        return {each["address"]: each["action"] for each in self.changes(host, *arguments)}

    def settle(self) -> None:
        """Apply, and see that nothing is left to do."""
        self.apply()
        self.plan(code=0)


def environment() -> dict[str, str]:
    """Ours without what would colour the output or offer keys of the person testing."""
    kept = {k: v for k, v in os.environ.items() if k not in ("SSH_AUTH_SOCK", "FORCE_COLOR")}
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1"}


def typed(
    site: Site,
    question: str,
    answer: str,
    *arguments: str,
    first: Callable[[], object] = lambda: None,
) -> tuple[int, str]:
    """Run the program on a terminal of its own; where it asks `question`, call `first` and
    type `answer`. Its exit status, and all that was seen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "provisioner", *arguments, "-i", "hosts.yml"],
        cwd=site.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment(), "TERM": "dumb"},
    )
    os.close(theirs)
    said, answered = b"", False
    while select.select([ours], [], [], PATIENCE)[0]:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        said += piece
        if not answered and question.encode() in said:
            first()
            os.write(ours, answer.encode() + b"\n")
            answered = True
    os.close(ours)
    return process.wait(PATIENCE), said.decode(errors="replace")


def finish(process: subprocess.Popen[str], code: int | None = None) -> Done:
    """Wait for a run of the program; with `code`, that is how it must end."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return checked(Done(process.returncode, out, err), code)


def checked(done: Done, code: int | None) -> Done:
    """`done`, if it ended without a traceback, and with `code` if that is given."""
    assert "Traceback" not in done.err, done.err
    if code is not None:
        assert done.code == code, f"exit {done.code}, not {code}\n{done.said}"
    return done


# ---- what stands on a host ----------------------------------------------------------------


def read(lab: Lab, host: Host, path: str) -> str:
    """A file of the host, bytes as they are (surrogates for what is no UTF-8)."""
    done = lab.machine(host).exec(["cat", "--", path])
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "surrogateescape")


def write(lab: Lab, host: Host, path: str, text: str | bytes) -> None:
    """Write a file of the host as an editor in place does (same inode), well in the past:
    Postfix programs wait while main.cf is seconds young."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    done = lab.machine(host).exec(
        ["sh", "-c", 'cat >"$1" && touch -d "1 hour ago" -- "$1"', "sh", path], data
    )
    assert done.returncode == 0, done.stderr


def state(lab: Lab, host: Host, *folders: str) -> dict[str, str]:
    """Every path below `folders`: kind, mode, owner, link target, and digest of content."""
    script = (
        'find "$@" -printf "%p\\t%y %m %u:%g %l\\n" | sort; '
        'find "$@" -type f -exec sha256sum {} + | sort -k 2'
    )
    said = lab.exec(host, ["sh", "-c", script, "sh", *(folders or ("/etc/postfix",))]).stdout
    found: dict[str, str] = {}
    for line in said.splitlines():
        path, tab, about = line.partition("\t")
        if tab:
            found[path] = about
        else:
            digest, _, path = line.partition("  ")
            found[path] += f" {digest}"
    return found


def leftovers(lab: Lab, host: Host) -> str:
    """What only a running transaction may have: files, units, processes, mounts, the lock."""
    return lab.exec(
        host,
        "find /etc /var/lib -name '*.provisioner-*' -o -path '/var/lib/provisioner/*.new' "
        "-o -name 'provisioner-guard*' -o -path /var/lib/provisioner/open;"
        "pgrep -fa '/guar[d] watch' || true; grep ' /var/lib/provisioner' /proc/mounts || true;"
        "[ ! -d /run/systemd/system ] || systemctl list-units --all --no-legend 'provisioner*';"
        "[ ! -e /var/lib/provisioner/lock ] || flock -n /var/lib/provisioner/lock true ||"
        "echo locked",
    ).stdout


def let_go(lab: Lab, host: Host) -> None:
    """Wait until nobody holds the host: the transaction has ended, or its guard was killed."""
    lab.exec(
        host,
        "cd /var/lib/provisioner 2>/dev/null || exit 0; touch lock; flock -w 60 lock true;"
        "while [ -L open ] && pgrep -f '/guar[d] watch ' >/dev/null; do sleep 0.1; done",
        seconds=120,
    )


def master(lab: Lab, host: Host) -> str:
    """The process number of the Postfix master; fails where it does not run."""
    return lab.exec(
        host,
        'read -r pid </var/spool/postfix/pid/master.pid; [ "$(cat /proc/$pid/comm)" = master ]; '
        "echo $pid",
    ).stdout.strip()


def postconf(lab: Lab, host: Host) -> dict[str, str]:
    """`postconf -n` as Postfix itself prints it."""
    lines = lab.exec(host, "postconf -n").stdout.splitlines()
    return {name.strip(): value.strip() for name, _, value in (x.partition("=") for x in lines)}


# ---- mail, from outside -------------------------------------------------------------------


def conversation(lab: Lab, host: Host, client: str = "good", port: int = 25) -> smtplib.SMTP:
    """An SMTP connection to the host from one of the lab's client addresses."""
    source = (lab.client_address(client), 0)
    return smtplib.SMTP(host.address, port, timeout=20, source_address=source)


def rcpt(
    lab: Lab, host: Host, client: str = "good", recipient: str = "root@lab.example"
) -> tuple[int, str]:
    """The answer to RCPT TO in a plain conversation."""
    with conversation(lab, host, client) as session:
        session.ehlo(f"{client}.client.{host.fqdn.partition('.')[2]}")
        assert session.mail("someone@lab.example")[0] == 250
        code, text = session.rcpt(recipient)
    return code, text.decode()


# ---- one host for many small tests --------------------------------------------------------


class Bench:
    """One host whose Postfix configuration is made stock again between tests, in a moment."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self.lab = lab
        self.host = host
        lab.exec(host, "cp -a /etc/postfix /root/stock-postfix")

    def renew(self) -> None:
        """Stock configuration, nothing managed, Postfix running."""
        self.chattr("-ia", ".", "main.cf", check=False)
        self.sh(
            "umount -q /etc/postfix/* /etc/postfix /var/lib/provisioner /var/lib /mnt;"
            "rm -rf /etc/postfix /etc/mail-real /var/lib/provisioner &&"
            "cp -a /root/stock-postfix /etc/postfix &&"
            "if postfix status 2>/dev/null; then postfix reload; else postfix start; fi"
        )

    def chattr(self, *arguments: str, check: bool = True) -> None:
        """chattr(1) in /etc/postfix: from outside, for a container may not."""
        folder = f"/proc/{self.lab.machine(self.host).leader()}/root/etc/postfix"
        subprocess.run(["chattr", *arguments], cwd=folder, check=check, capture_output=True)

    def main_cf(self) -> str:
        return read(self.lab, self.host, "/etc/postfix/main.cf")

    def write_main_cf(self, text: str | bytes) -> None:
        write(self.lab, self.host, "/etc/postfix/main.cf", text)

    def sh(self, script: str) -> str:
        """What a shell script prints on the host; fails where it fails."""
        return self.lab.exec(self.host, script).stdout
