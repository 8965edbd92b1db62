"""Finding and importing roles: those beside the site file first, then the shipped ones."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.diagnostics import nearest
from provisioner.errors import InputError
from provisioner.marks import Mark
from provisioner.policy.conversation import PolicyTest
from provisioner.resources.restriction import Contribution
from provisioner.roles.interface import HostContext, RoleOptions

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Role:
    """A loaded role. `tests` says what it promises; many promise nothing that can be asked."""

    name: str
    folder: Path
    options: type[RoleOptions]
    resources: Callable[[RoleOptions, HostContext], Iterable[Contribution]]
    summary: str
    tests: Callable[[RoleOptions, HostContext], Iterable[PolicyTest]] | None = None

    @property
    def file(self) -> str:
        return str(self.folder / "role.py")


def shipped_folder() -> Path:
    """Where the shipped roles are: inside an installed package, or beside it in a checkout."""
    installed = _PACKAGE / "shipped"
    return installed if installed.is_dir() else _PACKAGE.parent.parent / "roles"


class RoleLibrary:
    """The roles of one site: `folders` are searched in order, each role imported once.

    Their options have descriptions once they are `described`.
    """

    def __init__(self, *folders: Path) -> None:
        searched = (*folders, shipped_folder())
        self.folders = tuple(dict.fromkeys(f.resolve() for f in searched if f.is_dir()))
        self._loaded: dict[str, Role] = {}

    def names(self) -> list[str]:
        """All names that can be used, sorted."""
        return sorted(
            {
                folder.name
                for base in self.folders
                for folder in base.iterdir()
                if (folder / "role.py").is_file()
            }
        )

    def __iter__(self) -> Iterator[Role]:
        return (self.load(name) for name in self.names())

    def load(self, name: str, mark: Mark | None = None) -> Role:
        """Raises `InputError` (at `mark`) for a role that is not there or cannot be used."""
        if name not in self._loaded:
            self._loaded[name] = self._import(name, mark)
        return self._loaded[name]

    def _import(self, name: str, mark: Mark | None) -> Role:
        for base in self.folders:
            file = base / name / "role.py"
            if name.isidentifier() and file.is_file():
                return _load_file(name, file, mark)
        near = nearest(name, self.names())
        raise InputError(
            f"there is no role {name!r}",
            mark=mark,
            help=f"did you mean {near}?" if near else _known(self.names(), self.folders),
        )


def _known(names: Sequence[str], folders: Sequence[Path]) -> str:
    places = ", ".join(str(folder) for folder in folders)
    return f"the roles are {', '.join(names)} (searched in {places})"


def _load_file(name: str, file: Path, mark: Mark | None) -> Role:
    module_name = f"provisioner_roles.{name}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"role {name}: {file} cannot be loaded", mark=mark)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = line_of(error, str(file))
        raise InputError(
            f"role {name}: {type(error).__name__}: {error}", mark=Mark(str(file), line)
        ) from error
    options = getattr(module, "Options", None)
    resources = getattr(module, "resources", None)
    if not (isinstance(options, type) and issubclass(options, RoleOptions)):
        raise InputError(f"role {name} has no class Options(RoleOptions)", mark=Mark(str(file)))
    if not callable(resources):
        raise InputError(
            f"role {name} has no function resources(options, host)", mark=Mark(str(file))
        )
    tests = getattr(module, "tests", None)
    if tests is not None and not callable(tests):
        raise InputError(
            f"role {name}: tests is no function tests(options, host)", mark=Mark(str(file))
        )
    summary = (module.__doc__ or "").strip().partition("\n")[0]
    return Role(name, file.parent, options, resources, summary, tests)


def line_of(error: BaseException, file: str) -> int:
    """The line of `file` that the error came from, 0 if none."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno or 0
    line = 0
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
