"""Options of roles: every error at its place, every value with its origin."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from provisioner.diagnostics import Diagnostic, render
from provisioner.errors import InputError
from provisioner.inventory import load_inventory
from provisioner.inventory.site import RoleRef
from provisioner.marks import Mark
from provisioner.planning.planner import Desired
from provisioner.resources.restriction import RestrictionList
from provisioner.roles.desired import Findings, desired_states
from provisioner.roles.loading import RoleLibrary

SITE = Mark("site.yml", 2, 5)
HOSTS = "mx:\n  hosts:\n    mx1:\n    mx2:\n"


def states(folder: Path, variables: str, *roles: str, **files: str) -> dict[str, Desired]:
    """The desired states of mx1 and mx2, with `variables` in group_vars/mx.yml."""
    (folder / "group_vars").mkdir(exist_ok=True)
    (folder / "hosts.yml").write_text(HOSTS)
    (folder / "group_vars" / "mx.yml").write_text(textwrap.dedent(variables))
    for name, text in files.items():
        (folder / "host_vars").mkdir(exist_ok=True)
        (folder / "host_vars" / f"{name}.yml").write_text(textwrap.dedent(text))
    inventory = load_inventory([str(folder)], beside=folder)
    wanted = [RoleRef(name, SITE) for name in roles]
    hosts = list(inventory.hosts.values())
    return desired_states(
        hosts, {host.name: wanted for host in hosts}, RoleLibrary(folder / "roles"), {"id": "x"}
    )


def refusal(folder: Path, variables: str, *roles: str, **files: str) -> list[Diagnostic]:
    with pytest.raises(InputError) as refused:
        states(folder, variables, *roles, **files)
    return refused.value.diagnostics()


def place(found: Diagnostic) -> str:
    assert found.mark is not None, found
    return f"{Path(found.mark.file).name}:{found.mark.line}:{found.mark.column}"


CASES = {
    "unknown option, nearest named": (
        "postfix",
        "postfix:\n  paramters: {}\n",
        "mx.yml:2:3", "postfix.paramters: there is no such option", "did you mean parameters?",
    ),
    "unknown option, nothing near": (
        "submission",
        "submission:\n  zzz: 1\n",
        "mx.yml:2:3", "submission.zzz", "known here: ",
    ),
    "unknown check deep down": (
        "smtpd_restrictions",
        "smtpd_restrictions:\n  checks:\n    reject_non_fqdn_sendr: enforce\n",
        "mx.yml:3:5", "smtpd_restrictions.checks.reject_non_fqdn_sendr",
        "did you mean reject_non_fqdn_sender?",
    ),
    "unknown key below a mapping's key": (
        "postfix",
        "postfix:\n  services:\n    x/unix:\n      comand: y\n      command: y\n",
        "mx.yml:4:7", "postfix.services.x/unix.comand", "did you mean command?",
    ),
    "a list where a mapping belongs": (
        "postfix",
        "postfix:\n  parameters: [a]\n",
        "mx.yml:2:15", "postfix.parameters: must be a mapping, not a list", "",
    ),
    "text where a mapping belongs": (
        "postfix", "postfix: stock\n", "mx.yml:1", "postfix", "",
    ),
    "a mapping where a value belongs, told once": (
        "postfix",
        "postfix:\n  parameters:\n    myhostname: {a: b}\n",
        "mx.yml:3:17", "postfix.parameters.myhostname: must be", "",
    ),
    "off, which YAML reads as false": (
        "smtpd_restrictions",
        "smtpd_restrictions:\n  checks:\n    reject_non_fqdn_sender: off\n",
        "mx.yml:3:29", "'enforce', 'trial' or 'disabled'", "YAML reads on, off, yes and no",
    ),
    "no as a table's value": (
        "access_maps",
        "access_maps:\n  client:\n    entries:\n      a.example: no\n",
        "mx.yml:4:18", "must be text, not true or false", "put the word in quotes",
    ),
    "a number as a table's value": (
        "access_maps",
        "access_maps:\n  client:\n    entries:\n      a.example: 550\n",
        "mx.yml:4:18", "must be text, not a number", "quotes",
    ),
    "a version that became a number": (
        "access_maps",
        "access_maps:\n  client:\n    entries:\n      a.example: 3.10\n",
        "mx.yml:4:18", "must be text", "3.10 as the number 3.1",
    ),
    "no as a key": (
        "access_maps",
        "access_maps:\n  client:\n    entries:\n      no: REJECT\n",
        "mx.yml:4", "access_maps.client.entries", "quotes",
    ),
    "a number as a key": (
        "access_maps",
        "access_maps:\n  client:\n    entries:\n      10: REJECT\n",
        "mx.yml:4", "access_maps.client.entries", "quotes",
    ),
    "nothing where text belongs": (
        "access_maps",
        "access_maps:\n  client:\n    entries:\n      a.example:\n",
        "mx.yml:4", "must be text", "''",
    ),
    "a word that is no choice": (
        "submission",
        "submission:\n  sasl: {type: courier}\n",
        "mx.yml:2:16", "submission.sasl.type", "",
    ),
    "an action that would accept": (
        "access_maps",
        "access_maps:\n  client:\n    entries:\n      a.example: '550'\n",
        "mx.yml:4:18", "would *accept*", "550 some text",
    ),
    "a parameter both set and absent": (
        "postfix",
        "postfix:\n  parameters:\n    biff: 'no'\n  absent: [biff]\n",
        "mx.yml:3:11", "biff is both set and absent", "",
    ),
    "a value main.cf cannot hold": (
        "postfix",
        "postfix:\n  parameters:\n    smtpd_banner: \"a\\nb\"\n",
        "mx.yml:3:19", "smtpd_banner", "",
    ),
    "a service key without type": (
        "postfix",
        "postfix:\n  services:\n    smtp: {command: smtpd}\n",
        "mx.yml:3", "does not name a service", "smtp/inet",
    ),
    "a service master.cf cannot hold": (
        "postfix",
        "postfix:\n  services:\n    smtp/udp: {command: smtpd}\n",
        "mx.yml:3:15", "'udp'", "",
    ),
    "a package that is an option": (
        "postfix", "postfix:\n  packages: [--yes]\n", "mx.yml:2:14", "'--yes'", "",
    ),
    "a list that is none": (
        "smtpd_restrictions",
        "smtpd_restrictions:\n  lists:\n    smtpd_clint_restrictions: permit\n",
        "mx.yml:3", "smtpd_clint_restrictions", "client, helo, sender",
    ),
    "facts said wrong": (
        "postfix", "mail:\n  domain: [a.example]\n", "mx.yml:2:3", "mail.domain", "domains",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("role", "text", "where", "says", "helps"), CASES.values(), ids=CASES)
def test_an_error_points_at_its_place(
    tmp_path: Path, role: str, text: str, where: str, says: str, helps: str
) -> None:
    (found,) = refusal(tmp_path, text, role)
    assert place(found).startswith(where)
    assert says in found.message
    assert helps in found.help
    assert "[2 hosts: mx1, mx2]" in found.message
    assert "^" in render(found) or found.mark is None or not found.mark.column


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    found = refusal(
        tmp_path,
        """\
        postfix:
          paramters: {}
        submission:
          submision: true
        """,
        "postfix",
        "submission",
        mx2="mail: {domain: [x]}\n",
    )
    assert [place(each) for each in found] == ["mx.yml:2:3", "mx.yml:4:3", "mx2.yml:1:8"]
    assert "[mx2]" in found[2].message


# ---- origins ---------------------------------------------------------------------------


def origins(state: Desired) -> dict[str, str]:
    return {each.address: str(each.origin).rpartition("/")[2] for each in state.resources}


def test_origins_are_where_an_option_was_written(tmp_path: Path) -> None:
    variables = """\
        mail:
          domains: [a.example]
        postfix:
          parameters:
            biff: 'no'
            smtpd_banner: x
          absent: [readme_directory]
        """
    found = states(tmp_path, variables, "postfix", mx1="postfix: {parameters: {smtpd_banner: y}}\n")
    mx1, mx2 = origins(found["mx1"]), origins(found["mx2"])
    assert mx1["parameter:smtpd_banner"] == "mx1.yml:1:38"
    assert mx2["parameter:smtpd_banner"] == "mx.yml:6:19"
    assert mx1["parameter:biff"] == mx2["parameter:biff"] == "mx.yml:5:11"
    assert mx1["parameter:mydestination"] == "mx.yml:2:12"
    assert mx1["parameter:readme_directory"] == "mx.yml:7:12"
    assert mx1["package:postfix"] == "default of role postfix"
    assert mx1["unit:postfix"] == "default of role postfix"


def test_entries_of_composed_lists_have_origins_of_their_own(tmp_path: Path) -> None:
    variables = """\
        smtpd_restrictions:
          checks:
            reject_unknown_helo_hostname: trial
        access_maps:
          client:
            entries: {a.example: REJECT}
        """
    state = states(tmp_path, variables, "smtpd_restrictions", "access_maps")["mx1"]
    (recipient,) = [
        each for each in state.resources
        if isinstance(each, RestrictionList) and each.name == "smtpd_recipient_restrictions"
    ]  # fmt: skip
    told = {text: str(origin).rpartition("/")[2] for text, origin in recipient.entries}
    assert told["warn_if_reject reject_unknown_helo_hostname"] == "mx.yml:3:35"
    assert told["check_client_access indexed:/etc/postfix/maps/access_client"].startswith("mx.yml:")
    assert told["reject_unauth_destination"] == "default of role smtpd_restrictions"


def test_the_origin_of_what_is_not_desired_differently_does_not_count(tmp_path: Path) -> None:
    one = states(tmp_path, "postfix:\n  parameters: {biff: 'no'}\n", "postfix")["mx1"]
    two = states(tmp_path, "# moved\n\npostfix:\n  parameters:\n    biff: 'no'\n", "postfix")["mx1"]
    assert origins(one) != origins(two)
    assert one.digest == two.digest


# ---- roles together --------------------------------------------------------------------


def test_two_roles_that_want_different_things_are_both_named(tmp_path: Path) -> None:
    (found,) = refusal(
        tmp_path,
        "postfix:\n  parameters:\n    smtpd_sasl_type: cyrus\n"
        "submission:\n  sasl: {type: dovecot}\n",
        "postfix",
        "submission",
    )
    assert "parameter:smtpd_sasl_type is wanted in two ways" in found.message
    assert "role postfix" in found.message
    assert "role submission" in found.message
    assert "mx.yml:3:22" in found.message
    assert "mx.yml:5:16" in found.message
    assert found.help == "take one of them out"


def test_one_port_under_two_names_is_one_service(tmp_path: Path) -> None:
    (found,) = refusal(
        tmp_path,
        "postfix:\n  services:\n    smtps/inet: {command: smtpd, private: n}\nsubmission: {}\n",
        "postfix",
        "submission",
    )
    assert "service:submissions/inet is wanted in two ways" in found.message


def test_the_same_desire_twice_is_one(tmp_path: Path) -> None:
    found = states(
        tmp_path,
        "postfix:\n  parameters:\n    smtpd_sasl_type: dovecot\n"
        "submission:\n  sasl: {type: dovecot}\n",
        "postfix",
        "submission",
    )
    addresses = [each.address for each in found["mx1"].resources]
    assert addresses.count("parameter:smtpd_sasl_type") == 1


def test_a_verbatim_list_and_a_contribution_are_both_named(tmp_path: Path) -> None:
    (found,) = refusal(
        tmp_path,
        """\
        smtpd_restrictions:
          checks: {reject_unauth_pipelining: disabled}
          lists:
            smtpd_recipient_restrictions: reject_unauth_destination
        access_maps:
          client:
            entries: {a.example: REJECT}
        """,
        "smtpd_restrictions",
        "access_maps",
    )
    assert "smtpd_recipient_restrictions is given verbatim" in found.message
    assert "mx.yml:4:35" in found.message
    assert place(found) == "mx.yml:4:35"


# ---- the umbrella ----------------------------------------------------------------------


def test_all_options_may_live_under_one_variable(tmp_path: Path) -> None:
    variables = """\
        postfix: somebody else's variable
        provisioner:
          mail: {domains: [a.example]}
          postfix:
            parameters: {biff: 'no'}
        """
    found = states(tmp_path, variables, "postfix", mx1="provisioner: {postfix: {running: false}}\n")
    told = origins(found["mx1"])
    assert told["parameter:biff"] == "mx.yml:5:24"
    assert told["parameter:mydestination"].startswith("mx.yml:3")
    assert told["unit:postfix"] == "mx1.yml:1:34"


def test_an_error_under_the_umbrella_points_there(tmp_path: Path) -> None:
    (found,) = refusal(tmp_path, "provisioner:\n  postfix:\n    paramters: {}\n", "postfix")
    assert place(found) == "mx.yml:3:5"


def test_a_name_under_the_umbrella_that_is_no_role(tmp_path: Path) -> None:
    """Silently ignored, it would leave the host without what its author wrote."""
    (found,) = refusal(tmp_path, "provisioner:\n  postfx:\n    running: false\n", "postfix")
    assert place(found) == "mx.yml:2:3"
    assert "postfx" in found.message
    assert "postfix" in found.help


def test_options_of_a_role_the_host_does_not_have_are_allowed(tmp_path: Path) -> None:
    found = states(tmp_path, "provisioner:\n  submission: {}\n  postfix: {}\n", "postfix")
    assert "service:submission/inet" not in origins(found["mx1"])


@pytest.mark.parametrize("role", ["access_maps", "dnsbl", "greylisting"])
def test_lists_without_a_relay_guard_are_refused(tmp_path: Path, role: str) -> None:
    options = {
        "access_maps": "client: {entries: {192.0.2.7: REJECT}}",
        "dnsbl": "zones: [zen.spamhaus.org]",
        "greylisting": "delay: 60",
    }
    variables = f"{role}:\n  {options[role]}\n"
    (found,) = refusal(tmp_path, variables, "postfix", role)
    assert "nobody put a relay guard into" in found.message
    assert "smtpd_restrictions" in found.help
    guarded = states(tmp_path, variables, "postfix", "smtpd_restrictions", role)
    assert guarded["mx1"].resources
    own = (
        "postfix:\n  parameters:\n"
        "    smtpd_relay_restrictions: permit_mynetworks, reject_unauth_destination\n"
    )
    assert states(tmp_path, variables + own, "postfix", role)["mx1"].resources
    soft = own.replace("reject_unauth", "warn_if_reject reject_unauth")
    assert refusal(tmp_path, variables + soft, "postfix", role)


def test_one_mistake_of_500_hosts_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "hosts").write_text("[mx]\nmx[001:500]\n")
    (tmp_path / "group_vars" / "mx.yml").write_text("postfix: {paramters: {}}\n")
    inventory = load_inventory([str(tmp_path)], beside=tmp_path)
    hosts = list(inventory.hosts.values())
    assert len(hosts) == 500
    assigned = {host.name: [RoleRef("postfix", SITE)] for host in hosts}
    with pytest.raises(InputError) as refused:
        desired_states(hosts, assigned, RoleLibrary(tmp_path / "roles"), {"id": "x"})
    (found,) = refused.value.diagnostics()
    assert place(found) == "mx.yml:1:11"
    assert "500 hosts" in found.message
    assert len(found.message) < 200


def test_one_mistake_in_the_words_of_500_hosts_is_told_in_few() -> None:
    findings = Findings()
    place = Mark("mx.yml", 2, 13)
    for number in range(500):
        findings.add(f"mx{number}", [Diagnostic(f"10.0.0.{number}/8 is no network", place)])
    findings.add("mx7", [Diagnostic("something else", Mark("mx.yml", 9, 1))])
    with pytest.raises(InputError) as refused:
        findings.raise_if_any()
    told = refused.value.diagnostics()
    assert [each.mark for each in told] == [place] * 4 + [Mark("mx.yml", 9, 1)]
    assert "in other words [497 hosts: " in told[3].message
    assert told[3].help
