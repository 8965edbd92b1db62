"""`--live-policy`: rehearsals ask the policy service itself, not a stand-in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support import Site, state

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.lab.lab import Lab
    from provisioner.lab.state import Host

#: A policy service (SMTPD_POLICY_README) that refuses everybody, and writes down that it was asked.
SERVICE = r"""cat >/usr/local/sbin/policy <<'END'
use IO::Socket::INET;
my $door = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1:10040') or die;
$SIG{CHLD} = 'IGNORE';
while (my $client = $door->accept) {
    next if fork;
    while (<$client>) {
        next if /./;
        open my $book, '>>', '/run/asked';
        print $book "asked\n";
        close $book;
        syswrite $client, "action=REJECT by the real one\n\n";
    }
    exit;
}
END
setsid perl /usr/local/sbin/policy >/dev/null 2>&1 </dev/null &
for n in 1 2 3 4 5 6 7 8 9; do
  bash -c ': <>/dev/tcp/127.0.0.1/10040' 2>/dev/null && exit
  sleep 0.2
done
exit 1
"""


def test_the_policy_service_itself_is_asked(lab: Lab, host: Host, tmp_path: Path) -> None:
    lab.exec(host, SERVICE)
    site = Site(lab, tmp_path, host)
    asks = "permit_mynetworks, reject_unauth_destination, check_policy_service inet:127.0.0.1:10040"
    test = {"name": "strangers are heard", "to": f"root@{host.fqdn}", "expect": "accept"}
    parameters = {"smtpd_recipient_restrictions": asks}
    site.say({"postfix": {"parameters": parameters}, "policy_tests": [test]}, ["postfix"])
    before = state(lab, host)

    for command in (("plan", "--rehearse"), ("apply", "-y")):
        refused = site.run(*command, "--live-policy", code=4)
        assert "by the real one" in refused.said
        assert state(lab, host) == before
    assert lab.exec(host, "cat /run/asked").stdout

    lab.exec(host, "rm /run/asked")
    site.apply()
    assert "1 passed" in site.run("verify", code=0).said
    assert "by the real one" in site.run("verify", "--live-policy", code=2).said
