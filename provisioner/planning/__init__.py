"""Desired and observed state in, plan out. Pure: no connection, no file, no clock."""
