"""Rules of header and body checks: what is right, and what they become on trial.

Rests on header_checks(5), regexp_table(5), pcre_table(5).
"""

from __future__ import annotations

import re

from provisioner.postfix.tables import HEADER as HEADER

#: Actions, and whether they need something behind them.
ACTIONS = {
    "BCC": True,
    "DISCARD": False,
    "DUNNO": False,
    "FILTER": True,
    "HOLD": False,
    "IGNORE": False,
    "INFO": False,
    "OK": False,
    "PASS": False,
    "PREPEND": True,
    "REDIRECT": True,
    "REJECT": False,
    "REPLACE": True,
    "STRIP": False,
    "WARN": False,
}
#: Actions that keep a message from its recipient, or change it: on trial they only log.
STOPPING = frozenset(
    {"REJECT", "DISCARD", "HOLD", "FILTER", "REDIRECT", "REPLACE", "IGNORE", "STRIP"}
)
_RULE = re.compile(
    r"(?P<negated>!?)/(?P<pattern>(?:\\.|[^/\\])*)/(?P<flags>[a-zA-Z]*)[ \t]+(?P<action>\S.*)"
)
_CONTROL = re.compile(r"if[ \t]+!?/(?:\\.|[^/\\])*/[a-zA-Z]*|endif", re.I)


def line(pattern: str, flags: str, action: str) -> str:
    """A rule as the table has it; slashes in the pattern are protected."""
    protected = re.sub(r"(\\.)|/", lambda found: found[1] or r"\/", pattern)
    return f"/{protected}/{flags} {' '.join(action.split())}"


def fault(rule: str) -> str:
    """What Postfix would skip (with a mere warning) or read otherwise; empty if nothing."""
    if "\n" in rule:
        return "a rule is one line"
    if rule != rule.strip():
        return "blanks before a rule make it part of the one before"
    if not rule or rule.startswith("#") or _CONTROL.fullmatch(rule):
        return ""
    found = _RULE.fullmatch(rule)
    if not found:
        return "a rule is /pattern/flags, a blank, and an action"
    if not found["pattern"]:
        return "an empty pattern finds everything"
    word, _, rest = found["action"].partition(" ")
    if word.upper() not in ACTIONS:
        return f"there is no action {word} (header_checks(5) has {', '.join(ACTIONS)})"
    if ACTIONS[word.upper()] and not rest.strip():
        return f"{word} needs something behind it"
    return _expression_fault(found["pattern"])


def _expression_fault(pattern: str) -> str:
    """Unbalanced brackets. POSIX classes are not Python's, so they are replaced first."""
    plain = re.sub(r"\[:[a-z]+:\]", "a", pattern)
    try:
        re.compile(plain)
    except re.error as error:
        return f"not a regular expression: {error}"
    return ""


def on_trial(rule: str) -> str:
    """The rule with WARN in place of an action that stops or changes the message."""
    found = _RULE.fullmatch(rule)
    if not found:
        return rule
    word, _, rest = found["action"].partition(" ")
    if word.upper() not in STOPPING:
        return rule
    head = rule[: found.start("action")]
    return f"{head}WARN on trial, would {word.upper()} {rest}".rstrip()
