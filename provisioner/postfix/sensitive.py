"""Values that must not be shown: passwords and keys inside Postfix settings.

The text stays recognisable: only the secret part is replaced by `***`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from provisioner.secrets import MASK

_REVEALING = r"(?:password|passwd|bind_pw|secret|api_?key|token)"
_NAMED_SO = re.compile(_REVEALING, re.I)

# ldapusers_bind_pw, mysqlmail_password: settings that are a secret as a whole. (A
# smtp_sasl_password_maps is the name of a table, not a password.)
_SECRET_NAME = re.compile(rf"(^|_){_REVEALING}$", re.I)

# Parameters whose tables answer with passwords: a table given in place is the secret.
_PASSWORD_MAPS = re.compile(r"password_maps$", re.I)
_STATIC = re.compile(r"\bstatic:(\{[^{}]*\}|[^\s,{}]+)")
_INLINE = re.compile(r"\binline:(\{(?:[^{}]|\{[^{}]*\})*\})")
_STATIC_LOGIN = re.compile(r"\bstatic:\{?\s*[^\s,{}:]+:[^\s,{}:]+\s*\}?(?=[\s,}]|$)")

# Texts come from hosts, and may be long: each expression looks at a character a bounded
# number of times. Keys that DNSBL operators hand out as a label of the zone.
_ZONE_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]+(?=\.[a-z0-9-]+\.(?:dq\.spamhaus\.net|mail\.abusix\.zone)\b)",
    re.I,
)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]*:)[^\s/@]+(?=@)", re.I)

# A setting in running text, as Postfix quotes it in its warnings.
_SETTING = re.compile(
    rf"(?<![A-Za-z0-9_])([A-Za-z0-9_]{{0,60}}{_REVEALING}[ \t]*=[ \t]*)[^\s$;,][^\s;,]*",
    re.I,
)


def mask_text(text: str) -> str:
    """Any text (table value, log line, command output) with zone keys, URL passwords and
    settings that are secrets hidden."""
    # Nearly no text has any of them, and to look for the whole expression costs a lot more.
    low = text.lower()
    if ".net" in low or ".zone" in low:
        text = _ZONE_KEY.sub(MASK, text)
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\g<1>{MASK}", text)
    if "=" in text and _NAMED_SO.search(text):
        text = _SETTING.sub(rf"\g<1>{MASK}", text)
    return text


def mask(name: str, value: str, hidden: Iterable[str] = ()) -> str:
    """The value of parameter `name` as it may be shown.

    `hidden` are regular expressions; what they match is hidden as well.
    """
    for pattern in hidden:
        value = re.sub(pattern, MASK, value)
    if value and _SECRET_NAME.search(name) and not value.startswith("$"):
        return MASK
    value = mask_text(value)
    if "static:" not in value and "inline:" not in value:
        return value
    if _PASSWORD_MAPS.search(name):
        value = _STATIC.sub(f"static:{MASK}", value)
        return _INLINE.sub(f"inline:{{{MASK}}}", value)
    return _STATIC_LOGIN.sub(f"static:{MASK}", value)


def is_sensitive(name: str, value: str) -> bool:
    """Whether `value` holds anything that `mask` hides."""
    return mask(name, value) != value
