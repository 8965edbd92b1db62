"""The command line: one module a command. Parses, calls, renders; no logic."""
