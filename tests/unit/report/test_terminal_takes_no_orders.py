"""Nothing that a host said reaches the terminal as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulate import FACTS, MemoryHost, Node, desire

from provisioner.planning.planner import plan_host
from provisioner.report import console, plantext
from provisioner.resources.base import Attributes, Origin
from provisioner.resources.file import File
from provisioner.resources.parameter import Parameter
from provisioner.resources.unit import Unit

ORDERS = "\x1b]0;gotcha\x07\x9b2J\u202e\udcff"
ORIGIN = Origin("test")


@pytest.mark.parametrize("prune", [False, True])
def test_a_plan_of_a_host_that_gives_orders(
    prune: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = replace(FACTS, postfix_version=f"3.7{ORDERS}", system=f"debian {ORDERS}")
    host = MemoryHost.with_postfix(f"myhostname = {ORDERS}\na{ORDERS} = b\n", "", facts=facts)
    host.nodes["/etc/motd"] = Node(ORDERS.encode("utf-8", "surrogateescape"), owner=f"bob{ORDERS}")
    host.remember({f"parameter:x{ORDERS}": {"before": {"present": True, "value": ORDERS}}})
    assert host.manifest
    host.manifest["inventory"] = {"id": f"other{ORDERS}", "name": f"name{ORDERS}"}
    wanted = desire(
        Parameter(ORIGIN, "myhostname", "mx1.example"),
        File(ORIGIN, "/etc/motd", content=b"x", attributes=Attributes(owner="root")),
        Unit(ORIGIN, "postfix"),
    )
    plan = plan_host(wanted, host.observe(wanted.resources), prune=prune)
    console.print_lines(plantext.plans({"mx1": plan}, full_diff=True))
    for error in plan.errors:
        console.print_diagnostic(error)
    shown = capsys.readouterr()
    assert "gotcha" in shown.out + shown.err
    assert all(char.isprintable() or char == "\n" for char in shown.out + shown.err)
