"""The reference for encrypted values is the `ansible-vault` program: it locks, we open."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from provisioner.cli.main import cli
from provisioner.errors import InputError
from provisioner.inventory import Inventory, load_inventory
from provisioner.inventory.opening import Secrets
from provisioner.inventory.reading import Reader
from provisioner.inventory.references import vault_from
from provisioner.inventory.vault import Vault
from provisioner.secrets import SecretText

TEXTS = [
    "hunter2-and-more",
    "",
    "ü, \"quotes\" and 'more'",
    "many\nlines\n",
    "x" * 5000,
    "{{ no }}",
]


def _program() -> str | None:
    beside = Path(sys.executable).parent / "ansible-vault"
    return shutil.which("ansible-vault") or (str(beside) if beside.exists() else None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts that the real program has encrypted, one file each, and with a label."""
    program = _program()
    if program is None:
        why = "ansible-vault is not on PATH"
        if os.environ.get("CI"):
            pytest.fail(f"{why}; install the extra [contract]")
        pytest.skip(why)
    root = tmp_path_factory.mktemp("vault")
    (root / "password").write_text("correct horse\n", encoding="utf-8")
    (root / "other").write_text("another one\n", encoding="utf-8")
    names = []
    for number, text in enumerate(TEXTS):
        (root / f"text{number}").write_text(text, encoding="utf-8")
        names.append(f"text{number}")
    (root / "vars").write_text("sealed_text: from-the-sealed-file\nsealed_port: 5870\n", "utf-8")
    _run(program, root, "encrypt", "--vault-password-file", "password", *names, "vars")
    (root / "labelled").write_text("of the other", encoding="utf-8")
    _run(program, root, "encrypt", "--vault-id", "prod@other", "labelled")
    return root


