"""Secrets kept elsewhere: environment variables, files, and what programs print.

Also where vault passwords come from, which is the same: a file, a program, a person.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from provisioner.diagnostics import nearest, printable
from provisioner.errors import InputError
from provisioner.inventory.readfile import read_text
from provisioner.inventory.values import SecretReference
from provisioner.inventory.vault import Vault, VaultPassword
from provisioner.marks import Mark
from provisioner.secrets import Secret

#: Longest time one program may take to print a secret, in seconds.
SECONDS = 60.0
#: Most that is taken for a secret, in bytes.
MAX_SECRET_BYTES = 1 << 20

PASSWORD_FILE_VARIABLE = "ANSIBLE_VAULT_PASSWORD_FILE"  # noqa: S105 - a variable's name
_DEFAULT_LABEL = "default"


def open_reference(reference: SecretReference) -> str:
    """The secret that `reference` names, without the line end behind it.

    Paths are relative to the folder of the file that names them, which is also where
    programs run. Raises InputError at the reference.
    """
    folder = Path(reference.mark.file).parent
    if reference.kind == "env":
        text = _from_environment(reference.arguments[0], reference.mark)
    elif reference.kind == "file":
        text = _from_file(folder / Path(reference.arguments[0]).expanduser(), reference.mark)
    else:
        text = _from_program(reference.arguments, folder, reference.mark)
    if not text:
        raise InputError(
            f"!{reference.kind} {printable(reference.arguments[0])} gives nothing",
            mark=reference.mark,
            help="a secret is not empty",
        )
    return text


def _from_environment(name: str, mark: Mark) -> str:
    value = os.environ.get(name)
    if value is None:
        guess = nearest(name, os.environ)
        raise InputError(
            f"there is no environment variable {printable(name)}",
            mark=mark,
            help=f"did you mean {guess}?" if guess else "set it where provisioner runs",
        )
    return value


def _from_file(path: Path, mark: Mark) -> str:
    try:
        text = read_text(path)
    except InputError as error:
        raise InputError(
            f"{path}: {error.message}",
            mark=mark,
            help="the path is relative to the folder of this file",
        ) from None
    if len(text) > MAX_SECRET_BYTES:
        raise InputError(f"{path} is too large for a secret", mark=mark, help="1 MiB at most")
    return _without_line_end(text)


def _from_program(words: Sequence[str], folder: Path, mark: Mark | None) -> str:
    """What the program prints. Of its complaints the last line is shown, nothing else."""
    name = printable(words[0])
    import subprocess  # most secrets need no program

    by_hand = "run it by hand; what it prints on standard output is the secret"
    try:
        done = subprocess.run(
            list(words),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{name} took longer than {SECONDS:g} s", mark=mark, help=by_hand
        ) from None
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise InputError(f"{name} cannot be run: {reason}", mark=mark, help=by_hand) from None
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        why = f": {printable(last)}" if last else ""
        raise InputError(f"{name} failed (status {done.returncode}){why}", mark=mark, help=by_hand)
    if len(done.stdout) > MAX_SECRET_BYTES:
        raise InputError(f"{name} prints too much for a secret", mark=mark, help=by_hand)
    try:
        return _without_line_end(done.stdout.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"{name} prints what is no UTF-8 text", mark=mark, help=by_hand) from None


def _without_line_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


# ---- passwords of vaults ------------------------------------------------------------


def vault_from(files: Iterable[str], ids: Iterable[str], *, ask: bool = False) -> Vault:
    """The vault that the options --vault-id, --vault-password-file and --ask-vault-pass say.

    ANSIBLE_VAULT_PASSWORD_FILE counts beside them. Nothing is read before it is needed.
    """
    passwords = [_of_id(each) for each in ids]
    named = [*files, *filter(None, [os.environ.get(PASSWORD_FILE_VARIABLE)])]
    passwords += [_password(_DEFAULT_LABEL, source) for source in dict.fromkeys(named)]
    if ask:
        passwords.append(_password(_DEFAULT_LABEL, "prompt"))
    return Vault(passwords)


def _of_id(text: str) -> VaultPassword:
    label, at, source = text.rpartition("@")
    if at and not source:
        raise InputError(
            f'"{printable(text)}" is no vault id',
            help="write --vault-id LABEL@FILE or LABEL@prompt",
        )
    return _password(label or _DEFAULT_LABEL, source)


def _password(label: str, source: str) -> VaultPassword:
    if source in ("prompt", "prompt_ask_vault_pass"):
        return VaultPassword(label, "the password typed in", partial(_prompt, label))
    path = Path(os.path.abspath(Path(source).expanduser()))  # noqa: PTH100 - links are kept
    read: Callable[[], str] = partial(_password_file, path, label)
    return VaultPassword(label, source, lambda: _not_empty(read(), path))


def _prompt(label: str) -> Secret:
    which = "" if label == _DEFAULT_LABEL else f" ({label})"
    try:
        return Secret(getpass.getpass(f"Vault password{which}: "))
    except EOFError:
        raise InputError("no vault password was typed in", help="--vault-password-file") from None


def _password_file(path: Path, label: str) -> str:
    """A file's text; an executable one is run. Programs whose name ends in -client are told
    the label, as ansible tells them."""
    mark = Mark(str(path))
    if not os.access(path, os.X_OK) or path.is_dir():
        return _read_any(path, mark).strip()
    words = [str(path)]
    if path.stem.endswith("-client"):
        words += ["--vault-id", label]
    return _from_program(words, Path.cwd(), mark)


def _read_any(path: Path, mark: Mark) -> str:
    """As `read_text`, but a pipe will do, too: `--vault-password-file <(pass show vault)`."""
    try:
        with path.open("rb") as source:
            return source.read(MAX_SECRET_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("the vault password is no UTF-8 text", mark=mark) from None
    except OSError as error:
        raise InputError(
            f"the vault password cannot be read: {error.strerror}",
            mark=mark,
            help="check the path and its permissions",
        ) from None


def _not_empty(text: str, path: Path) -> Secret:
    if not text:
        raise InputError("the vault password is empty", mark=Mark(str(path)), help="write it there")
    return Secret(text)
