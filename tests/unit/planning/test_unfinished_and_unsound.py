"""What a dead run leaves is not forgotten; what Postfix could not read is not written."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.planning import manifest, soundness
from provisioner.resources.observed import Facts, Observed


def remembering(activated: dict[str, str] | None = None, **values: str | None) -> dict[str, Any]:
    return {
        "version": 1,
        "inventory": {"id": "x", "commit": "c"},
        "resources": {
            f"parameter:{name}": {"before": {"present": value is not None, "value": value}}
            for name, value in values.items()
        },
        "activated": activated or {},
    }


def test_a_dead_first_run_is_what_the_host_remembers() -> None:
    merged = manifest.merged(None, remembering({"main.cf": "d"}, biff="no"))
    assert merged is not None
    assert manifest.remembered(merged)["parameter:biff"].value == "no"
    assert merged["activated"] == {}, "nobody knows whether it was"


def test_older_memory_counts_more_than_that_of_a_dead_run() -> None:
    merged = manifest.merged(
        remembering({"main.cf": "old"}, biff="no"), remembering({"main.cf": "new"}, biff="x", a="1")
    )
    values = {address: each.value for address, each in manifest.remembered(merged).items()}
    assert values == {"parameter:biff": "no", "parameter:a": "1"}
    assert merged is not None
    assert merged["activated"] == {"main.cf": "old"}


def test_without_a_dead_run_memory_is_as_it_was() -> None:
    known = remembering(biff="no")
    assert manifest.merged(known, None) is known
    assert manifest.merged(None, None) is None


def test_what_was_activated_of_an_orphan_is_no_reason_to_write() -> None:
    left = remembering({"main.cf": "a", "/etc/postfix/checks": "b"}, biff="no")
    assert manifest.same(left, remembering({"main.cf": "a"}, biff="no"))
    assert not manifest.same(left, remembering({"main.cf": "z"}, biff="no"))
    assert not manifest.same(left, remembering({"main.cf": "a", "/new": "c"}, biff="no"))
    assert not manifest.same(None, left)


@pytest.mark.parametrize(
    ("main", "broken", "place"),
    [
        ("a = 1\n", "", ""),
        ("a = 1\nnonsense\n", "", "/etc/postfix/main.cf:2:1"),
        ("a = ${b\n", "", ""),  # of a parameter that Postfix does not know: never read
        ("x = 1\nmydomain = ${b\n", "postconf: fatal: macro processing error", "main.cf:2:1"),
        ("default_rbl_reply = ${b\n", "something else", ""),
    ],
)
def test_faults_that_a_plan_would_leave(main: str, broken: str, place: str) -> None:
    found = soundness.faults(main, None, Observed(Facts(broken=broken)))
    assert [str(each.mark) for each in found][:1] == [
        each for each in [place if place.startswith("/") else f"/etc/postfix/{place}"] if place
    ]


def test_a_service_with_too_few_fields_is_a_fault() -> None:
    (found,) = soundness.faults(None, "smtp inet n\n", Observed(Facts()))
    assert str(found.mark).startswith("/etc/postfix/master.cf:1")
