"""Plan, prove and apply Postfix configuration on fleets of hosts over SSH."""

__version__ = "0.1.0"
