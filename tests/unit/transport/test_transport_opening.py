"""The public fake, and the transport that goes by each target's connection."""

import pytest

from provisioner.errors import InputError, Unreachable
from provisioner.transport import Exchange, Target, open_transport
from provisioner.transport.fake import Call, FakeTransport
from provisioner.transport.opening import Dispatch


def test_fake_answers_fails_and_remembers():
    down = Unreachable("mx2", "connect", "no route to host")
    fake = FakeTransport({"mx1": lambda script, payload: Exchange(0, payload, b""), "mx2": down})
    connection = fake.connect(Target("mx1", "192.0.2.1"))
    pieces = []
    assert connection.run(b"cat", b"x", on_stdout=pieces.append).stdout == b"x"
    assert pieces == [b"x"]
    assert fake.calls == [Call("mx1", b"cat", b"x")]
    assert connection.counters.execs == 1
    with pytest.raises(Unreachable, match="no route"):
        fake.connect(Target("mx2", "x"))
    with pytest.raises(Unreachable, match="no such host"):
        fake.connect(Target("mx3", "x"))
    connection.close()
    fake.close()
    assert fake.connections == [connection]
    assert (connection.closed, fake.closed) == (True, True)


def test_each_kind_is_made_once_and_when_needed():
    made = []

    def maker(kind):
        def make():
            made.append(kind)
            return FakeTransport({"h": lambda script, payload: Exchange(0, kind.encode(), b"")})

        return make

    transport = Dispatch({"ssh": maker("ssh"), "local": maker("local")})
    assert made == []
    for kind in ("local", "ssh", "local"):
        connection = transport.connect(Target("h", "h", connection=kind))
        assert connection.run(b"").stdout == kind.encode()
    assert made == ["local", "ssh"]
    with pytest.raises(InputError, match="no connection 'telnet'"):
        transport.connect(Target("h", "h", connection="telnet"))
    transport.close()


def test_open_transport_runs_locally():
    transport = open_transport(config_file=None)
    connection = transport.connect(Target("here", "localhost", connection="local"))
    assert connection.run(b"cat", b"bytes").stdout == b"bytes"
    transport.close()
