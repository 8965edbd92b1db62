"""What kind of value each parameter takes, by the real postconf and the real programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from provisioner.postfix import kinds
from provisioner.postfix.kinds import Kind

if TYPE_CHECKING:
    from real_postfix import Postfix

#: Defaults that look like a number, or like yes or no, of parameters that take other words, too.
WORDS = {
    "compatibility_level",
    "dont_remove",
    "fault_injection_code",
    "lmtp_tcp_port",
    "mail_release_date",
    "maillog_file_permissions",
    "milter_protocol",
    "process_id",
    "smtpd_forbid_bare_newline",
}
FORMS = {
    Kind.NUMBER: r"\d+",
    Kind.CODE: r"\d+",
    Kind.TIME: r"\d+[smhdw]",
    Kind.BOOLEAN: r"yes|no|.*\? \{(yes|no)\} : \{(yes|no)\}\}",
}


def defaults(postfix: Postfix) -> dict[str, str]:
    """Of every parameter; without stress, and by the default that it refers to."""
    text = postfix.one({"main.cf": b"", "master.cf": b""}, "postconf -c $D -d").out.decode()
    found = dict(line.split(" =", 1) for line in text.splitlines())
    plain = {
        n: re.sub(r"\$\{stress\?\{\w+\}:\{(\w+)\}\}", r"\1", v.strip()) for n, v in found.items()
    }
    for _ in range(5):
        for name, value in plain.items():
            if (other := re.fullmatch(r"\$\{?(\w+)\}?", value)) and other[1] in plain:
                plain[name] = plain[other[1]]
    return plain


def test_defaults_are_of_their_kind(postfix: Postfix) -> None:
    for name, value in defaults(postfix).items():
        kind = kinds.kind_of(name)
        if kind is not None:
            assert re.fullmatch(FORMS[kind], value), (name, value)


def test_every_default_of_a_kind_is_known(postfix: Postfix) -> None:
    unknown = {
        name
        for name, value in defaults(postfix).items()
        if re.fullmatch("|".join(FORMS.values()), value) and kinds.kind_of(name) is None
    }
    assert {each for each in unknown if not each.endswith("_feedback")} <= WORDS


#: Values as people write them.
VALUES = {
    "smtpd_soft_error_limit": ["5", "+5", "lots", "", "5 0", "0x10", "1.5", "5s"],
    "smtpd_proxy_timeout": ["5", "5s", "1w", "+5m", "soon", "", "5 s", "5S", "-5s", "1.5h"],
    "smtpd_helo_required": ["yes", "no", "YES", "No", "true", "1", "", "ja"],
}


def test_programs_take_and_refuse_the_same_values(postfix: Postfix) -> None:
    cases = [(name, value) for name, values in VALUES.items() for value in values]
    base = "maillog_file=\nsmtpd_relay_restrictions = reject_unauth_destination\n"
    answers = postfix.run(
        [{"main.cf": f"{base}{n} = {v}\n".encode(), "master.cf": b""} for n, v in cases],
        # One that can read its settings waits for others that are not here.
        "MAIL_CONFIG=$D timeout 3 $(postconf -hd daemon_directory)/smtpd -S </dev/null",
    )
    assert {each.status for each in answers} <= {0, 1, 124}
    real = {case: answer.status != 1 for case, answer in zip(cases, answers, strict=True)}
    assert {case: not kinds.fault(*case)[0] for case in cases} == real
