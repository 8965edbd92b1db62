"""The rehearsal where there are no namespaces: that its copy is of all that a change stages."""

from __future__ import annotations

import pytest
from releases import DEFAULT_RELEASES
from sandbox import Sandbox, root_of
from test_rehearsal import ORIGIN, OWNER, POLICY, case, rehearsed, state

from provisioner.host import session
from provisioner.planning.planner import Desired
from provisioner.resources.file import File, FileState

#: Tables in several places, named in several ways.
PLACES = r"""
cd /etc/postfix
mkdir -p /srv/mail/deep a/b
ln -s /srv/mail /etc/mail-tables
ln -s ../../srv/mail/linked linked
mv main.cf /srv/mail/real.cf
ln -s /srv/mail/real.cf main.cf
cat >>/srv/mail/real.cf <<'EOF'
my_maps = /srv/mail/deep
smtpd_sender_restrictions = check_sender_access texthash:$my_maps/composed,
  check_sender_access texthash:/etc/mail-tables/behind_a_link,
  check_sender_access texthash:/etc/postfix/linked,
  check_sender_access texthash:$config_directory/a/b/inner,
  check_sender_access texthash:/srv/mail/deeper
EOF
touch /srv/mail/deep/composed /srv/mail/behind_a_link /srv/mail/linked /srv/mail/deeper
touch a/b/inner a/beside
touch -d '1 hour ago' /srv/mail/real.cf
"""

#: A policy service of somebody else, in the live queue.
THEIRS = """#!/usr/bin/perl
use IO::Socket::UNIX;
my $path = '/var/spool/postfix/private/theirs';
unlink $path;
my $server = IO::Socket::UNIX->new(Local => $path, Listen => 5) or die;
chmod 0666, $path;
$SIG{CHLD} = 'IGNORE';
while (my $client = $server->accept) {
    next if fork;
    while (<$client>) { syswrite $client, "action=REJECT asked them\\n\\n" unless /./ }
    exit;
}
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    folder = tmp_path_factory.mktemp("apart")
    box = Sandbox(root_of(DEFAULT_RELEASES[0]), folder, rehearsal=True)
    box.write("/usr/local/bin/unshare", "#!/bin/sh\nexit 1\n", 0o755)
    box.sh(POLICY + PLACES)
    return box


@pytest.mark.parametrize(
    ("path", "sender"),
    [
        ("/srv/mail/deep/composed", "composed@example.com"),
        ("/etc/mail-tables/behind_a_link", "link@example.com"),
        ("/etc/postfix/linked", "linked@example.com"),
        ("/etc/postfix/a/b/inner", "inner@example.com"),
    ],
)
def test_what_is_staged_is_seen_wherever_it_stands(box: Sandbox, path: str, sender: str) -> None:
    """And only there: the live table stays as it is."""
    connection = box.connection()
    before = state(box)
    file = File(ORIGIN, path, FileState.FILE, f"{sender} REJECT by the staged file\n".encode())
    plan = session.plan(connection, Desired("mx1", (file,)))
    asked = [
        case("refused", "554", sender=sender),
        case("not this one", "354", sender="x@y.example"),
    ]
    found = session.rehearse(connection, plan, OWNER, tests=asked)
    assert found.findings == ()
    assert {each.test: each.failed for each in found.failed} == {}
    assert "since this host allows no namespaces: weaker" in " ".join(found.notes)
    refusal = found.verdicts[0].last
    assert refusal is not None
    assert refusal.text.endswith("by the staged file")
    box.sh("rm -rf /var/lib/provisioner")
    assert state(box) ^ before == set()


def test_what_is_taken_away_is_missed(box: Sandbox) -> None:
    before = state(box)
    gone = File(ORIGIN, "/etc/postfix/a/b/inner", FileState.ABSENT)
    assert (
        "smtpd_sender_restrictions: texthash:/etc/postfix/a/b/inner: "
        "there is no /etc/postfix/a/b/inner"
    ) in rehearsed(box, gone).findings
    box.sh("rm -rf /var/lib/provisioner")
    assert state(box) ^ before == set()


def test_sockets_of_others_are_in_its_queue(box: Sandbox) -> None:
    """A Postfix that hands nothing of its environment on finds its copy all the same."""
    live = box.read("/srv/mail/real.cf")
    more = (
        b"import_environment = TZ\nsmtpd_milters =\n"
        b"smtpd_helo_restrictions = check_policy_service { unix:private/theirs, timeout=5s }\n"
    )
    box.write("/srv/mail/real.cf", live + more)
    box.write("/usr/local/sbin/theirs", THEIRS, 0o755)
    box.before_chroot = (
        'chroot "$1" /usr/local/sbin/theirs >/dev/null 2>&1 </dev/null & '
        'until [ -S "$1/var/spool/postfix/private/theirs" ]; do sleep 0.01; done'
    )
    try:
        found = session.verify(box.connection(), [case("asked", "554")], live_policy=True)
        last = found.verdicts[0].last
        assert last is not None
        assert last.text.endswith("Helo command rejected: asked them")
    finally:
        box.before_chroot = ""
        box.write("/srv/mail/real.cf", live)


def test_what_a_power_failure_left_goes_with_the_next(box: Sandbox) -> None:
    box.sh(
        "mkdir -p /var/spool/provisioner-copy.abcdef/x;"
        "touch -d '1 hour ago' /var/spool/provisioner-copy.abcdef"
    )
    assert session.verify(box.connection(), [case("heard", "354")]).failed == ()
    assert box.sh("find /var/spool -name 'provisioner-*'") == b""
