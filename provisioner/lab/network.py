"""The lab's network: a namespace with a bridge, and one link into it.

Hosts hang on a bridge inside a network namespace of the lab's own; a veth pair
connects it to this machine, whose end carries the controller's address and those of
the clients that tests speak from. The hosts have no other way: no default route, no
forwarding. An unreachable route for the whole range comes first, so that a packet to
a host that is down ends here and never leaves by this machine's default route.
"""

from __future__ import annotations

import json
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

from provisioner.lab import line
from provisioner.lab.addresses import Block
from provisioner.lab.line import UPLINK
from provisioner.lab.state import LabState, run_directory, write_aside
from provisioner.lab.system import LabError, run

#: Routing protocol number that marks the unreachable route as the lab's.
_PROTOCOL = "198"

#: Twenty hosts and more need these, or systemd dies with "Too many open files".
_LIMITS = {
    "fs.inotify.max_user_instances": 8192,
    "fs.inotify.max_user_watches": 1048576,
    "kernel.pid_max": 131072,
}


def _batch(commands: list[str], namespace: str = "") -> None:
    inside = ["-n", namespace] if namespace else []
    run(["ip", *inside, "-batch", "-"], stdin="\n".join(commands) + "\n")


def taken_blocks() -> set[int]:
    """Blocks that this machine's routes already use, by a lab or by anything else."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]).stdout or "[]")
    return {block for route in routes for block in overlapped(str(route.get("dst", "")), route)}


def overlapped(destination: str, route: dict[str, object]) -> set[int]:
    """Blocks that one route (as `ip -json route` shows it) covers, wider ones left out."""
    if route.get("type") == "unreachable" or destination in ("", "default"):
        return set()
    try:
        network = IPv4Network(destination, strict=False)
    except ValueError:
        return set()
    if network.prefixlen < Block.RANGE.prefixlen or not network.overlaps(Block.RANGE):
        return set()
    first = (int(network.network_address) - int(Block.RANGE.network_address)) >> 9
    last = (int(network.broadcast_address) - int(Block.RANGE.network_address)) >> 9
    return set(range(first, last + 1))


def prepare_machine() -> None:
    """The unreachable route and the limits; call with the machine lock held."""
    run(
        [
            "ip",
            "route",
            "replace",
            "unreachable",
            str(Block.RANGE),
            "metric",
            "9999",
            "proto",
            _PROTOCOL,
        ]
    )
    saved = run_directory() / "limits.json"
    before: dict[str, int] = json.loads(saved.read_text()) if saved.exists() else {}
    for name, wanted in _LIMITS.items():
        path = Path("/proc/sys") / name.replace(".", "/")
        present = int(path.read_text())
        if present < wanted:
            before.setdefault(name, present)
            write_aside(saved, json.dumps(before))
            path.write_text(str(wanted))


def restore_machine() -> None:
    """Undo `prepare_machine` after the last lab; call with the machine lock held."""
    run(["ip", "route", "flush", "root", str(Block.RANGE), "proto", _PROTOCOL], check=False)
    saved = run_directory() / "limits.json"
    if saved.exists():
        for name, value in json.loads(saved.read_text()).items():
            (Path("/proc/sys") / name.replace(".", "/")).write_text(str(value))
        saved.unlink()


def create(lab: LabState) -> None:
    """Namespace, bridge and link of `lab`."""
    block = lab.addresses
    run(["ip", "netns", "add", lab.namespace])
    _batch(
        [
            "link set lo up",
            "link add br0 type bridge",
            f"address add {block.dns}/{block.PREFIX} dev br0",
            "link set br0 up",
        ],
        lab.namespace,
    )
    _connect(lab)


def set_delay(lab: LabState, milliseconds: float) -> subprocess.Popen[bytes] | None:
    """Make the link so slow, each way; 0: as `create` made it. Returns the slow line's process.

    The link is replaced: whoever talks over it waits a moment, and goes on. Raises `LabError`.
    """
    known = json.loads(run(["ip", "-json", "link", "show", lab.namespace]).stdout)[0]["address"]
    line.stop(lab)
    run(["ip", "link", "delete", lab.namespace], check=False)
    slow = line.start(lab, milliseconds) if milliseconds else None
    _connect(lab, known, made=slow is not None)
    return slow


def _connect(lab: LabState, known: str = "", *, made: bool = False) -> None:
    """Make the link (unless it is `made`) and set it up; `known` is the hardware address that
    the hosts know this machine by."""
    block, name = lab.addresses, lab.namespace
    _batch(
        [
            *([] if made else [f"link add {name} type veth peer name {UPLINK} netns {name}"]),
            *([f"link set {name} address {known}"] if known else []),
            f"address add {block.controller}/{block.PREFIX} dev {name}",
            *(f"address add {address}/32 dev {name}" for address in block.clients.values()),
            f"link set {name} up",
        ]
    )
    _batch([f"link set {UPLINK} master br0", f"link set {UPLINK} up"], name)


def remove(namespace: str) -> None:
    """Remove what `create` made, or what is left of it."""
    run(["ip", "link", "delete", namespace], check=False)
    if Path("/run/netns", namespace).exists():
        run(["ip", "netns", "delete", namespace], check=False)
    if namespace in leftovers():
        raise LabError(
            f"the network namespace or link {namespace} could not be removed",
            help=f"see `ip netns pids {namespace}`",
        )


def leftovers() -> set[str]:
    """Namespaces and links of labs that exist on this machine."""
    links = json.loads(run(["ip", "-json", "link", "show"]).stdout or "[]")
    found = {str(link["ifname"]) for link in links}
    spaces = Path("/run/netns")
    if spaces.is_dir():
        found |= {path.name for path in spaces.iterdir()}
    return {name for name in found if name.startswith("provlab") and name[7:].isdigit()}


def set_link(lab: LabState, link: str, state: str) -> None:
    """Bring a host's end of the bridge `up` or `down`. Raises `LabError` where it is not."""
    run(["ip", "-n", lab.namespace, "link", "set", link, state])


def delete_link(lab: LabState, link: str) -> None:
    """Remove a host's end of the bridge: a survivor would keep the next boot from its name."""
    run(["ip", "-n", lab.namespace, "link", "delete", link], check=False)
