"""Roles: modules that turn options into desired resources.

A role is a folder with a `role.py` that holds a pydantic model `Options` (derived
from `RoleOptions`; its docstrings are the documentation) and a pure function
`resources(options, host)` that yields resources. A pure function `tests(options, host)`
beside it yields policy tests: what the role promises, as conversations. Everything a role
may use is importable from here.
"""

from provisioner.policy.conversation import Client, Conversation, Expectation, PolicyTest
from provisioner.policy.conversation import Stage as Said
from provisioner.postfix.activation import Activation
from provisioner.postfix.tables import Entry
from provisioner.resources.base import Attributes, ControlUnit, Origin, Resource
from provisioner.resources.file import File, FileState
from provisioner.resources.firewall import FirewallPort
from provisioner.resources.package import Package
from provisioner.resources.parameter import CompatibilityLevel, Parameter
from provisioner.resources.requirement import Requirement
from provisioner.resources.restriction import (
    CLIENT,
    DATA,
    END_OF_DATA,
    ETRN,
    HELO,
    LISTS,
    RECIPIENT,
    RELAY,
    SENDER,
    Contribution,
    Layout,
    Mode,
    RestrictionEntry,
    RestrictionLayout,
    Stage,
    verbatim,
)
from provisioner.resources.service import HOST_CHROOT, MasterService
from provisioner.resources.strict import StrictMainCf
from provisioner.resources.table import Table
from provisioner.resources.unit import Unit
from provisioner.roles.interface import HostContext, MailFacts, RoleOptions
from provisioner.roles.texts import in_patterns, one_line, word_list

__all__ = [
    "CLIENT",
    "DATA",
    "END_OF_DATA",
    "ETRN",
    "HELO",
    "HOST_CHROOT",
    "LISTS",
    "RECIPIENT",
    "RELAY",
    "SENDER",
    "Activation",
    "Attributes",
    "Client",
    "CompatibilityLevel",
    "Contribution",
    "ControlUnit",
    "Conversation",
    "Entry",
    "Expectation",
    "File",
    "FileState",
    "FirewallPort",
    "HostContext",
    "Layout",
    "MailFacts",
    "MasterService",
    "Mode",
    "Origin",
    "Package",
    "Parameter",
    "PolicyTest",
    "Requirement",
    "Resource",
    "RestrictionEntry",
    "RestrictionLayout",
    "RoleOptions",
    "Said",
    "Stage",
    "StrictMainCf",
    "Table",
    "Unit",
    "in_patterns",
    "one_line",
    "verbatim",
    "word_list",
]
