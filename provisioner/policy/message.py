"""The message of a policy test, as bytes that can be sent (RFC 5322). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TEXT = "This is a policy test. Nobody delivers it."
BOUNDARY = "policy-test-boundary"


def compose(
    sender: str,
    recipients: Iterable[str],
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
) -> bytes:
    """A message with these headers; those that every mail has are there if they are not."""
    given = dict(headers or {})
    usual = {
        "From": f"<{sender}>" if sender else "MAILER-DAEMON",
        "To": ", ".join(f"<{each}>" for each in recipients),
        "Date": "Thu, 01 Jan 2026 00:00:00 +0000",
        "Message-ID": "<policy-test@client.example.org>",
        "Subject": "policy test",
    }
    names = {name.lower() for name in given}
    lines = [f"{name}: {value}" for name, value in usual.items() if name.lower() not in names]
    lines += [f"{name}: {value}" for name, value in given.items()]
    return _wire("\n".join([*lines, "", TEXT if body is None else body]))


def with_attachment(sender: str, recipients: Iterable[str], name: str) -> bytes:
    """A message with a text and an attached file of that name."""
    body = "\n".join(
        (
            f"--{BOUNDARY}",
            "Content-Type: text/plain",
            "",
            TEXT,
            f"--{BOUNDARY}",
            f'Content-Type: application/octet-stream; name="{name}"',
            f'Content-Disposition: attachment; filename="{name}"',
            "Content-Transfer-Encoding: base64",
            "",
            "bm90aGluZw==",
            f"--{BOUNDARY}--",
        )
    )
    kind = f'multipart/mixed; boundary="{BOUNDARY}"'
    return compose(sender, recipients, {"MIME-Version": "1.0", "Content-Type": kind}, body)


def _wire(text: str) -> bytes:
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
