"""A regular expression that would not come to an end is ended."""

from __future__ import annotations

import signal

import pytest

from provisioner.inventory import filters
from provisioner.inventory.filters import FilterError, regex_replace


def test_it_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MATCHING_SECONDS", 0.2)
    before = signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(FilterError, match="takes too long"):
        regex_replace("a" * 40, "(a+)+b", "")
    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert regex_replace("mx1.example", "[.].*", "") == "mx1"
