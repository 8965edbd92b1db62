"""From inventory variables to a `Target`: Ansible's names, and their old aliases. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner.diagnostics import nearest
from provisioner.errors import InputError
from provisioner.inventory.values import SecretReference, UnsafeText, VaultValue, kind_of
from provisioner.marks import Mark, find_mark
from provisioner.secrets import Secret
from provisioner.transport.base import Target
from provisioner.transport.shell import is_user_name
from provisioner.transport.sshargs import parse_ssh_args

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Each setting's variables. As in Ansible, where several are set the last one counts.
VARIABLES = {
    "address": ("ansible_host", "ansible_ssh_host"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "password": ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"),
    "private_key_file": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
    "become": ("ansible_become",),
    "become_user": ("ansible_become_user", "ansible_sudo_user"),
    "become_method": ("ansible_become_method",),
    "become_password": ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"),
    "connection": ("ansible_connection",),
}

#: Variables with options of ssh; an option given in an earlier one wins.
SSH_ARGS = ("ansible_ssh_extra_args", "ansible_ssh_common_args", "ansible_ssh_args")

_CONNECTIONS = {
    "ssh": "ssh",
    "smart": "ssh",
    "paramiko": "ssh",
    "paramiko_ssh": "ssh",
    "local": "local",
}
_TRUE = {"yes", "true", "on", "1", "y", "t"}
_FALSE = {"no", "false", "off", "0", "n", "f", ""}


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says (`-u`, `-b`, `-K` ...): counts where no variable does."""

    port: int | None = None
    user: str | None = None
    password: Secret | None = None
    private_key_file: str | None = None
    become: bool = False
    become_user: str = "root"
    become_password: Secret | None = None
    connection: str = "ssh"


def target_of(
    name: str,
    vars: Mapping[str, Any],  # noqa: A002 - the field's own word
    *,
    defaults: Overrides = Overrides(),
    read: Callable[[str], Any] | None = None,
) -> Target:
    """Where host `name` is and how to get in, from its variables.

    `read` gives a variable's value rendered and opened; without it, templates and encrypted
    values are errors. Only what is needed is read: a sudo password that cannot be opened
    is no error on a host that does not become. Raises `InputError` at the variable's place.
    """
    reader = _Reader(vars, read)
    connection = reader.connection(defaults.connection)
    become = reader.flag("become", defaults.become)
    become_user = reader.user("become_user") or defaults.become_user
    if become:
        reader.method()
    return Target(
        name=name,
        address=reader.text("address") or name,
        port=reader.port() or defaults.port,
        user=reader.text("user") or defaults.user,
        password=(reader.secret("password") or defaults.password) if connection == "ssh" else None,
        private_key_file=reader.text("private_key_file") or defaults.private_key_file,
        become=become,
        become_user=become_user,
        become_password=(reader.secret("become_password") or defaults.become_password)
        if become
        else None,
        connection=connection,
        options=reader.ssh_options() if connection == "ssh" else (),
    )


class _Reader:
    """Typed access to one host's connection variables."""

    def __init__(self, variables: Mapping[str, Any], read: Callable[[str], Any] | None) -> None:
        self._vars = variables
        self._read = read

    def _find(self, setting: str) -> tuple[str, Any]:
        names = [each for each in VARIABLES[setting] if self._vars.get(each) is not None]
        return (names[-1], self._value(names[-1])) if names else (VARIABLES[setting][0], None)

    def _value(self, variable: str) -> Any:
        value = self._vars.get(variable)
        return self._read(variable) if self._read and value is not None else value

    def _error(self, variable: str, problem: str, advice: str = "") -> InputError:
        return InputError(f"{variable} {problem}", mark=self._mark(variable), help=advice)

    def _mark(self, variable: str) -> Mark | None:
        return find_mark(self._vars, [variable])

    def _plain(self, variable: str, value: Any) -> str:
        if isinstance(value, (VaultValue, SecretReference)):
            raise self._error(variable, "is a secret, and cannot be opened here")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._error(
                variable, f"must be text, not {kind_of(value)}", "put the value in quotes"
            )
        text = str(value)
        braces = ("{{" in text or "{%" in text) and not isinstance(value, UnsafeText)
        if braces and not self._read:
            raise self._error(
                variable,
                "is a template, and connection variables are taken as they are written",
                "write the value itself",
            )
        if any(not char.isprintable() for char in text):
            raise self._error(variable, "contains a control character", "write it anew")
        return text

    def text(self, setting: str) -> str | None:
        variable, value = self._find(setting)
        if value is None:
            return None
        text = self._plain(variable, value)
        if setting in ("address", "user") and (text.startswith("-") or not text.strip()):
            raise self._error(variable, f"cannot be {text!r}")
        return text

    def user(self, setting: str) -> str | None:
        text = self.text(setting)
        if text is not None and not is_user_name(text):
            raise self._error(
                self._find(setting)[0],
                f"is not a user name: {text!r}",
                "the name of an account on the host, as in its passwd",
            )
        return text

    def secret(self, setting: str) -> Secret | None:
        variable, value = self._find(setting)
        if value is None or isinstance(value, Secret):
            return value
        return Secret(self._plain(variable, value))

    def port(self) -> int | None:
        variable, value = self._find("port")
        if value is None:
            return None
        text = self._plain(variable, value)
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
            raise self._error(variable, f"is not a port: {text!r}", "a number from 1 to 65535")
        return int(text)

    def flag(self, setting: str, default: bool) -> bool:
        variable, value = self._find(setting)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        word = self._plain(variable, value).strip().lower()
        if word not in _TRUE | _FALSE:
            raise self._error(variable, f"is neither yes nor no: {word!r}", "write true or false")
        return word in _TRUE

    def method(self) -> None:
        variable, value = self._find("become_method")
        if value is not None and self._plain(variable, value) not in (
            "sudo",
            "ansible.builtin.sudo",
        ):
            raise self._error(
                variable, f"is {value!r}, and only sudo is supported", "remove it, or write sudo"
            )

    def connection(self, default: str) -> str:
        variable, value = self._find("connection")
        if value is None:
            return default
        word = self._plain(variable, value).removeprefix("ansible.builtin.")
        if word not in _CONNECTIONS:
            likely = nearest(word, _CONNECTIONS)
            raise self._error(
                variable,
                f"is {word!r}, and only ssh and local are supported",
                f"did you mean {likely}?" if likely else "",
            )
        return _CONNECTIONS[word]

    def ssh_options(self) -> tuple[tuple[str, str], ...]:
        found: list[tuple[str, str]] = []
        for variable in SSH_ARGS:
            value = self._value(variable)
            if value is not None:
                text = self._plain(variable, value)
                found += parse_ssh_args(text, variable, self._mark(variable))
        return tuple(found)
