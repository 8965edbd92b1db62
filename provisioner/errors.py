"""Exit codes and the exception tree.

::

    ProvisionerError            exit 1: a fault of ours, or a base to catch all
    ├── InputError              exit 3: files, options or usage; carries diagnostics
    └── HostError               one host's failure: host, step, cause
        ├── Unreachable         exit 5: no connection, host key, login
        ├── Failed              exit 4: the host answered, a step failed
        │   └── RolledBack      exit 4: a change failed and was undone; the host is healthy
        ├── Stale               exit 7: the host moved on since it was planned
        ├── Locked              exit 7: another transaction holds the host
        └── Conflict            exit 8: needs a human

Exceptions end one host's work and become values (`fleet.Outcome`); they never
cross from one host to another.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from provisioner.diagnostics import Diagnostic, Severity, printable
from provisioner.marks import Mark
from provisioner.secrets import masked


class ExitCode(IntEnum):
    """What the process says when it ends; `worst` decides when several apply."""

    OK = 0
    INTERNAL = 1
    PENDING = 2
    USAGE = 3
    HOST_FAILED = 4
    UNREACHABLE = 5
    ROLLOUT_STOPPED = 6
    STALE = 7
    NEEDS_HUMAN = 8
    INTERRUPTED = 130


_SEVERITY = (130, 1, 3, 8, 4, 6, 7, 5, 2, 0)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The code that a run which met all of `codes` ends with."""
    return min(codes, key=lambda code: _SEVERITY.index(code), default=ExitCode.OK)


class ProvisionerError(Exception):
    """Anything this program raises on purpose. `help` says what to do about it."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, *, help: str = "") -> None:  # noqa: A002 - the word users see
        super().__init__(message)
        self.message = message
        self.help = help

    def diagnostics(self) -> list[Diagnostic]:
        """The error as things to print."""
        return [Diagnostic(self.message, help=self.help)]


class InputError(ProvisionerError):
    """Something the user wrote cannot be used; says where."""

    exit_code = ExitCode.USAGE

    def __init__(
        self,
        message: str,
        *,
        mark: Mark | None = None,
        help: str = "",  # noqa: A002 - the word users see
        also: Iterable[Diagnostic] = (),
    ) -> None:
        super().__init__(message, help=help)
        self.mark = mark
        self._all = [Diagnostic(message, mark, help), *also]

    @classmethod
    def of(cls, found: Iterable[Diagnostic]) -> InputError:
        """One error out of several findings (at least one), in the order given."""
        first, *rest = [each for each in found if each.severity is Severity.ERROR]
        return cls(first.message, mark=first.mark, help=first.help, also=rest)

    def diagnostics(self) -> list[Diagnostic]:
        return list(self._all)


class HostError(ProvisionerError):
    """One host's work ended at `step`. `message` is the cause, in one line."""

    exit_code = ExitCode.HOST_FAILED

    def __init__(self, host: str, step: str, message: str, *, help: str = "") -> None:  # noqa: A002
        # Imported late: `--help` loads next to nothing.
        from provisioner.postfix.sensitive import mask_text

        super().__init__(printable(mask_text(masked(message))), help=masked(help))
        self.host = host
        self.step = step

    def __str__(self) -> str:
        return f"{self.host}: {self.step}: {self.message}"

    def diagnostics(self) -> list[Diagnostic]:
        return [Diagnostic(str(self), help=self.help)]


class Unreachable(HostError):  # noqa: N818 - named as the outcome is
    exit_code = ExitCode.UNREACHABLE


class Failed(HostError):  # noqa: N818
    exit_code = ExitCode.HOST_FAILED


class RolledBack(Failed):
    exit_code = ExitCode.HOST_FAILED


class Stale(HostError):  # noqa: N818
    exit_code = ExitCode.STALE


class Locked(HostError):  # noqa: N818
    exit_code = ExitCode.STALE


class Conflict(HostError):  # noqa: N818
    exit_code = ExitCode.NEEDS_HUMAN
