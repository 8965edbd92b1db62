"""Disposable real hosts for demos, rehearsing roles, tests and benchmarks."""

from provisioner.lab.state import Host, HostSpec
from provisioner.lab.system import LabError

__all__ = ["Host", "HostSpec", "LabError"]
