"""The demo: three real mail servers, from stock Postfix to a hardened policy and back.

Run by `make demo`, as root on Debian or Ubuntu. Every command it runs is printed first;
each can be typed by hand. `--keep` leaves the hosts running for a look around.
"""

from __future__ import annotations

import argparse
import os
import shlex
import smtplib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from provisioner.errors import ProvisionerError
from provisioner.lab.lab import Lab
from provisioner.report.console import print_error

ROOT = Path(__file__).resolve().parent.parent
LAB = "demo"
RELEASES = ("bookworm", "trixie", "forky")


def say(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}# {text}{plain}", flush=True)


def run(*arguments: str, expect: Sequence[int] = (0,)) -> int:
    """Run one provisioner command as a user would; end the demo if it ends otherwise."""
    print(f"$ provisioner {shlex.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "provisioner", *arguments]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code not in expect:
        sys.exit(f"demo: that ended with exit code {code}, not {' or '.join(map(str, expect))}")
    return code


def converse(server: str, client: str, name: str) -> tuple[int, str]:
    """A mail from the address `client` up to RCPT; returns the reply to RCPT."""
    code, text = 0, b""
    with smtplib.SMTP(server, 25, source_address=(client, 0), timeout=30) as smtp:
        for sent in (
            f"HELO {name}",
            "MAIL FROM:<someone@good.example>",
            "RCPT TO:<root@lab.example>",
        ):
            code, text = smtp.docmd(sent)
            print(f"    > {sent}\n    < {code} {text.decode('utf-8', 'replace')}")
    return code, text.decode("utf-8", "replace")


def talk_to_all(lab: Lab) -> None:
    listed, good = lab.client_address("listed"), lab.client_address("good")
    for host in lab.hosts:
        print(f"{host.name} ({host.release})")
        print(f"  from the listed client {listed}:")
        code, text = converse(host.address, listed, "listed.client.example")
        if code != 554 or "Client host rejected: Access denied" not in text:
            sys.exit(f"demo: {host.name} did not refuse the listed client: {code} {text}")
        print(f"  from a well-behaved stranger {good}:")
        code, text = converse(host.address, good, "mail.good.example")
        if code != 250:
            sys.exit(f"demo: {host.name} refused a well-behaved client: {code} {text}")


def demo(lab: Lab, inventory: Path) -> None:
    which = ("-i", "inventory", "-i", str(inventory))
    lab.write_inventory(inventory)
    say("The plan: what would change on each host, and who says so. Nothing is touched.")
    run("plan", *which, expect=(2,))
    say("Apply it.")
    run("apply", "-y", *which)
    say("An SMTP conversation with each host from outside.")
    talk_to_all(lab)
    say("The plan again: there must be nothing to do.")
    run("plan", *which)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the hosts running")
    parser.add_argument("--mirror", metavar="URL", help="Debian archive to build the hosts from")
    options = parser.parse_args()
    releases = [word for release in RELEASES for word in ("--release", release)]
    mirror = ["--mirror", options.mirror] if options.mirror else []
    say("Three real hosts (systemd, sshd, Postfix) of three Debian releases.")
    run("lab", "up", "-n", "3", *releases, "--name", LAB, *mirror)
    lab = Lab.open(LAB)
    try:
        with tempfile.TemporaryDirectory() as folder:
            demo(lab, Path(folder) / "lab.yml")
            if options.keep:
                kept = ROOT / "lab.yml"
                lab.write_inventory(kept)
                say(f"The hosts stay up; their inventory is {kept.name}. Break something, plan:")
                print("$ .venv/bin/provisioner lab ssh mx1 --name demo")
                print("$ .venv/bin/provisioner plan -i inventory -i lab.yml")
                print("$ .venv/bin/provisioner lab down --name demo")
    finally:
        if not options.keep:
            lab.down()
    say("Done. `make demo KEEP=1` leaves the hosts running.")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    try:
        main()
    except ProvisionerError as error:
        print_error(error)
        sys.exit(error.exit_code)
