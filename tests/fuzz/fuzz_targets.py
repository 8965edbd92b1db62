"""What is fuzzed: each target takes bytes, and raises where a promise is broken.

The promise is never only that nothing crashes: a reader gives a result or the error that is
documented; an edit does what it was asked and leaves every other byte alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from provisioner.errors import HostError, InputError
from provisioner.host import frames, probe, transaction
from provisioner.inventory import load_inventory, vault
from provisioner.inventory.export import to_list
from provisioner.inventory.site import load_site
from provisioner.marks import Mark
from provisioner.planning import planfile
from provisioner.planning.planner import Desired, plan_host
from provisioner.postfix import macros, main_cf, master_cf, restrictions, sensitive, tables
from provisioner.postfix.splice import apply_splices, decode, encode
from provisioner.resources.base import Origin
from provisioner.resources.parameter import Parameter
from provisioner.transport.knownhosts import read_records
from provisioner.transport.sshconfig import SshConfig

NONCE = "0123456789abcdef0123456789abcdef"
WANTED = Desired("mx1", (Parameter(Origin("fuzz"), "a", "b"),))
ASKED = probe.ProbeRequests(WANTED.requests())
SERVICE = master_cf.Service("x", "unix", command="pipe")


def probed(data: bytes) -> None:
    """`%` stands for the nonce of the answer, which no fuzzer would guess."""
    answer = data.replace(b"%", NONCE.encode())
    with suppress(HostError):
        plan_host(WANTED, probe.parse("mx1", ASKED, answer, NONCE))


def result(data: bytes) -> None:
    with suppress(HostError):
        transaction.check_result("mx1", data.replace(b"%", NONCE.encode()), NONCE)


def watched(data: bytes) -> None:
    """What is heard bit by bit is what is heard at once."""
    answer = data.replace(b"%", NONCE.encode())
    heard: list[tuple[tuple[str, ...], ...]] = []
    for size in (1, 7, len(answer) + 1):
        seen: list[tuple[str, ...]] = []
        watcher = frames.FrameWatcher(NONCE, seen.append)
        for start in range(0, len(answer), size):
            watcher(answer[start : start + size])
        heard.append(tuple(seen))
    longest = max(map(len, answer.split(b"\n")), default=0)
    assert longest >= frames.MAX_HEAD or len(set(heard)) == 1, heard


def main_text(data: bytes) -> None:
    text = decode(data)
    before = main_cf.parse(text)
    edit = main_cf.edit(text, {"fuzz_a": "$b c", "relayhost": None})
    assert apply_splices(data, edit.splices) == encode(edit.text)
    after = main_cf.parse(edit.text)
    assert after.get("fuzz_a") == "$b c"
    assert after.get("relayhost") is None
    foreign = {n: e.value for n, e in before.parameters.items() if n not in ("fuzz_a", "relayhost")}
    kept = {name: entry.value for name, entry in after.parameters.items() if name != "fuzz_a"}
    # A byte order mark that hid the first name is removed, and its name appears.
    assert text.startswith("\ufeff") or foreign == kept
    assert not main_cf.edit(edit.text, {"fuzz_a": "$b c", "relayhost": None}).changed


def master_text(data: bytes) -> None:
    text = decode(data)
    before = master_cf.parse(text)
    edit = master_cf.edit(text, {SERVICE.key: SERVICE, ("smtps", "inet"): None})
    assert apply_splices(data, edit.splices) == encode(edit.text)
    after = master_cf.parse(edit.text)
    found = after.get(*SERVICE.key)
    assert found is not None
    assert master_cf.same_service(found, SERVICE)
    assert after.get("submissions", "inet") is None
    touched = (SERVICE.key, ("submissions", "inet"))
    foreign = [e for e in before.entries if master_cf.same_key(*e.key) not in touched]
    kept = [e for e in after.entries if master_cf.same_key(*e.key) not in touched]
    # A brace that is never closed takes in the end of its line, which is mended here.
    odd = text.startswith("\ufeff") or "{" in text
    assert odd or [*map(master_cf.canonical, foreign)] == [*map(master_cf.canonical, kept)]


def service(data: bytes) -> None:
    """A service that may be written is read as it was."""
    words = decode(data).split("|")
    if len(words) < 4:
        return
    wanted = master_cf.Service(
        words[0], "unix", command=words[1], options=((words[2], words[3]),),
        arguments=tuple(words[4:]),
    )  # fmt: skip
    with suppress(ValueError):
        master_cf.check(wanted)
        found = master_cf.parse(f"{master_cf.render(wanted)}\n").entries
        if [*map(master_cf.canonical, found)] != [master_cf.canonical(wanted)]:
            raise AssertionError((wanted, found))


def value(data: bytes) -> None:
    """A value that may be written is read as it was."""
    text = decode(data)
    for fold in (False, True):
        with suppress(ValueError):
            main_cf.check_value("a", text, fold=fold)
            found = main_cf.parse(f"{main_cf.render('a', main_cf.Value(text, fold))}\n")
            if len(found.entries) != 1 or found.problems:
                raise AssertionError((text, found))
            if not main_cf.same_value(found.entries[0], text, fold=fold):
                raise AssertionError((text, found.get("a")))


def table(data: bytes) -> None:
    """A table that may be written is read as it was."""
    text = decode(data)
    tables.parse(text)
    entries = [tables.Entry(*line.split("|", 1)) for line in text.split("\n") if "|" in line]
    with suppress(ValueError):
        found = tables.parse(tables.render(entries))
        meant = [(tables.fold_key(each.key), each.value) for each in entries]
        if [(each.key, each.value) for each in found.entries] != meant or found.problems:
            raise AssertionError((entries, found))


def words(data: bytes) -> None:
    text = decode(data)
    restrictions.split(text)
    tables.references(text)
    macros.references(text)
    for name in ("relayhost", "smtp_sasl_password_maps", "a_password"):
        sensitive.mask(name, text)


def saved_plan(data: bytes) -> None:
    with suppress(InputError, UnicodeDecodeError):
        planfile.load(data.decode("utf-8"), "x.plan")


def vault_text(data: bytes) -> None:
    with suppress(InputError):
        vault.parse(data.decode("utf-8", "replace"), Mark("x"))


def _file(name: str, data: bytes, read: Callable[[Path], object]) -> None:
    with TemporaryDirectory() as folder, suppress(InputError):
        path = Path(folder) / name
        path.write_bytes(data)
        read(path)


def ini(data: bytes) -> None:
    _file("hosts.ini", data, lambda path: json.dumps(to_list(load_inventory([path]))))


def yaml(data: bytes) -> None:
    _file("hosts.yml", data, lambda path: json.dumps(to_list(load_inventory([path]))))


def site(data: bytes) -> None:
    _file("site.yml", data, load_site)


def known_hosts(data: bytes) -> None:
    _file("known_hosts", data, read_records)


def ssh_config(data: bytes) -> None:
    """Read, not asked: `Match exec` would run what a fuzzer makes up."""
    if b"nclude" not in data.lower():
        _file("config", data, SshConfig)


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        probed, result, watched, main_text, master_text, service, value, table, words, saved_plan,
        vault_text, ini, yaml, site, known_hosts, ssh_config,
    )
}  # fmt: skip

#: What the formats are made of: random texts get past the first character with these.
PIECES = """
@@% facts|states|contents|managed|table|unit|packages|end|result|ok|failed|step|uid 0|init systemd
missing|file 644 root root - 0 /x|manifest.json|0|1|a|a = b|relayhost = x|smtp inet n - y - - smtpd
-o a=b|{|}|{ a = b }|$a|${a}|${a?b}|$(|$$|#|# a|,|"|\\|'|=|:|;|&|*|<<|!vault|!env X|[|]|[a]|[a:vars]
[a:children]|all:|hosts:|children:|vars:|- hosts: all|roles: [x]|---|...|null|yes|1e999|{{ a }}
$ANSIBLE_VAULT;1.1;AES256|3031|Host a|Match all|Port 22|HostName x|@cert-authority|@revoked|ssh-rsa
AAAA|\\|1\\|a\\|b|static:{a:b}|inline:{{a=b}}|hash:/a|indexed:/a|reject_rbl_client a.b|://a:b@c
key.zen.dq.spamhaus.net|{"format": 1}|"digest"|\0|\x7f|\xff|\xef\xbb\xbf|\xc2\x85|\xe2\x80\xa8
"""
