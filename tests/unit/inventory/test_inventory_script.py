"""Executable inventories that fail; what they say is compared in the contract test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provisioner.errors import InputError
from provisioner.inventory import load_inventory, script

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("echo one >&2; echo 'no credentials' >&2; exit 3", "status 3): no credentials"),
        ("echo '[1]'", "no JSON object"),
        ("echo 'all:'", "no JSON object"),
        ("true", "no JSON object"),
        ("""echo '{"g": {"hosts": "h"}}'""", '"hosts" of group "g"'),
        ("""echo '{"g": {"vars": []}}'""", '"vars" of group "g"'),
        ("""echo '{"g": {"children": "h"}}'""", '"children" of group "g"'),
        ("""echo '{"a": {"children": ["b"]}, "b": {"children": ["a"]}}'""", "contain itself"),
        ("sleep 60", "longer than 0.2 s"),
    ],
)
def test_program_that_fails(
    program: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "inventory.sh"
    path.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
    path.chmod(0o755)
    if "sleep" in program:
        monkeypatch.setattr(script, "SECONDS", 0.2)
    with pytest.raises(InputError) as caught:
        load_inventory([path])
    (found,) = caught.value.diagnostics()
    assert says in found.message
    assert str(path) in str(found.mark)
    assert found.help


def test_an_interpreter_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "inventory.sh"
    path.write_text("#!/nonexistent/interpreter\n", encoding="utf-8")
    path.chmod(0o755)
    with pytest.raises(InputError, match="cannot be run"):
        load_inventory([path])


def test_variables_say_where_they_come_from(tmp_path: Path) -> None:
    path = tmp_path / "inventory.sh"
    path.write_text(
        "#!/bin/sh\n"
        """echo '{"g": {"hosts": ["h"], "vars": {"a": 1}}, "_meta": {"hostvars": {}}}'\n""",
        encoding="utf-8",
    )
    path.chmod(0o755)
    (origin,) = load_inventory([path]).hosts["h"].origins("a")
    assert str(origin.mark) == f"{path} --list:1:33"
