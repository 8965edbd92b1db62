"""All shipped roles at once, on a server with a past; then none of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support import Site, conversation, read, state, write

if TYPE_CHECKING:
    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

SHIPPED = Path(__file__).parents[2] / "roles"

#: As people write it: folds, a comment inside, blanks where nobody needs them.
PAST = """
# a comment of mine
smtpd_client_restrictions =
    permit_mynetworks,
    permit
disable_vrfy_command=no

smtpd_helo_required  =   no
smtpd_sender_restrictions = check_sender_access texthash:/etc/postfix/friends,
\tpermit
"""


def shipped_examples() -> tuple[dict[str, Any], list[str]]:
    """The options of every role's own example, and the roles; what needs other people's
    programs (filters, certificates) is left out."""
    options: dict[str, Any] = {}
    roles = sorted(folder.name for folder in SHIPPED.iterdir() if (folder / "role.py").is_file())
    roles.remove("milters")
    for role in roles:
        options |= yaml.safe_load((SHIPPED / role / "example.yml").read_text("utf-8"))
    options["submission"] = {}
    del options["postfix"]["services"]  # port 25 is postscreen's here
    options["mail"] = {"domains": ["lab.example"], "networks": ["127.0.0.0/8", "[::1]/128"]}
    return options, roles


def services(lab: Lab, host: Host) -> str:
    """What runs, and what starts at boot."""
    return lab.exec(
        host,
        "systemctl list-units --state=active --type=service --plain --no-legend | cut -d ' ' -f 1;"
        "systemctl list-unit-files --state=enabled --no-legend | cut -d ' ' -f 1; crontab -l; true",
    ).stdout


@pytest.mark.matrix
def test_every_role_is_removed_without_a_trace(lab: Lab, host: Host, tmp_path: Path) -> None:
    write(lab, host, "/etc/postfix/main.cf", read(lab, host, "/etc/postfix/main.cf") + PAST)
    write(lab, host, "/etc/postfix/friends", "friend.example OK\n")
    write(lab, host, "/etc/postgrey/whitelist_clients.local", "mine.example\n")
    lab.exec(host, "chmod 0640 /etc/postgrey/whitelist_clients.local; postfix reload")
    # Packages stay, and with them what they bring.
    lab.exec(host, "apt-get -qq update; apt-get -qq -y install libsasl2-modules", seconds=120)
    options, roles = shipped_examples()
    site = Site(lab, tmp_path, host)
    site.say(options, roles)
    before, running = state(lab, host, "/etc", "/var/spool/cron"), services(lab, host)
    site.settle()
    assert state(lab, host, "/etc") != before
    site.say({}, ["postfix"])
    site.apply("--prune")
    site.plan("--prune", code=0)
    after = state(lab, host, "/etc", "/var/spool/cron")
    differ = {path: (before.get(path), after.get(path)) for path in {*before, *after}}
    assert {path: both for path, both in differ.items() if both[0] != both[1]} == {}
    assert services(lab, host) == running
    with conversation(lab, host) as session:
        assert session.ehlo("client.example")[0] == 250
