"""What Postfix is: its file formats and rules, as pure functions on text.

Nothing here reads a file, starts a program or asks the time. Text is the content of a
file decoded as UTF-8 with `surrogateescape` and without newline translation, so that
every byte survives; byte offsets refer to the same text encoded that way again.
"""
