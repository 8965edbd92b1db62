"""Values as hosts see them: templates over an inventory, sharing, marks, secrets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from provisioner import secrets
from provisioner.errors import InputError
from provisioner.inventory import Inventory, load_inventory
from provisioner.inventory.opening import Placeholders, Secrets
from provisioner.inventory.reading import Reader
from provisioner.inventory.references import vault_from
from provisioner.inventory.vault import Vault
from provisioner.marks import Map
from provisioner.secrets import SecretText, collecting

HOSTS = """
mx:
  hosts:
    mx1.example.com: {number: 1}
    mx2.example.com: {number: 2, other: "{{ hostvars['mx1.example.com'].number }}"}
relay:
  hosts:
    mx2.example.com:
    out:
"""


def _inventory(root: Path, vault: Vault | None = None, **files: str) -> Inventory:
    for name, text in {"hosts.yml": HOSTS, **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load_inventory([root / "hosts.yml"], vault=vault)


def _options(root: Path, text: str, host: str = "mx1.example.com") -> Any:
    inventory = _inventory(root, group_vars__all=text)
    reader = Reader(inventory, merged=("r", "mail"))
    return reader.options(inventory.hosts[host], "r")


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ inventory_hostname }}", "mx2.example.com"),
        ("{{ inventory_hostname_short }}", "mx2"),
        ("{{ group_names }}", ["mx", "relay"]),
        ("{{ groups.mx }}", ["mx1.example.com", "mx2.example.com"]),
        ("{{ groups['all'] | length }}", 3),
        ("{{ 'relay' in group_names }}", True),
        ("{{ hostvars['mx1.example.com'].number }}", 1),
        ("{{ hostvars[inventory_hostname].other }}", 1),
        ("{{ hostvars['out'].inventory_hostname_short }}", "out"),
        ("{{ number * 10 }}", 20),
        ("{{ mail.domain }}", "mx2.example.org"),
        ("{{ r.own }}", "o"),
        ("{{ r | to_json | length > 1 }}", None),
        ("{% for i in range(3) %}{{ i }}{% endfor %}", "012"),
    ],
)
def test_names_in_scope(tmp_path: Path, template: str, value: Any) -> None:
    text = (
        "mail: {domain: '{{ inventory_hostname_short }}.example.org'}\n"
        f"r: {{own: o, x: {template!r}}}\n"
    )
    if value is None:  # a mapping that would have to hold itself
        with pytest.raises(InputError, match="refers to itself"):
            _options(tmp_path, text, "mx2.example.com")
        return
    assert _options(tmp_path, text, "mx2.example.com")["x"] == value


def test_every_mark_is_kept(tmp_path: Path) -> None:
    options = _options(tmp_path, 'r:\n  a: ["{{ number }}", 2]\n  b: {c: "{{ {1: 2} }}"}\n')
    assert options == {"a": [1, 2], "b": {"c": {1: 2}}}
    file = tmp_path / "group_vars" / "all"
    assert str(options.marks["a"]) == f"{file}:2:6"
    assert [str(mark) for mark in options["a"].marks] == [f"{file}:2:7", f"{file}:2:23"]
    assert str(options["b"].marks["c"]) == f"{file}:3:10"
    assert isinstance(options["b"]["c"], Map)
    assert str(options["b"]["c"].marks[1]) == f"{file}:3:10"


def test_everything_wrong_is_said_at_once_at_its_place(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _options(tmp_path, 'r:\n  a: "{{ nothing }}"\n  b: ["{{ number | rot13 }}"]\n')
    found = caught.value.diagnostics()
    assert [(each.mark and each.mark.line, each.mark and each.mark.column) for each in found] == [
        (2, 6),
        (3, 7),
    ]
    assert "'nothing' is undefined" in found[0].message
    assert "'rot13'" in found[1].message


@pytest.mark.parametrize(
    "text",
    [
        'r: {x: "{{ a }}"}\na: "{{ b }}"\nb: "{{ a }}"',
        'r: {x: "{{ r.x }}"}',
        'r: {x: "{{ a }}"}\na: "{{ hostvars[inventory_hostname].a }}"',
        'r: {x: "{{ v0 }}"}\n'
        + "\n".join(f'v{n}: "{{{{ v{n + 1} }}}}"' for n in range(60))
        + "\nv60: 1",
    ],
)
def test_templates_end(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"refers? to (itself|one another)"):
        _options(tmp_path, text)


def test_what_no_template_is_in_stays_shared(tmp_path: Path) -> None:
    inventory = _inventory(
        tmp_path, group_vars__all='r: {a: 1}\nt: {a: "{{ number }}", b: {c: 1}}\n'
    )
    reader = Reader(inventory)
    one, two = list(inventory.hosts.values())[:2]
    assert reader.options(one, "r") is reader.options(two, "r")
    assert reader.options(one, "r") is one.merged("r")
    assert reader.options(one, "t") is reader.options(one, "t")
    assert [reader.options(host, "t")["a"] for host in (one, two)] == [1, 2]
    assert reader.options(one, "t")["b"] is reader.options(two, "t")["b"]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("same", True),
        ("{{ zone }}", True),
        ("{{ inventory_hostname }}", False),
        ("{{ number }}", False),
        ("{{ 1 if number == 1 else true }}", False),
        ("{{ 1 if number == 1 else 1.0 }}", False),
        ("{{ 1 if number == 1 else '1' }}", False),
        ("{{ shape }}", False),
        ("{{ place }}", False),
        ("{{ several }}", False),
        ("{{ zone if key else zone }}", False),  # one of them met a secret
    ],
)
def test_what_templates_give_alike_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, same: bool
) -> None:
    monkeypatch.setenv("TEST_SECRET", "hidden-word")
    everywhere = f'zone: z\nt: {{a: "{{{{ zone }}}}", b: {{c: "{text}", d: [1]}}}}\n'
    own = {
        "host_vars/mx1.example.com": "shape: [a]\nplace: {a: 1}\nseveral: [a, {b: x}]\nkey: ''\n",
        "host_vars/mx2.example.com": "shape: {a: 1}\nplace:\n  a: 1\nseveral: [a, {c: x}]\n"
        "key: !env TEST_SECRET\n",
    }
    inventory = _inventory(tmp_path, **{"group_vars/all": everywhere}, **own)
    reader = Reader(inventory)
    one, two = (reader.options(host, "t") for host in list(inventory.hosts.values())[:2])
    assert (one is two) is same
    assert one["b"]["d"] is two["b"]["d"]


def test_options_under_an_umbrella_are_read_one_role_at_a_time(tmp_path: Path) -> None:
    inventory = _inventory(
        tmp_path, group_vars__all='provisioner: {r: {a: "{{ number }}"}, s: {b: !env NOT_SET}}\n'
    )
    reader = Reader(inventory)
    host = inventory.hosts["mx1.example.com"]
    assert reader.options_inside(host, "provisioner", "r") == {"a": 1}
    with pytest.raises(InputError, match="NOT_SET"):
        reader.options_inside(host, "provisioner", "s")


# ---- secrets ------------------------------------------------------------------------


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    return tmp_path / "calls"


def _secret_inventory(root: Path, counter: Path) -> Inventory:
    (root / "group_vars").mkdir()
    (root / "group_vars" / "pass").write_text("from-a-file\n", encoding="utf-8")
    code = f"open({str(counter)!r}, 'a').write('x'); print('from-a-program')"
    command = f"!command [{sys.executable}, -c, {code!r}]".replace("'", '"', 0)
    text = (
        "r:\n  e: !env TEST_SECRET\n  f: !file pass\n"
        f"  c: {command}\n"
        '  t: "user:{{ plain }}"\n  u: "{{ plain | upper }}"\n  n: "{{ number }}"\n'
        "plain: !env TEST_SECRET\nother: !env NOT_SET\n"
    )
    return _inventory(root, group_vars__all=text)


def test_references_are_opened_once_and_only_when_needed(
    tmp_path: Path, counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SECRET", "from-environment")
    inventory = _secret_inventory(tmp_path, counter)
    reader = Reader(inventory)
    one, two = list(inventory.hosts.values())[:2]
    assert not counter.exists()
    options = reader.options(one, "r")
    assert options == {
        "e": "from-environment",
        "f": "from-a-file",
        "c": "from-a-program",
        "t": "user:from-environment",
        "u": "FROM-ENVIRONMENT",
        "n": 1,
    }
    secret = {key for key, value in options.items() if isinstance(value, SecretText)}
    assert secret == set(options) - {"n"}, "what a template makes of a secret is one"
    reader.options(two, "r")
    assert counter.read_text("utf-8") == "x"
    with pytest.raises(InputError, match="no environment variable NOT_SET"):
        reader.variable(one, "other")


def test_each_host_tells_the_secrets_it_met(
    tmp_path: Path, counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SECRET", "from-environment")
    inventory = _inventory(tmp_path, group_vars__all="r: {e: !env TEST_SECRET}\n")
    reader = Reader(inventory)
    for host in inventory.hosts.values():
        with collecting() as found:
            reader.options(host, "r")
        assert list(found) == ["from-environment"], host.name
    with collecting() as found:
        reader.variable(inventory.hosts["mx1.example.com"], "number")
    assert not found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("!env NOT_SET", "no environment variable NOT_SET"),
        ("!file nowhere", "no such file"),
        ("!command [/bin/false]", "/bin/false failed \\(status 1\\)"),
        ("!command [no-such-program]", "no-such-program cannot be run"),
        ("!command [echo]", "gives nothing"),
        ("!command [sh, -c, 'echo broken >&2; exit 3']", "status 3\\): broken"),
        ("!vault not-a-vault", "starts with"),
    ],
)
def test_a_secret_that_cannot_be_opened_is_said_at_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    inventory = _inventory(tmp_path, group_vars__all=f"r: {{x: {text}}}\n")
    (tmp_path / "password").write_text("x", encoding="utf-8")
    reader = Reader(inventory, Secrets(vault_from([str(tmp_path / "password")], [])))
    for host in list(inventory.hosts.values())[:2]:
        with pytest.raises(InputError, match=says) as caught:
            reader.options(host, "r")
        assert str(caught.value.mark) == f"{tmp_path / 'group_vars' / 'all'}:1:8"
        assert caught.value.help


def test_placeholders_open_nothing_and_tell_what_is_written(tmp_path: Path, counter: Path) -> None:
    inventory = _secret_inventory(tmp_path, counter)
    host = inventory.hosts["mx1.example.com"]
    first = Reader(inventory, Placeholders()).options(host, "r")
    assert not counter.exists()
    assert first == Reader(inventory, Placeholders()).options(host, "r")
    assert first["e"] != first["f"]
    assert first["t"] == f"user:{first['e']}"


# ---- masking ------------------------------------------------------------------------


def test_what_is_remembered_is_masked_in_any_form() -> None:
    secrets.remember('pa"ss\nword-of-some-length-here')
    assert secrets.masked('it is pa"ss\nword-of-some-length-here!') == "it is ***!"
    assert secrets.masked('{"x": "pa\\"ss\\nword-of-some-length-here"}') == '{"x": "***"}'
    assert secrets.masked("a line: word-of-some-length-here") == "a line: ***"


def test_short_secrets_are_found_as_words() -> None:
    pattern = secrets.pattern_of(["ab"])
    assert pattern is not None
    assert pattern.search("x ab y")
    assert not pattern.search("cab")
    assert secrets.pattern_of([]) is None
