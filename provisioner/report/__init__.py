"""Renderers of plans, outcomes and events. They decide nothing."""
