"""The desired state of every host at a git revision, or now: offline, every secret closed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from provisioner.cli.options import Common
from provisioner.diagnostics import Diagnostic
from provisioner.errors import InputError
from provisioner.inventory import Host, Inventory, load_inventory
from provisioner.inventory.opening import Placeholders
from provisioner.inventory.reading import Reader
from provisioner.inventory.references import vault_from
from provisioner.inventory.revisions import top_of, write_revision
from provisioner.inventory.sealed import SealedMap
from provisioner.inventory.site import default_inventory, find_site, load_site
from provisioner.inventory.vault import Vault
from provisioner.marks import Mark
from provisioner.planning.differences import State
from provisioner.planning.manifest import digest_of
from provisioner.roles.desired import UMBRELLA, desired_states
from provisioner.roles.loading import RoleLibrary

States = Mapping[str, State]


class _ClosedVault(Vault):
    """Leaves files of variables closed: they say nothing. Encrypted inventories it opens."""

    def open(self, text: str, mark: Mark | None) -> str:
        folders = Path(mark.file).parts if mark else ()
        if "group_vars" in folders or "host_vars" in folders:
            return ""
        return super().open(text, mark)


@dataclass(frozen=True)
class _Place:
    """A site file and the inventories that go with it."""

    site: Path
    sources: Sequence[str]


def now(options: Common) -> States:
    """As the files here say. Raises InputError."""
    place = _here(options)
    return _states(options, place, top=None)


def at(options: Common, revision: str) -> States:
    """As the files of `revision` say; no hosts where it has no site file or inventory yet.

    Raises InputError; its places are those of `REVISION:FILE`.
    """
    here = _here(options)
    top = top_of(here.site.parent.resolve())
    with tempfile.TemporaryDirectory(prefix="provisioner-") as scratch:
        root = Path(scratch).resolve() / "tree"
        root.mkdir()
        if not write_revision(top, revision, root):
            return {}
        site = _moved(here.site, top, root)
        sources = [
            each if _is_list(each) else str(_moved(Path(each), top, root)) for each in here.sources
        ]
        if not site.is_file() or not all(_is_list(each) or Path(each).exists() for each in sources):
            return {}
        with _named_after(revision, root):
            states = _states(options, _Place(site, sources), root)
        return {name: _placed(state, f"{root}/", f"{revision}:") for name, state in states.items()}


def _here(options: Common) -> _Place:
    site = find_site(Path(), options.site)
    sources = options.sources or (str(default_inventory(site)),)
    return _Place(site, sources)


def _is_list(source: str) -> bool:
    return "," in source and not Path(source).exists()


def _moved(path: Path, top: Path, root: Path) -> Path:
    """Where `path` of the working tree `top` is in the copy at `root`."""
    absolute = path.absolute().parent.resolve() / path.name
    if not absolute.is_relative_to(top):
        raise InputError(
            f"{path} is outside the git repository {top}",
            help="only what is under git has revisions",
        )
    return root / absolute.relative_to(top)


def _states(options: Common, place: _Place, top: Path | None) -> dict[str, State]:
    known = vault_from(options.vault_password_files, options.vault_ids, ask=options.ask_vault_pass)
    vault = _ClosedVault(known.passwords)
    inventory = load_inventory(place.sources, beside=place.site.parent, vault=vault)
    site = load_site(place.site)
    assigned = site.assign(inventory)
    matching = _matching(inventory, options.limit, now=top is None)
    hosts = [host for host in matching if assigned.get(host.name)]
    library = RoleLibrary(place.site.parent / "roles")
    reader = Reader(inventory, Placeholders(), merged={*library.names(), "mail", UMBRELLA})
    desired = desired_states(
        hosts,
        assigned,
        library,
        {},
        today=datetime.now().astimezone().date(),
        folder=place.site.parent,
        reader=reader,
    )
    base = (top or top_of(place.site.parent.resolve())).resolve()
    return {host.name: State(desired[host.name], _encrypted(host, base)) for host in hosts}


def _matching(inventory: Inventory, limit: str | None, *, now: bool) -> list[Host]:
    if not limit:
        return list(inventory.hosts.values())
    # A host that is new now need not have been there then.
    return inventory.select(limit) if now else inventory.match(limit)


def _encrypted(host: Host, base: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for layer in host.layers:
        if isinstance(layer, SealedMap) and layer.mark is not None:
            file = Path(layer.mark.file).resolve()
            name = file.relative_to(base) if file.is_relative_to(base) else file
            found[str(name)] = digest_of(layer.text)
    return found


def touched_since(options: Common, revision: str) -> list[str]:
    """The hosts whose desired state is not what it was at `revision`. Raises InputError."""
    before = at(options, revision)
    return [
        host
        for host, state in now(options).items()
        if host not in before or before[host].digest != state.digest
    ]


@contextmanager
def _named_after(revision: str, root: Path) -> Iterator[None]:
    """Errors inside name `REVISION:FILE`, not the copy that is gone once they are read."""
    prefix, shown = f"{root}/", f"{revision}:"
    try:
        yield
    except InputError as error:
        raise InputError.of(_renamed(each, prefix, shown) for each in error.diagnostics()) from None


def _placed(state: State, prefix: str, shown: str) -> State:
    """`state`, its resources said to come from `REVISION:FILE`."""
    resources = [
        replace(each, origin=replace(each.origin, mark=_mark(each.origin.mark, prefix, shown)))
        for each in state.desired.resources
    ]
    return replace(state, desired=replace(state.desired, resources=tuple(resources)))


def _mark(mark: Mark | None, prefix: str, shown: str) -> Mark | None:
    if mark is None or not mark.file.startswith(prefix):
        return mark
    return replace(mark, file=shown + mark.file.removeprefix(prefix))


def _renamed(found: Diagnostic, prefix: str, shown: str) -> Diagnostic:
    return replace(
        found,
        message=found.message.replace(prefix, shown),
        help=found.help.replace(prefix, shown),
        mark=_mark(found.mark, prefix, shown),
    )
