"""What a running master says to a reload is what we say a change needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from provisioner.postfix import main_cf
from provisioner.postfix.activation import Activation, combine, for_settings

if TYPE_CHECKING:
    from real_postfix import Postfix

BASE = """\
compatibility_level = 3.6
queue_directory = {q}
data_directory = {q}/data
maillog_file = {q}/log
maillog_file_prefixes = /
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = a.example
u = loopback-only
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
"""

#: What is set before, and then changed in the file of the running master.
STEPS: tuple[tuple[dict[str, str | None], dict[str, str | None]], ...] = (
    ({}, {"smtpd_banner": "new", "mynetworks": "127.0.0.1"}),
    ({}, {"myhostname": "b.example"}),
    ({}, {"inet_protocols": "all"}),
    ({}, {"inet_protocols": None}),
    ({"inet_protocols": None}, {"inet_protocols": "all"}),
    ({}, {"inet_interfaces": "all"}),
    ({"inet_interfaces": None}, {"inet_interfaces": "all"}),
    ({"inet_interfaces": "$u"}, {"u": "all"}),
    ({"inet_interfaces": "$u"}, {"inet_interfaces": "loopback-only"}),
    ({}, {"queue_directory": "/tmp"}),
)

# Two reloads: once the second is logged, all the first had to say is in the log.
SCRIPT = r"""
said() {
    n=0
    while [ "$(grep -c "$1" "$q/log" 2>/dev/null)" != "$2" ] && [ $n -lt 100 ]; do
        sleep 0.1; n=$((n + 1))
    done
}
q=$D/q
mkdir -p $q/pid $q/data $q/private $q/public
for d in active bounce corrupt defer deferred flush hold incoming saved trace maildrop; do
    mkdir -p $q/$d
done
chown postfix $q/*
chown root $q/pid
"$(postconf -h daemon_directory)/master" -c "$D" &
pid=$!
said 'daemon started' 1
cp after.cf main.cf
touch -d '-60 sec' main.cf
kill -HUP $pid
said 'reload --' 1
kill -HUP $pid
said 'reload --' 2
kill $pid
wait $pid
cat $q/log
"""


def test_a_reload_is_refused_where_we_say_restart(postfix: Postfix) -> None:
    if postfix.root is None:
        pytest.skip("a master of our own needs a root file system, not this machine's Postfix")
    cases, pairs = [], []
    for number, (extra, change) in enumerate(STEPS):
        base = BASE.format(q=f"/tmp/{number}/q")
        before = main_cf.edit(base, extra).text
        after = main_cf.edit(before, change).text
        pairs.append((_values(before), _values(after)))
        master = MASTER.format(port=2600 + number)
        cases.append(
            {"main.cf": before.encode(), "after.cf": after.encode(), "master.cf": master.encode()}
        )
    answers = postfix.run(cases, SCRIPT, own_net=True)
    for step, (before_, after_), answer in zip(STEPS, pairs, answers, strict=True):
        log = answer.out.decode()
        assert log.count("reload --") == 2, (step, log, answer.err)
        refused = set(re.findall(r"to change (\w+), stop and start Postfix", log))
        needed = for_settings(before_, after_, postfix.version)
        ours = {name for name, action, _ in needed if action is Activation.RESTART}
        assert ours == refused, (step, log)
        assert combine(action for _, action, _ in needed) is not Activation.NONE or not refused


def _values(text: str) -> dict[str, str]:
    return {name: each.value for name, each in main_cf.parse(text).parameters.items()}
