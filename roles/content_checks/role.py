"""Content checks: refuse messages by their headers, attachments' names and body lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from provisioner.policy import message
from provisioner.postfix import attachments, content
from provisioner.roles import (
    Attributes,
    Contribution,
    Conversation,
    Expectation,
    File,
    FileState,
    HostContext,
    Mode,
    Origin,
    Package,
    Parameter,
    PolicyTest,
    RoleOptions,
    Said,
    Table,
    in_patterns,
)


class Rule(RoleOptions):
    """One pattern and what happens to a message that it finds."""

    pattern: str
    """A regular expression without slashes; it ignores case unless `flags` has an `i`. A
    header is matched as `Name: value`, whole even where it is folded; nothing is decoded."""

    action: str = "REJECT"
    """An action of header_checks(5): REJECT, HOLD, DISCARD, REDIRECT, PREPEND, WARN, …, with
    its argument."""

    flags: str = ""
    """Flags behind the pattern, as in regexp_table(5) and pcre_table(5)."""

    why: str | None = None
    """A comment in the table; not shown to senders (put that behind REJECT)."""

    mode: Mode | None = None
    """As in the role's `mode`, for this rule alone."""


Rules = list[Rule | str]


class Options(RoleOptions):
    """There are no exceptions here for clients or senders: an OK in an access map and an
    exemption do not reach content checks, and mail from your own users is checked as well."""

    mode: Mode = Mode.ENFORCE
    """`trial` writes WARN in place of actions that stop a message: it is logged and passes."""

    type: Literal["regexp", "pcre"] = "regexp"
    """`regexp` is in every Postfix; `pcre` is faster on long tables and needs a package, which
    is installed."""

    directory: str = "/etc/postfix/maps"
    """Where the tables live."""

    header: Rules = []
    """Checks of the headers of the message (`header_checks`): rules, or lines in the syntax of
    the table (`/^Subject: .*Make Money Fast!/ REJECT`)."""

    mime: Rules = []
    """Checks of the MIME headers of attachments (`mime_header_checks`)."""

    nested: Rules = []
    """Checks of the headers of attached messages (`nested_header_checks`)."""

    body: Rules = []
    """Checks of the lines of the body (`body_checks`); each line by itself, not decoded."""

    reject_attachments: list[str] = []
    """Endings of file names that are refused: `[bat, com, exe, dll]`. Names inside archives
    are not seen."""

    attachment_reply: str = "Attachments of this type are not accepted here"
    """What the sender is told."""


TABLES = {
    "header": "header_checks",
    "mime": "mime_header_checks",
    "nested": "nested_header_checks",
    "body": "body_checks",
}


def resources(options: Options, host: HostContext) -> Iterator[Contribution]:
    texts = {name: _lines(options, name, host) for name in TABLES}
    if options.reject_attachments and options.mode is not Mode.DISABLED:
        found = _attachments(options, host)
        # A message that is nothing but a file has its name in the primary headers.
        texts["mime"] += found
        texts["header"] += found
    if any(texts.values()):
        yield File(
            host.origin("directory"),
            options.directory,
            FileState.DIRECTORY,
            attributes=Attributes("root", "root", 0o755),
        )
        if options.type == "pcre":
            yield Package(host.origin("type"), "postfix-pcre", "pcre")
    for name, parameter in TABLES.items():
        option = name if getattr(options, name) else "reject_attachments"
        if texts[name]:
            path = f"{options.directory}/{parameter}"
            lines = (content.HEADER, *(line for line, _ in texts[name]))
            text = "".join(f"{line}\n" for line in lines)
            origins = tuple(texts[name])
            yield Table(host.origin(option), path, options.type, text=text, origins=origins)
            yield Parameter(host.origin(option), parameter, f"{options.type}:{path}")
        elif name in ("mime", "nested") and texts["header"]:
            # Not set, they would be what header_checks is.
            yield Parameter(host.origin("header"), parameter, "")


def _lines(options: Options, name: str, host: HostContext) -> list[tuple[str, Origin]]:
    """The lines of a table, each with the option that wants it."""
    lines: list[tuple[str, Origin]] = []
    for index, rule in enumerate(getattr(options, name)):
        origin = host.origin(name, index)
        mode = options.mode
        if isinstance(rule, str):
            line, why = rule, None
        else:
            line = content.line(rule.pattern, rule.flags, rule.action)
            mode, why = rule.mode or mode, rule.why
        if mode is Mode.DISABLED:
            continue
        fault = content.fault(line)
        if fault:
            raise host.error(f"{line!r}: {fault}", name, index)
        if why:
            lines.append((f"# {' '.join(why.split())}", origin))
        lines.append((content.on_trial(line) if mode is Mode.TRIAL else line, origin))
    if lines and name != "body" and options.mode is Mode.TRIAL:
        lines.insert(0, ("# On trial: logged, nothing is refused.", host.origin("mode")))
    return lines


def _attachments(options: Options, host: HostContext) -> list[tuple[str, Origin]]:
    origin = host.origin("reject_attachments")  # what `patterns` refuses came from there
    found = attachments.patterns(options.reject_attachments)
    action = "WARN" if options.mode is Mode.TRIAL else "REJECT"
    endings = ", ".join(options.reject_attachments)
    host.origin("attachment_reply")
    reply = in_patterns(options.attachment_reply)
    lines = [
        f"# Attachments whose names end in {endings}",
        *(f"/{pattern}/ {action} {reply}" for pattern in found),
    ]
    return [(line, origin) for line in lines]


def tests(options: Options, host: HostContext) -> Iterator[PolicyTest]:
    """Of patterns nobody can tell what they find; of endings it is plain."""
    if options.mode is not Mode.ENFORCE:
        return
    for index, ending in enumerate(options.reject_attachments):
        name = f"invoice.{ending}"
        yield PolicyTest(
            f"an attachment called {name} is refused",
            Conversation(
                sender="",  # no check asks DNS about it
                message=message.with_attachment("", (), name),
                until=Said.MESSAGE,
            ),
            Expectation(("550",), options.attachment_reply),
            host.origin("reject_attachments", index),
        )
