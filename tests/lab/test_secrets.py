"""Planted secrets, searched for wherever a run leaves anything: what it prints, the files it
writes, command lines and environments on both machines while it runs, the host afterwards."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from support import Site, finish

from provisioner.lab.recipe import PASSWORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

    FreshHost = Callable[..., Host]

LOCKED = "Locked-9fK2-secret"
FROM_FILE = "Filed-7Qz1-secret"
FROM_COMMAND = "Printed-3Wx8-secret"
FROM_ENVIRONMENT = "Exported-5Rt6-secret"
VAULT_PASSWORD = "Opener-1Lm4-secret"
PLANTED = (LOCKED, FROM_FILE, FROM_COMMAND, FROM_ENVIRONMENT, VAULT_PASSWORD, PASSWORDS["admin"])

#: Command lines and environments of everything that runs, as often as it can be looked at.
WATCH = """
while [ -e /root/watching ]; do
  cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'
  sleep 0.01
done | LC_ALL=C sort -u >/root/watched
"""

#: The files of a host that are about this, and who may read them.
REMAINS = r"""
find /etc /var/lib/provisioner /var/log /var/spool/postfix /run /tmp /root -xdev -type f \
  ! -name watched -newer /root/planted 2>/dev/null | while IFS= read -r name; do
  grep -qaE "$1" "$name" && stat -c '%a %U %n' "$name"
done
journalctl -q --no-pager | grep -aE "$1" && echo '- - journal'
true
"""


def spelled(secret: str) -> tuple[str, str]:
    """As it is, and as base64 shows it wherever in a text it starts (without its edges)."""
    return secret, base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]


def clean(where: str, text: str) -> None:
    found = [form for each in PLANTED for form in spelled(each) if form in text]
    assert not found, f"{where} shows {found}"


class Watch:
    """Command lines of the programs that the test starts, on this machine."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            for each in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = each.read_bytes()
                except OSError:
                    continue
                self.seen.add(words.replace(b"\0", b" ").decode(errors="replace"))


def run(site: Site, verb: str, *arguments: str, code: int | None = 0) -> None:
    """The program as a process; it must not show a secret, however it ends."""
    done = finish(site.start(verb, *arguments), code)
    clean(" ".join((verb, *arguments)), done.said)


def repository(site: Site) -> None:
    """A repository with a secret of every kind where people put them, and a commit."""
    folder = site.folder
    name = next(iter(site.entries))
    variables = dict(site.entries[name])
    del variables["ansible_become_password"]
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {name: variables}}}))
    (folder / "site.yml").write_text("- hosts: all\n  roles: [postfix, smtpd_restrictions]\n")
    (folder / "group_vars").mkdir()
    (folder / "vault-password").write_text(VAULT_PASSWORD + "\n")
    (folder / "relay").write_text(FROM_FILE + "\n")
    (folder / "relay").chmod(0o600)
    program = folder / "print-it"
    program.write_text(f"#!/bin/sh\necho {FROM_COMMAND}\n")
    program.chmod(0o700)
    sealed = {"ansible_become_password": PASSWORDS["admin"], "locked": LOCKED}
    (folder / "group_vars" / "all").mkdir()
    vault = folder / "group_vars" / "all" / "vault.yml"
    vault.write_text(yaml.safe_dump(sealed))
    beside = Path(sys.executable).parent
    subprocess.run(
        [beside / "ansible-vault", "encrypt", "--vault-password-file", "vault-password", vault],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    (folder / "group_vars" / "all" / "mail.yml").write_text(OPTIONS)


OPTIONS = """\
mail: {domains: [lab.example]}
postfix:
  relayhost: {host: smtp.good.example, user: me, password: "{{ locked }}"}
  tables:
    /etc/postfix/others:
      mode: "0600"
      entries:
        "[a.example]": !file ../../relay
        "[b.example]": !command [../../print-it]
        "[c.example]": !env RELAY_PASSWORD
policy_tests:
  - {name: a stranger is heard, to: postmaster@lab.example, expect: accept}
"""


def test_planted_secrets_show_nowhere(
    lab: Lab, fresh_host: FreshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_PASSWORD", FROM_ENVIRONMENT)
    host = fresh_host()
    site = Site(lab, tmp_path, host, user="admin")
    repository(site)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "hosts.yml", "site.yml", "group_vars"],
                  ["commit", "-qm", "first"]):  # fmt: skip
        subprocess.run([*git, *words], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / ".gitignore").write_text("relay\nprint-it\nvault-password\n")
    sources = {each for each in tmp_path.rglob("*") if each.is_file()}
    lab.exec(
        host,
        f"touch -d '1 second ago' /root/planted /root/watching; {{ {WATCH} }} >/dev/null 2>&1 &",
    )
    common = ("--vault-password-file", "vault-password")
    with Watch() as watch:
        run(site, "inventory", "--list", *common)
        run(site, "inventory", "--host", host.name, "--origins", *common)
        run(site, "plan", *common, "-v", "-D", code=2)
        run(site, "plan", *common, "--json", "--rehearse", code=2)
        run(site, "plan", *common, "-o", "saved.plan", code=2)
        run(site, "apply", "-y", "-v", *common, "saved.plan")
        run(site, "plan", *common)
        (tmp_path / "relay").write_text(f"{FROM_FILE}-and-new\n")
        run(site, "diff", "HEAD", *common, code=None)
        run(site, "apply", "-y", "--json", *common)
        run(site, "verify", *common)
        run(site, "verify", *common, "--junit", "tests.xml")
        run(site, "ask", host.name, "--to", "postmaster@lab.example", *common, code=None)
        run(site, "history", host.name, *common)
        run(site, "status", *common, "--json")
        run(site, "rollback", host.name, "-y", *common)
        (tmp_path / "vault-password").write_text("wrong\n")
        run(site, "plan", *common, code=3)
    clean("a command line here", "\n".join(watch.seen))
    assert any("provisioner" in each for each in watch.seen)
    written = [each for each in tmp_path.rglob("*") if each.is_file() and each not in sources]
    assert tmp_path / "tests.xml" in written
    for each in written:
        clean(str(each), each.read_bytes().decode(errors="replace"))
    lab.exec(host, "rm /root/watching; until [ -s /root/watched ]; do sleep 0.05; done; sleep 0.2")
    watched = lab.exec(host, "cat /root/watched").stdout
    assert "sudo" in watched
    clean("a command line on the host", watched)
    check_remains(lab, host)


def check_remains(lab: Lab, host: Host) -> None:
    """What holds a secret on the host is its table, or a copy of it that only root reads."""
    pattern = "|".join(form for each in PLANTED for form in spelled(each))
    script = f"set -- '{pattern}'\n{REMAINS}"
    left: Mapping[str, str] = {
        line.split(" ", 2)[2]: line.split(" ", 2)[0]
        for line in lab.exec(host, ["sh"], stdin=script).stdout.splitlines()
    }
    assert left, "the tables hold them"
    for name, mode in left.items():
        assert name.startswith(("/etc/postfix/", "/var/lib/provisioner/")), name
        assert mode.endswith("00"), f"{name}: {mode}"
