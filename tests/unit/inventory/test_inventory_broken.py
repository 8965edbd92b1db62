"""Broken input: each message names the place, the cause and the cure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from provisioner.errors import ExitCode, InputError
from provisioner.inventory import load_inventory
from provisioner.inventory.site import load_site

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provisioner.diagnostics import Diagnostic

CASES = Path(__file__).parents[2] / "cases" / "inventory" / "broken"


def _cases(name: str) -> list[Any]:
    cases = yaml.safe_load((CASES / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in cases]


def _check(found: list[Diagnostic], says: Iterable[str], prefix: str = "") -> None:
    assert len(found) == len(list(says)), found
    for diagnostic, expected in zip(found, says, strict=True):
        place, message, advice = (part.strip() for part in expected.split(" |"))
        assert str(diagnostic.mark) == prefix + place, diagnostic
        assert message in diagnostic.message
        assert advice in diagnostic.help
        assert diagnostic.help, "an error says what to do"


@pytest.mark.parametrize("case", _cases("inventories.yml"))
def test_broken_inventory(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in case["files"].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    sources = case.get("sources") or [next(iter(case["files"]))]
    with pytest.raises(InputError) as caught:
        load_inventory(sources)
    assert caught.value.exit_code is ExitCode.USAGE
    _check(caught.value.diagnostics(), case["says"])


@pytest.mark.parametrize("case", _cases("sites.yml"))
def test_broken_site(case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site.yml").write_text(case["site"], encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_site(Path("site.yml"))
    _check(caught.value.diagnostics(), case["says"], "site.yml:")
