"""The greeting that Postfix gives to whoever connects (`smtpd_banner`, postconf(5)).

A role of your own: a model of its options, and a function that says what they mean. It is
found because it lies in `roles/` beside the site file.
"""

from collections.abc import Iterator

from provisioner.roles import HostContext, Parameter, Resource, RoleOptions


class Options(RoleOptions):
    """What clients are told."""

    text: str
    """The text behind the host's name."""


def resources(options: Options, host: HostContext) -> Iterator[Resource]:
    yield Parameter(host.origin("text"), "smtpd_banner", f"$myhostname ESMTP {options.text}")
