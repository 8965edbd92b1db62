"""The policy tests that shipped roles bring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from shipped import LIBRARY, context

from provisioner.policy.conversation import PolicyTest
from provisioner.policy.strangers import placed, surroundings
from provisioner.policy.wording import expected, spoken
from provisioner.roles.options import validate

CASES = yaml.safe_load(
    (Path(__file__).parents[2] / "cases" / "roles" / "promises.yaml").read_text("utf-8")
)


def promised(role: str, source: Any, **mail: Any) -> list[PolicyTest]:
    """What the role brings, on a host with these facts about mail."""
    loaded = LIBRARY.load(role)
    options, wrong = validate(loaded.options, source, role)
    assert wrong == []
    assert options is not None
    assert loaded.tests is not None
    host = context(role, source, {}, **mail)
    around = surroundings("mx1", [], host.mail.domains, host.mail.networks)
    return [placed(test, around) for test in loaded.tests(options, host)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_role_promises(case: dict[str, Any]) -> None:
    ((role, source),) = case["options"].items()
    tests = promised(role, source, **case.get("mail", {}))
    assert len({test.name for test in tests}) == len(tests)
    lines = [
        f"{t.name} | skipped: {t.skip}" if t.skip
        else f"{t.name} | {spoken(t.conversation)} | {expected(t.expect)}"
        for t in tests
    ]  # fmt: skip
    for wanted in case.get("has", ()):
        assert any(wanted in line for line in lines), "\n".join([wanted, "", *lines])
    for unwanted in case.get("lacks", ()):
        assert not any(unwanted in line for line in lines), "\n".join([unwanted, "", *lines])
    if "exactly" in case:
        assert lines == case["exactly"]
    for test in tests:
        assert test.origin.role == role
        assert test.origin.option


def test_an_attachment_is_one_in_the_message() -> None:
    (test,) = promised("content_checks", {"reject_attachments": ["exe"]})
    message = test.conversation.message
    assert b'\r\nContent-Disposition: attachment; filename="invoice.exe"\r\n' in message
    assert message.endswith(b"--\r\n")
    assert b"\n" not in message.replace(b"\r\n", b"")
