"""Who is anybody, and who was named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioner.policy.conversation import Client, Conversation, Stage
from provisioner.policy.strangers import Surroundings, is_anybody

NET = Surroundings("203.0.113.25", "postmaster@example.org", "example.net")


@pytest.mark.parametrize(
    ("talk", "anybody"),
    [
        (Conversation(), True),
        (Conversation(recipients=("a@example.com",), until=Stage.RCPT), True),
        (Conversation(client=Client(tls=True)), True),
        (
            Conversation(
                client=Client(NET.stranger, NET.client, NET.client),
                helo=NET.client,
                sender=NET.sender,
            ),
            True,
        ),
        (Conversation(client=Client("80.218.40.251")), False),
        (Conversation(client=Client(name="")), False),
        (Conversation(client=Client(login="alice")), False),
        (Conversation(helo=None), False),
        (Conversation(helo="client.example.net"), False),
        (Conversation(sender=""), False),
        (Conversation(service="submission"), False),
        (Conversation(message=b"Subject: money"), False),
        (Conversation(policy="REJECT"), False),
        (Conversation(commands=("VRFY root",)), False),
    ],
)
def test_anybody_is_whom_nothing_was_said_of(talk: Conversation, anybody: bool) -> None:
    assert is_anybody(talk) is anybody
    assert is_anybody(replace(talk, recipients=("postmaster@example.com",))) is anybody
