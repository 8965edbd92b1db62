"""Inventories: hosts, groups and variables as Ansible reads them, and the site file."""

from provisioner.inventory.model import Group, Host, Inventory, Origin
from provisioner.inventory.sources import load_inventory
from provisioner.inventory.values import UnsafeText, VaultValue

__all__ = ["Group", "Host", "Inventory", "Origin", "UnsafeText", "VaultValue", "load_inventory"]
