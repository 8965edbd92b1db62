"""The state of bench/group_vars for pyinfra."""

from pathlib import Path

from pyinfra.operations import files, server, systemd
from pyinfra.operations.util import any_changed

FILES = Path(__file__).resolve().parent.parent / "files"
MAPS = "/etc/postfix/maps"
ACCESS = ("access_client", "access_sender")
CHECKS = ("header_checks", "mime_header_checks", "body_checks")
PARAMETERS = {
    "mydestination": "$myhostname, localhost, lab.example",
    "mynetworks": "127.0.0.0/8, [::1]/128",
    "disable_vrfy_command": "yes",
    "strict_rfc821_envelopes": "yes",
    "smtpd_banner": "$myhostname ESMTP",
    "message_size_limit": "26214400",
    "smtpd_client_connection_count_limit": "20",
    "smtpd_helo_required": "yes",
    "smtpd_recipient_restrictions": (
        "permit_mynetworks, reject_unauth_destination, "
        f"check_client_access hash:{MAPS}/access_client, "
        f"check_sender_access hash:{MAPS}/access_sender"
    ),
    **{name: f"regexp:{MAPS}/{name}" for name in CHECKS},
}
SERVICES = """\
submission inet n - y - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_client_restrictions=permit_mynetworks,reject
submissions inet n - y - - smtpd
  -o syslog_name=postfix/submissions
  -o smtpd_tls_wrappermode=yes
  -o smtpd_client_restrictions=permit_mynetworks,reject
"""


def put(name, folder, mode):
    return files.put(
        name=name,
        src=str(FILES / name),
        dest=f"{folder}/{name}",
        user="root",
        group="root",
        mode=mode,
    )


files.directory(path=MAPS, user="root", group="root", mode="755")
for table in ACCESS:
    changed = put(table, MAPS, "644")
    server.shell(
        name=f"postmap {table}",
        commands=[f"postmap hash:{MAPS}/{table}"],
        _if=changed.did_change,
    )
edits = [put(check, MAPS, "644") for check in CHECKS]
put("mail-report", "/etc/cron.weekly", "755")
for parameter, value in PARAMETERS.items():
    edits.append(
        files.line(
            path="/etc/postfix/main.cf",
            line=rf"^{parameter} *=.*",
            replace=f"{parameter} = {value}",
        )
    )
edits.append(files.block(path="/etc/postfix/master.cf", content=SERVICES))
systemd.service(service="postfix", running=True, enabled=True)
server.shell(commands=["postfix reload"], _if=any_changed(*edits))
