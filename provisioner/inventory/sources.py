"""From what `-i` names to an Inventory: files, directories, lists of hosts."""

from __future__ import annotations

import gc
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import InputError
from provisioner.inventory.addresses import split_port
from provisioner.inventory.build import Builder
from provisioner.inventory.ini import looks_like_ini, read_ini
from provisioner.inventory.jsonfile import parse_data
from provisioner.inventory.layers import LayerBook
from provisioner.inventory.model import Group, Host, Inventory
from provisioner.inventory.readfile import VAULT_HEADER, decode, read_bytes
from provisioner.inventory.script import is_program, read_program
from provisioner.inventory.varsfiles import VarsFiles
from provisioner.inventory.vault import Vault
from provisioner.inventory.yamlgroups import is_plugin, read_yaml_groups
from provisioner.marks import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provisioner.diagnostics import Diagnostic
    from provisioner.inventory.layers import Layers
    from provisioner.inventory.yamlfile import Document

#: Names that are no inventories in a directory of inventories.
_IGNORED = re.compile(
    r"^\.|^(?:host_vars|group_vars|vars_plugins)$"
    r"|(?:\.pyc|\.pyo|\.swp|\.bak|~|\.rpm|\.md|\.txt|\.rst|\.orig|\.cfg|\.retry)$"
)
#: Files of other programs that look like INI or YAML at a glance.
_FOREIGN = frozenset({"Makefile", "GNUmakefile", "pytest.ini", "tox.ini", "mypy.ini"})
_YAML_EXTENSIONS = (".yml", ".yaml", ".json")
_MOVE = "move it out of the directory, or end its name in .txt or .md"
#: Files that are made into others, or are programs: where they cannot be read, nobody meant them.
_RAW_MATERIAL = re.compile(
    r"\.(?:conf|dist|example|j2|jinja2?|php|pl|py|rb|repo|sample|sh|template|tpl|xml)$"
)


def load_inventory(
    sources: Sequence[str | Path], beside: Path | None = None, vault: Vault | None = None
) -> Inventory:
    """Everything that `sources` say, later ones on top of earlier ones.

    A source is an INI or YAML file, a directory of such files, or a comma list of
    hosts (`mx1,mx2,`). `group_vars/` and `host_vars/` are read beside each source and
    in `beside` (the directory of the site file). With a `vault`, encrypted files are opened:
    inventories at once, files of variables when a host needs them; without one, the latter
    are left out with a warning. Raises InputError with all that is wrong: the first fault
    of each inventory file, every fault of files of variables.
    """
    with _collector_off():
        return _load(sources, beside, vault)


