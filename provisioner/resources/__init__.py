"""Kinds of resources: one module a kind, pure data and functions."""
