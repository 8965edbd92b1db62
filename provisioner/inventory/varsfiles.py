"""`group_vars/` and `host_vars/`: which files speak for a name, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioner.diagnostics import Diagnostic, Severity
from provisioner.errors import InputError
from provisioner.inventory.jsonfile import parse_data
from provisioner.inventory.readfile import VAULT_HEADER, read_text
from provisioner.inventory.sealed import SealedMap
from provisioner.inventory.values import kind_of
from provisioner.marks import Map, Mark

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.inventory.vault import Vault

EXTENSIONS = ("", ".yml", ".yaml", ".json")


class VarsFiles:
    """The variable files of one inventory; each is read once, when first asked for.

    With a `vault`, encrypted ones are opened when a host needs them; without, they are
    left out with a warning.
    """

    def __init__(self, vault: Vault | None = None) -> None:
        self._vault = vault
        #: Whether any file is encrypted and waits to be opened.
        self.sealed = False
        self.warnings: list[Diagnostic] = []
        self.errors: list[Diagnostic] = []
        self._folders: dict[tuple[str, str], Path] = {}
        self._listings: dict[Path, frozenset[str]] = {}
        self._layers: dict[Path, Map | None] = {}

    def has_any(self, base: Path, kind: str) -> bool:
        """Whether `base`/`kind` is a directory with something in it."""
        return bool(self._listing(self._folder(base, kind)))

    def layers(self, base: Path, kind: str, name: str) -> list[Map]:
        """What `base`/`kind` says about `name`: a layer a file, lowest precedence first.

        `kind` is `group_vars` or `host_vars`. Of NAME, NAME.yml, NAME.yaml and
        NAME.json only the first that exists counts; where it is a directory, all in it.
        Broken files are collected in `errors`.
        """
        folder = self._folder(base, kind)
        extensions = self._present(folder, name)
        if not extensions or name.startswith("/") or "\0" in name:
            return []
        found = [folder / f"{name}{extension}" for extension in extensions]
        for ignored in found[1:]:
            self._warn_once(ignored, f"ignored, because {found[0].name} exists and comes first")
        files = self._inside(found[0]) if found[0].is_dir() else [found[0]]
        return [layer for file in files if (layer := self._read(file)) is not None]

    def _folder(self, base: Path, kind: str) -> Path:
        key = (str(base), kind)  # joining and hashing paths is what costs with many hosts
        if key not in self._folders:
            self._folders[key] = base / kind
        return self._folders[key]

    def _present(self, folder: Path, name: str) -> list[str]:
        if "/" in name:  # a name may lead into a subdirectory; rare enough to ask the disk
            return [each for each in EXTENSIONS if (folder / f"{name}{each}").exists()]
        listing = self._listing(folder)
        return [each for each in EXTENSIONS if name + each in listing]

    def _listing(self, folder: Path) -> frozenset[str]:
        if folder not in self._listings:
            names: frozenset[str] = frozenset()
            try:
                names = frozenset(entry.name for entry in folder.iterdir())
            except NotADirectoryError:
                self._warn_once(folder, "not a directory, so ignored")
            except FileNotFoundError:
                pass
            except OSError as error:
                self._fail(folder, f"cannot be read: {error.strerror}", "check its permissions")
            self._listings[folder] = names
        return self._listings[folder]

    def _inside(self, folder: Path) -> list[Path]:
        """The variable files below `folder` in the order in which they apply."""
        files: list[Path] = []
        for name in sorted(self._listing(folder)):
            path = folder / name
            if name.startswith(".") or name.endswith("~"):
                continue
            if path.is_dir():
                files += [] if path.suffix else self._inside(path)
            elif path.is_file() and path.suffix in EXTENSIONS:
                files.append(path)
        return files

    def _read(self, path: Path) -> Map | None:
        if path not in self._layers:
            self._layers[path] = None  # until proven to hold something
            try:
                self._layers[path] = self._parse(path)
            except InputError as error:
                self.errors += error.diagnostics()
        return self._layers[path]

    def _parse(self, path: Path) -> Map | None:
        text = read_text(path)
        if not text.startswith(VAULT_HEADER):
            return self._variables(text, path)
        vault = self._vault
        if vault is None:
            self._warn_once(path, "encrypted as a whole: its variables are not known here")
            return None
        self.sealed = True
        mark = Mark(str(path))
        return SealedMap(text, mark, lambda: self._variables(vault.open(text, mark), path))

    def _variables(self, text: str, path: Path) -> Map | None:
        document = parse_data(text, str(path))
        self.warnings += document.warnings
        value = document.value
        if not value:
            return None
        if not isinstance(value, Map):
            raise InputError(
                f"a file of variables is a mapping; this is {kind_of(value)}",
                mark=getattr(value, "mark", None) or Mark(str(path), 1, 1),
                help='write "name: value" lines',
            )
        if "ansible_group_priority" in value:
            self.warnings.append(
                Diagnostic(
                    "ansible_group_priority has no effect in a file of variables",
                    value.key_marks.get("ansible_group_priority"),
                    "set it in the inventory itself, under the group's vars",
                    Severity.WARNING,
                )
            )
        return value

    def _warn_once(self, path: Path, message: str) -> None:
        found = Diagnostic(message, Mark(str(path)), severity=Severity.WARNING)
        if found not in self.warnings:
            self.warnings.append(found)

    def _fail(self, path: Path, message: str, advice: str) -> None:
        self.errors.append(Diagnostic(message, Mark(str(path)), advice))