@contextmanager
def _collector_off() -> Iterator[None]:
    """What is read stays: looking through it for garbage takes a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _load(sources: Sequence[str | Path], beside: Path | None, vault: Vault | None) -> Inventory:
    builder = Builder()
    errors: list[Diagnostic] = []
    bases: list[Path] = []
    for source in sources:
        try:
            base = _read_source(str(source), builder, vault)
        except InputError as error:
            errors += error.diagnostics()
            continue
        if base is not None:
            bases.append(base)
    if not errors:
        try:
            builder.finish()
        except InputError as error:
            errors += error.diagnostics()
    if errors:
        raise InputError.of(errors)
    if beside is not None:
        bases.append(beside)
    return _complete(builder, _last_of_each(bases), vault)


def _last_of_each(bases: list[Path]) -> list[Path]:
    """Each directory once, where it comes last: there it has its say."""
    return list(reversed(dict.fromkeys(reversed(bases))))


def _complete(builder: Builder, bases: list[Path], vault: Vault | None) -> Inventory:
    files = VarsFiles(vault)
    book = LayerBook(builder, bases, files)
    hosts: dict[str, Host] = {}
    known: dict[tuple[str, ...], tuple[tuple[str, ...], Layers]] = {}
    for draft in builder.hosts.values():
        direct = tuple(draft.direct)
        if direct not in known:
            groups = book.order(builder.memberships(draft))
            known[direct] = groups, book.of_groups(groups)
        groups, shared = known[direct]
        layers = (*shared, *book.of_host(draft))
        hosts[draft.name] = Host(draft.name, groups, layers, len(shared), book, draft.mark)
    groups_read = {
        group.name: Group(
            group.name,
            tuple(group.hosts),
            tuple(child.name for child in group.children),
            group.depth,
            group.priority,
            group.mark,
        )
        for group in builder.groups.values()
    }
    if files.errors:
        raise InputError.of(files.errors)
    return Inventory(hosts, groups_read, [*builder.warnings, *files.warnings])


def _read_source(source: str, builder: Builder, vault: Vault | None) -> Path | None:
    """Read one source into `builder`; the directory in which its variables lie."""
    path = Path(os.path.expandvars(source)).expanduser()
    if "," in source and not os.path.lexists(path):
        _read_host_list(source, builder)
        return None
    if path.is_dir():
        if not _read_directory(path, builder, vault):
            raise InputError(
                "no inventory in this directory",
                mark=Mark(str(path)),
                help="put a file such as hosts.yml into it, or name another with -i",
            )
        return path
    _read_file(path, builder, vault)
    return path.parent


def _read_host_list(source: str, builder: Builder) -> None:
    for word in source.split(","):
        name = word.strip()
        if name:
            host, port = split_port(name, ranges=False) or (name, None)
            if host not in builder.hosts:
                builder.add_host(host, builder.groups["ungrouped"], None, port)


def _read_directory(folder: Path, builder: Builder, vault: Vault | None) -> bool:
    """Read every inventory in `folder`, in the order of their names; whether there is one."""
    found = False
    errors: list[Diagnostic] = []
    try:
        names = sorted(os.fsencode(path.name) for path in folder.iterdir())
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", mark=Mark(str(folder)), help="check permissions"
        ) from None
    for raw in names:
        name = os.fsdecode(raw)
        if _IGNORED.search(name):
            continue
        path = folder / name
        if path.is_dir():
            found = _read_directory(path, builder, vault) or found
            continue
        try:
            found = _read_file(path, builder, vault, among_others=True) or found
        except InputError as error:
            errors += error.diagnostics()
    if errors:
        raise InputError.of(errors)
    return found


def _read_file(
    path: Path, builder: Builder, vault: Vault | None, *, among_others: bool = False
) -> bool:
    """Read one inventory file: a program, YAML by its name, INI by its name, else by what
    it holds.

    `among_others`, a file that evidently is no inventory (a README, a playbook) is left
    out with a warning and False; one that looks like an inventory and is broken is an
    error all the same: its hosts would silently be missing.
    """
    data = read_bytes(path)
    if is_program(path, data):
        read_program(path, builder)
        return True
    try:
        return _read_data(data, path, builder, vault, among_others)
    except InputError as fault:
        if not data.startswith(b"#!"):
            raise
        raise InputError(
            f"this begins as a program, but is not executable; as an inventory: {fault.message}",
            mark=fault.mark,
            help=f"if it is a program: chmod +x {path}",
        ) from None


def _read_data(
    data: bytes, path: Path, builder: Builder, vault: Vault | None, among_others: bool
) -> bool:
    file = str(path)
    if data.startswith(VAULT_HEADER.encode()):
        if among_others and not vault:
            builder.warn(
                "encrypted by ansible-vault and no password is given: skipped", Mark(file), _MOVE
            )
            return False
        data = (vault or Vault()).open(_lenient(data), Mark(file)).encode()
    if path.suffix == ".toml":
        raise InputError(
            "TOML inventories are not read here",
            mark=Mark(file),
            help="convert it: ansible-inventory -i FILE --list --yaml --export",
        )
    document: Document | None = None
    try:
        if not path.suffix or path.suffix in _YAML_EXTENSIONS:
            document = _as_yaml(data, path)
        if among_others:
            _try_out(path, data, document)
    except InputError as fault:
        if not among_others or (document is None and _is_meant(path, data)):
            raise
        advice = fault.help if document and is_plugin(document.value) else _MOVE
        builder.warn(f"this is no inventory, so it is skipped: {fault.message}", fault.mark, advice)
        return False
    if document is None:
        read_ini(data, file, builder)
        return True
    builder.warnings += document.warnings
    if data.strip() == b"{}":
        builder.warn("{} is read as the name of a host, as Ansible does", Mark(file, 1, 1))
        read_ini(data, file, builder)
    elif document.value is None or document.value == {}:
        builder.warn("the inventory is empty", Mark(file))
    else:
        read_yaml_groups(document.value, file, builder)
    return True


def _try_out(path: Path, data: bytes, document: Document | None) -> None:
    """Raise InputError where the file evidently is no inventory; nothing is kept of it."""
    if document is None:
        if _is_foreign(path) or (path.suffix != ".ini" and not looks_like_ini(_lenient(data))):
            read_ini(data, str(path), Builder())
    elif isinstance(document.value, list) or is_plugin(document.value):
        read_yaml_groups(document.value, str(path), Builder())


def _is_foreign(path: Path) -> bool:
    return path.name in _FOREIGN or _RAW_MATERIAL.search(path.name) is not None


def _is_meant(path: Path, data: bytes) -> bool:
    """Whether a file that cannot be read was meant to be an inventory."""
    if _is_foreign(path):
        return False
    groups = re.compile(r"(?:^|[{,\s])[\"']?(?:all|hosts|children)[\"']?\s*:")
    return groups.search(_lenient(data)) is not None


def _as_yaml(data: bytes, path: Path) -> Document | None:
    """The file as YAML, or None where it is INI: Ansible tries YAML first, then INI.

    Raises InputError where it is a broken one of YAML.
    """
    text = _lenient(data)
    try:
        document = parse_data(decode(data, str(path)), str(path))
    except InputError:
        if looks_like_ini(text) or not (path.suffix or _looks_like_yaml(text)):
            return None
        raise
    ini = isinstance(document.value, str) or (
        isinstance(document.value, list)
        and (looks_like_ini(text) or not (path.suffix or _looks_like_yaml(text)))
    )
    return None if ini else document


def _lenient(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _looks_like_yaml(text: str) -> bool:
    """Whether some line of `text` is one that only YAML has."""
    return bool(re.search(r"^\s*(?:---\s*$|[^\s#\[=]+:(?:\s|$)|[{}]|- )", text, re.MULTILINE))
