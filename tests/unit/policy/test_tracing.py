"""From what decided to the line that somebody wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_roles_options import states

from provisioner.policy.conversation import Decision
from provisioner.policy.tracing import cause

VARIABLES = """
mail:
  domains: [example.com]
  networks: ["127.0.0.0/8"]
smtpd_restrictions:
  checks:
    reject_unknown_sender_domain: enforce
access_maps:
  client:
    entries:
      80.218.40.251: REJECT
      Listed.example: 550 no
  own_domains_from_outside: {mode: enforce}
  exempt:
    - {client: 198.51.100.0/24, why: a partner}
content_checks:
  header:
    - '/^Subject: .*Make Money Fast!/ REJECT'
    - '/^X-Other:/ REJECT'
  reject_attachments: [exe]
dnsbl:
  zones: [zen.spamhaus.org, bl.spamcop.net]
submission:
  submissions: false
postfix:
  tables:
    /etc/postfix/maps/classes: {entries: {a: OK}}
"""
ROLES = (
    "postfix", "smtpd_restrictions", "access_maps", "content_checks", "dnsbl", "submission",
)  # fmt: skip
MAPS = "/etc/postfix/maps"

CAUSES = {
    "an entry of a table": (
        Decision("check_client_access", f"hash:{MAPS}/access_client", "80.218.40.251", "REJECT"),
        "mx.yml:11:22",
        f"check_client_access hash:{MAPS}/access_client: 80.218.40.251 REJECT",
    ),
    "a key in another case": (
        Decision("check_client_access", f"cdb:{MAPS}/access_client", "listed.example", "550 no"),
        "mx.yml:12:23",
        "listed.example",
    ),
    "a key nobody here wrote": (
        Decision("check_client_access", f"hash:{MAPS}/access_client", "192.0.2.7", "REJECT"),
        "mx.yml:10:5",
        "192.0.2.7 REJECT",
    ),
    "the restriction with its table": (
        Decision(f"check_client_access hash:{MAPS}/access_client", "", "", ""),
        "mx.yml:10:5",
        "check_client_access",
    ),
    "a pattern": (
        Decision(
            "check_sender_access", f"regexp:{MAPS}/own_domains", "ceo@example.com",
            "550 5.7.1 This sender address belongs to us: log in to use it",
        ),
        "mx.yml:13:29",
        "ceo@example.com 550 5.7.1",
    ),
    "a network": (
        Decision(
            "check_client_access", f"cidr:{MAPS}/exempt_client_networks", "198.51.100.7", "OK",
        ),
        "mx.yml:15:7",
        "198.51.100.7 OK",
    ),
    "a check": (Decision("reject_unknown_sender_domain"), "mx.yml:7:35", "reject_unknown"),
    "a check nobody set": (Decision("reject_non_fqdn_sender"), "", "reject_non_fqdn_sender"),
    "the relay guard": (Decision("reject_unauth_destination"), "", "reject_unauth_destination"),
    "one of two lists": (
        Decision("reject_rbl_client bl.spamcop.net"), "mx.yml:22:29", "bl.spamcop.net",
    ),
    "a header": (
        Decision(
            "header_checks", f"regexp:{MAPS}/header_checks", "Subject: make money fast!", "REJECT"
        ),
        "mx.yml:18:7",
        "make money fast",
    ),
    "a header, as cleanup tells it": (
        Decision("header_checks", "", "Subject: make money fast!", "REJECT"),
        "mx.yml:18:7",
        "header_checks regexp:/etc/postfix/maps/header_checks: /^Subject: .*Make Money Fast!/",
    ),
    "an attachment, as cleanup tells it": (
        Decision(
            "header_checks", "", 'Content-Disposition: attachment; filename="a.exe"',
            "REJECT Attachments of this type are not accepted here",
        ),
        "mx.yml:20:23",
        "_checks regexp:/etc/postfix/maps/",
    ),
    "a header nobody here checks": (
        Decision("header_checks", "", "X-Thing: a", "REJECT"), "mx.yml:18:5", "X-Thing: a REJECT",
    ),
    "an attachment": (
        Decision(
            "mime_header_checks", f"regexp:{MAPS}/mime_header_checks",
            'Content-Disposition: attachment; filename="a.exe"',
            "REJECT Attachments of this type are not accepted here",
        ),
        "mx.yml:20:23",
        "a.exe",
    ),
    "a table of postfix's own": (
        Decision("check_helo_access", f"hash:{MAPS}/classes", "a", "OK"), "mx.yml:27:32", "a OK",
    ),
    "a table nobody here wrote": (
        Decision("check_helo_access", "hash:/etc/postfix/other", "a", "OK"), None, "a OK",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CAUSES)
def test_a_decision_leads_to_a_line(tmp_path: Path, case: str) -> None:
    decision, where, text = CAUSES[case]
    resources = states(tmp_path, VARIABLES, *ROLES)["mx1"].resources
    found = cause(decision, resources)
    assert found is not None
    assert text in found.text
    if where is None:
        assert found.origin is None
    elif where:
        assert found.origin is not None
        assert Path(str(found.origin.mark)).name == where
    else:
        assert found.origin is not None
        assert str(found.origin) == "default of role smtpd_restrictions"


def test_a_services_own_list_comes_first(tmp_path: Path) -> None:
    resources = states(tmp_path, VARIABLES, *ROLES)["mx1"].resources
    on_submission = cause(Decision("reject"), resources, "587")
    assert on_submission is not None
    assert on_submission.origin is not None
    assert on_submission.origin.role == "submission"
    assert cause(Decision(""), resources) is None
    assert cause(None, resources) is None
