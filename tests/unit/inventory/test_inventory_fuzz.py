"""Whatever the text: an inventory, or an InputError that says where."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from provisioner.errors import InputError
from provisioner.inventory import Inventory, load_inventory
from provisioner.inventory.addresses import expand
from provisioner.inventory.export import graph_lines, to_list
from provisioner.inventory.site import Site, load_site

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: What the formats are made of, so that random texts get past the first character.
WORDS = """
[ ] { } : , - = # ; & * ! !vault !unsafe << | > ' " \\ ~ @ % all: hosts: children: vars: [g]
[g:vars] [g:children] [all:children] g h1 mx[1:3] [a:c] [::1]:22 a=1 1 2 0x1 --- ... null yes {{
}} &a *a $ANSIBLE_VAULT;1.1 ansible_group_priority=x 2020-13-01 1e999 plugin: [1,2] {'a':1} b'x'
ungrouped
"""
PIECES = st.sampled_from(
    [*WORDS.split(), "\t", "\n", "\n  ", "\n    ", "\x00", "\ufeff", "\u2028", "\x85"]
)
TEXTS = st.one_of(
    st.text(),
    st.lists(PIECES, max_size=40).map("".join),
    st.lists(PIECES, max_size=30).map(" ".join),
)
CONTENTS = st.one_of(TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary())


def outcome(call: Callable[[], T]) -> T | InputError:
    """What `call` gives, or the InputError it raises; anything else fails the test."""
    try:
        return call()
    except InputError as error:
        return error


def is_pointed(error: object) -> bool:
    return isinstance(error, InputError) and all(
        each.message and each.mark for each in error.diagnostics()
    )


@settings(deadline=None, max_examples=300)
@given(
    content=CONTENTS,
    name=st.sampled_from(["hosts", "hosts.yml", "hosts.ini", "hosts.json"]),
    variables=CONTENTS,
)
def test_any_file_is_an_inventory_or_an_input_error(
    content: bytes, name: str, variables: bytes
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / name).write_bytes(content)
        (root / "group_vars").mkdir()
        (root / "group_vars" / "all").write_bytes(variables)
        loaded = outcome(lambda: load_inventory([root / name]))
        if not isinstance(loaded, Inventory):
            assert is_pointed(loaded)
            return
        assert json.dumps(to_list(loaded))
        assert next(graph_lines(loaded)) == "@all:"
        for host in loaded.hosts.values():
            merged = outcome(lambda host=host: host.merged("a"))  # type: ignore[misc]
            assert isinstance(merged, dict) or is_pointed(merged)


@settings(deadline=None, max_examples=100)
@given(content=CONTENTS)
def test_any_file_is_a_site_or_an_input_error(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "site.yml"
        path.write_bytes(content)
        site = outcome(lambda: load_site(path))
        if isinstance(site, Site):
            assert all(play.hosts and play.roles for play in site.plays)
        else:
            assert is_pointed(site)


@settings(deadline=None, max_examples=300)
@given(pattern=st.one_of(st.text(alphabet="[]:ab019-.,é "), TEXTS))
def test_any_pattern_is_hosts_or_an_input_error(pattern: str) -> None:
    if "@" in pattern:
        return  # names a file
    loaded = load_inventory(["mx1,mx2,b9,"])
    found = outcome(lambda: loaded.select(pattern))
    assert found
    assert isinstance(found, list) or found.help


@settings(deadline=None, max_examples=300)
@given(pattern=st.text(alphabet="[]:abcYZ019-. "))
def test_any_range_is_hosts_or_a_value_error(pattern: str) -> None:
    try:
        hosts = expand(pattern)[0]
    except ValueError as error:
        hosts = [str(error)]
    assert all(isinstance(host, str) for host in hosts)