def _run(program: str, root: Path, *arguments: str) -> None:
    subprocess.run(
        [program, *arguments],
        cwd=root,
        env={"PATH": os.environ["PATH"], "HOME": str(root), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=True,
    )


def _vault(folder: Path, *names: str, ids: tuple[str, ...] = ()) -> Vault:
    return vault_from([str(folder / name) for name in names], ids)


def test_every_text_comes_back(folder: Path) -> None:
    vault = _vault(folder, "password")
    for number, text in enumerate(TEXTS):
        assert vault.open((folder / f"text{number}").read_text("utf-8"), None) == text


def test_of_several_passwords_the_right_one_is_found(folder: Path) -> None:
    text = (folder / "labelled").read_text("utf-8")
    assert text.startswith("$ANSIBLE_VAULT;1.2;AES256;prod")
    assert _vault(folder, "password", "other").open(text, None) == "of the other"
    labelled = _vault(folder, "password", ids=(f"prod@{folder / 'other'}",))
    assert labelled.open(text, None) == "of the other"


def test_a_program_gives_the_password(folder: Path, tmp_path: Path) -> None:
    program = tmp_path / "keys-client"
    program.write_text(
        f'#!/bin/sh\necho "$*" > {tmp_path}/said\ncat {folder}/other\n', encoding="utf-8"
    )
    program.chmod(0o755)
    vault = vault_from([], [f"prod@{program}"])
    assert vault.open((folder / "labelled").read_text("utf-8"), None) == "of the other"
    assert (tmp_path / "said").read_text("utf-8") == "--vault-id prod\n"


@pytest.mark.parametrize(
    ("names", "says", "advises"),
    [
        ((), "encrypted by ansible-vault", "--vault-password-file"),
        (("other",), "no vault password given opens this", "other"),
        (("missing",), "cannot be read: No such file", "path"),
    ],
)
def test_what_cannot_be_opened_says_why(
    folder: Path, names: tuple[str, ...], says: str, advises: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        _vault(folder, *names).open((folder / "text0").read_text("utf-8"), None)
    assert advises in caught.value.help


def test_damaged_text_is_told_from_a_wrong_password(folder: Path) -> None:
    text = (folder / "text0").read_text("utf-8").rstrip()
    with pytest.raises(InputError, match="damaged"):
        _vault(folder, "password").open(text[:-3], None)


# ---- in an inventory ----------------------------------------------------------------


def _inventory(folder: Path, root: Path, vault: Vault | None) -> Inventory:
    value = "".join(f"    {line}\n" for line in (folder / "text0").read_text("utf-8").splitlines())
    (root / "hosts").write_text("[mx]\nmx1\n[closed]\nold\n", encoding="utf-8")
    (root / "group_vars" / "mx").mkdir(parents=True)
    (root / "group_vars" / "closed").mkdir()
    (root / "group_vars" / "mx" / "vars.yml").write_text(
        f"r:\n  open: plain\n  secret: !vault |\n{value}"
        '  both: "{{ sealed_text }}:{{ sealed_port }}"\n  port: "{{ sealed_port }}"\n',
        encoding="utf-8",
    )
    shutil.copy(folder / "vars", root / "group_vars" / "mx" / "vault.yml")
    shutil.copy(folder / "labelled", root / "group_vars" / "closed" / "vault.yml")
    return load_inventory([root / "hosts"], vault=vault)


def test_values_and_files_are_opened_where_a_host_needs_them(folder: Path, tmp_path: Path) -> None:
    vault = _vault(folder, "password")
    inventory = _inventory(folder, tmp_path, vault)
    options = Reader(inventory, Secrets(vault)).options(inventory.hosts["mx1"], "r")
    assert options == {
        "open": "plain",
        "secret": "hunter2-and-more",
        "both": "from-the-sealed-file:5870",
        "port": 5870,
    }
    assert isinstance(options["secret"], SecretText)
    assert isinstance(options["both"], SecretText)
    with pytest.raises(InputError, match="no vault password given opens this") as caught:
        inventory.hosts["old"].merged("r")
    assert caught.value.mark is not None
    assert caught.value.mark.file.endswith("closed/vault.yml")


def test_the_inventory_command_shows_no_secret(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _inventory(folder, tmp_path, None)
    monkeypatch.chdir(tmp_path)
    password = ["--vault-password-file", str(folder / "password")]
    for arguments in (["--host", "mx1"], ["--host", "mx1", "--origins"]):
        shown = CliRunner().invoke(
            cli, ["inventory", "-i", "hosts", *arguments, *password], catch_exceptions=False
        )
        assert shown.exit_code == 0
        told = json.loads(shown.stdout)
        assert "sealed_text" in told
        assert "hunter2" not in shown.output
        assert "from-the-sealed-file" not in shown.output
        assert "5870" not in shown.output
        assert "$ANSIBLE_VAULT" in shown.stdout, "as ansible-inventory prints it"
    without = CliRunner().invoke(cli, ["inventory", "-i", "hosts", "--list"])
    assert without.exit_code == 0
    assert "encrypted as a whole" in without.stderr


def _in_a_terminal(folder: Path, answers: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Exit code and everything on the terminal; each question is answered once it is asked."""
    process, terminal = pty.fork()
    if not process:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "provisioner", *arguments])  # noqa: S606
    seen = b""
    waiting = dict(answers)
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux' way to say that the other side is closed
            break
        if not chunk:
            break
        seen += chunk
        for question in [each for each in waiting if each.encode() in seen]:
            os.write(terminal, waiting.pop(question).encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), seen.decode()


def test_passwords_are_asked_for_where_they_are_needed(folder: Path, tmp_path: Path) -> None:
    _inventory(folder, tmp_path, None)
    show = ["inventory", "-i", "hosts", "--host"]
    code, shown = _in_a_terminal(
        tmp_path, {"Vault password: ": "correct horse"}, *show, "mx1", "--ask-vault-pass"
    )
    assert code == 0, shown
    assert '"sealed_port": "***"' in shown
    assert "correct horse" not in shown
    code, shown = _in_a_terminal(
        tmp_path, {"Vault password (prod): ": "another one"}, *show, "old", "--vault-id=prod@prompt"
    )
    assert "Vault password (prod): " in shown
    assert "another one" not in shown
    # What that file holds is no mapping of variables; it was opened all the same.
    assert (code, "a file of variables is a mapping" in shown) == (3, True)
    code, shown = _in_a_terminal(
        tmp_path, {"Vault password: ": "wrong"}, *show, "mx1", "--ask-vault-pass"
    )
    assert code == 3
    assert "no vault password given opens this" in shown
    assert "group_vars/mx/vault.yml" in shown
