"""Passwords that somebody wrote in clear are not quoted back, nor as a host repeats them."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.cli.main import run
from provisioner.errors import Failed

OPTIONS = {
    "a fault beside it": 'relayhost: {host: a.example, user: "a:b", password: Planted-PW-1}',
    "a fault of another option": "relayhost: {hots: a.example, user: u, password: Planted-PW-2}",
    "a key that is none": "tls: {key_file: x.pem, key_text: Planted-PW-3}",
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_quoted_line_hides_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory" / "group_vars").mkdir(parents=True)
    (tmp_path / "inventory" / "hosts.yml").write_text("all: {hosts: {mx1: {}}}\n")
    variables = tmp_path / "inventory" / "group_vars" / "all.yml"
    variables.write_text(f"postfix:\n  {OPTIONS[name]}\n")
    (tmp_path / "site.yml").write_text("- hosts: all\n  roles: [postfix]\n")
    assert run(["plan"]) == 3
    told = capsys.readouterr()
    assert "all.yml:2:" in told.err
    assert "Planted" not in told.err + told.out


def test_what_a_host_repeats_is_hidden() -> None:
    said = "warning: unused parameter: ldapusers_bind_pw=Planted-PW-4; a.example"
    error = Failed("mx1", "rehearsal", said)
    assert error.message == "warning: unused parameter: ldapusers_bind_pw=***; a.example"
