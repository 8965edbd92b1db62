"""Slips in the names of parameters, told from names of one's own."""

from __future__ import annotations

import pytest

from provisioner.postfix.parameternames import meant


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("disable_vrfy_comand", "disable_vrfy_command"),
        ("smtpd_baner", "smtpd_banner"),
        ("smtpd_recipient_restriction", "smtpd_recipient_restrictions"),
        ("mynetwork", "mynetworks"),
        ("Myhostname", "myhostname"),
    ],
)
def test_a_slip_is_told(name: str, parameter: str) -> None:
    assert meant(name, ["yes", "$myhostname ESMTP"]) == parameter


@pytest.mark.parametrize(
    "name",
    [
        "smtpd_banner",
        "slow_destination_rate_delay",
        "slow_initial_destination_concurrency",
        "dovecot_destination_recipient_limit",
        "greylisted_networks",
        "verify_sender_of_partners",
    ],
)
def test_what_may_be_meant_is_no_slip(name: str) -> None:
    assert meant(name, []) is None


def test_a_name_that_values_use_is_ones_own() -> None:
    assert (
        meant("smtpd_client_restriction", ["permit_mynetworks $smtpd_client_restriction"]) is None
    )
