"""A directory that a role made, pruned together with what stands in it."""

from __future__ import annotations

from provisioner.planning import orphans
from provisioner.planning.plan import Orphan, Remove
from provisioner.planning.steps import StepBuilder
from provisioner.resources.observed import Facts, Observed, PathKind, PathState

ABSENT = {"present": False}
DIRECTORY, TABLE = "/etc/postfix/maps", "/etc/postfix/maps/access_client"

OBSERVED = Observed(
    facts=Facts(),
    paths={
        DIRECTORY: PathState(DIRECTORY, PathKind.DIRECTORY, mode=0o755),
        TABLE: PathState(TABLE, PathKind.FILE, mode=0o644, digest="d"),
    },
    manifest={
        "resources": {
            f"file:{DIRECTORY}": {"before": ABSENT},
            f"table:{TABLE}": {"before": ABSENT, "type": "hash"},
        }
    },
)
ORPHANS = [Orphan(f"file:{DIRECTORY}", "absent"), Orphan(f"table:{TABLE}", "absent")]


def test_what_stands_in_a_directory_goes_before_it() -> None:
    steps = StepBuilder(OBSERVED)
    changes, errors = orphans.removal(ORPHANS, OBSERVED)
    assert not errors
    for change in changes:
        for effect in change.effects:
            steps.add(effect)
    assert [each.path for each in steps.finish() if isinstance(each, Remove)] == [TABLE, DIRECTORY]


def test_a_pruned_resource_says_that_nobody_declares_it() -> None:
    for change in orphans.removal(ORPHANS, OBSERVED)[0]:
        assert str(change.origin) == "no role declares it any more"
