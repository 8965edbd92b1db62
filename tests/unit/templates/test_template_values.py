"""One template, one answer; and what is refused says why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.errors import InputError
from provisioner.inventory.markers import is_template
from provisioner.inventory.templates import Template
from provisioner.inventory.values import UnsafeText
from provisioner.marks import Map

NAMES = {
    "name": "mx1.example.com",
    "port": 587,
    "on": True,
    "hosts": ["b", "a", "b"],
    "mail": Map({"domain": "example.com", "marks": 1, "deep": Map({"x": [1, 2]})}),
    "net": "192.0.2.17/24",
    "nets": ["10.0.0.1/8", "no address", "2001:db8::1/64"],
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ port }}", 587),
        ("{{ on }}", True),
        ("{{ hosts }}", ["b", "a", "b"]),
        ("{{ mail.deep.x }}", [1, 2]),
        ("{{ mail['deep']['x'][1] }}", 2),
        ("{{ mail.marks }}", 1),
        (":{{ port }}", ":587"),
        ("{{ port }}{{ on }}", "587True"),
        ("{{ port }}\n", "587\n"),
        ("{{ name.split('.')[0] }}", "mx1"),
        ("{{ name | upper }}", "MX1.EXAMPLE.COM"),
        ("{{ 'A' | lower }}", "a"),
        ("{{ nothing | default('d') }}", "d"),
        ("{{ nothing.at.all | d(5) }}", 5),
        ("{{ '' | default('d', true) }}", "d"),
        ("{{ hosts | join(', ') }}", "b, a, b"),
        ("{{ hosts | unique | sort | list }}", ["a", "b"]),
        ("{{ {'k': [1, name]} | to_json }}", '{"k": [1, "mx1.example.com"]}'),
        ("{{ name | regex_replace('^([^.]+)[.].*', '\\\\1') }}", "mx1"),
        ("{{ name ~ ':' ~ port }}", "mx1.example.com:587"),
        ("{{ port + 1 }}", 588),
        ("{% if on %}yes{% else %}no{% endif %}", "yes"),
        ("{% for each in hosts %}{{ each }};{% endfor %}", "b;a;b;"),
        ("{{ 'yes' | bool }}", True),
        ("{{ nothing is defined }}", False),
        ("{{ net | ipaddr('address') }}", "192.0.2.17"),
        ("{{ net | ipaddr('network') }}", "192.0.2.0"),
        ("{{ net | ipaddr('netmask') }}", "255.255.255.0"),
        ("{{ net | ipaddr('prefix') }}", 24),
        ("{{ net | ipaddr('network/prefix') }}", "192.0.2.0/24"),
        ("{{ net | ansible.utils.ipaddr('host/prefix') }}", "192.0.2.17/24"),
        ("{{ net | ipaddr('revdns') }}", "17.2.0.192.in-addr.arpa."),
        ("{{ net | ipaddr(1) }}", "192.0.2.1/24"),
        ("{{ net | ipaddr(-1) }}", "192.0.2.255/24"),
        ("{{ net | ipaddr(256) }}", False),
        ("{{ net | ipaddr('net') }}", False),
        ("{{ net | ipaddr }}", "192.0.2.17/24"),
        ("{{ name | ipaddr }}", False),
        ("{{ nets | ipv6 }}", ["2001:db8::1/64"]),
        ("{{ nets | ipv4('address') }}", ["10.0.0.1"]),
        ("{{ nets | ipaddr('private') | length }}", 2),
    ],
)
def test_value(text: str, value: Any) -> None:
    result, secret = Template(text).render(NAMES)
    assert result == value
    assert type(result) is type(value) or isinstance(result, type(value))
    assert not secret


@pytest.mark.parametrize(
    ("text", "says", "advises"),
    [
        ("{{ nme }}", "'nme' is undefined", "did you mean name?"),
        ("{{ zzzzzz }}", "'zzzzzz' is undefined", "default("),
        ("{{ mail.domian }}", "there is no 'domian' in it (did you mean 'domain'?)", ""),
        ("{{ nothing.at.all }}", "'nothing' is undefined", ""),
        ("{{ hosts[9] }}", "no element 9", ""),
        ("{{ name | b64encode }}", "the filter 'b64encode' is not known here", "known are"),
        ("{{ name | uper }}", "the filter 'uper' is not known", "did you mean 'upper'?"),
        ("{% if false %}{{ name | b64encode }}{% endif %}", "filter 'b64encode'", ""),
        ("{{ name is match('x') }}", "the test 'match' is not known", ""),
        ("{{ lookup('env', 'HOME') }}", "'lookup' is not known here", "!env NAME"),
        ("{{ query('file', 'x') }}", "'query' is not known here", "!file PATH"),
        ("{% include 'x' %}", "has no include", ""),
        ("{% macro m() %}{% endmacro %}", "has no macro", ""),
        ("{{ name", "cannot be read", "close"),
        ("{% if on %}", "cannot be read", ""),
        ("{{ name + 1 }}", "can only concatenate", "type"),
        ("{{ net | ipaddr('netwrok') }}", "the query 'netwrok'; did you mean 'network'?", ""),
        ("{{ 'x' | ipaddr('nonsense!') }}", "the query 'nonsense!'", ""),
        ("{{ name | regex_replace('(') }}", "regex_replace", ""),
    ],
)
def test_refused(text: str, says: str, advises: str) -> None:
    with pytest.raises(InputError) as caught:
        Template(text).render(NAMES)
    assert says in caught.value.message
    assert advises in caught.value.help


@pytest.mark.parametrize(
    "text",
    [
        "{{ name.__class__.__mro__ }}",
        "{{ name['__class__'] }}",
        "{{ hosts.append('x') }}",
        "{{ hosts.clear() }}",
        "{{ mail.update({'a': 1}) }}",
        "{{ '{0.__class__}'.format(name) }}",
        "{{ name.encode() }}",
        "{{ ''.join.__globals__ }}",
        "{{ self }}{{ self.__init__ }}",
        "{{ cycler }}",
        "{{ range.__self__ }}",
        "{{ 'a' * 100000000 }}",
        "{{ [0] * 100000000 }}",
        "{{ 9 ** 9999 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ 'ab'.replace('', 'x' * 1000000) }}",
        "{{ ('x' * 1000000).join('y' * 1000) }}",
        "{% set a = 'x' * 1000 %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
        "{% set a = 'x' * 1000 %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "not " * 5000 + "1 }}",
    ],
    ids=str,
)
def test_the_sandbox_holds(text: str) -> None:
    before = list(NAMES["hosts"])  # type: ignore[call-overload]
    with pytest.raises(InputError):
        Template(text).render(NAMES)
    assert NAMES["hosts"] == before


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("$name and ${name?{x}}", False),
        ("regexp:{{/x/ y}}", True),
        ("{ x }", False),
        (UnsafeText("{{ x }}"), False),
        ("{# comment #}", True),
        (5, False),
    ],
)
def test_what_is_a_template(value: Any, answer: bool) -> None:
    assert is_template(value) is answer


@given(st.text(alphabet="{}%# ab'\"|.()[]~+*0123456789\n", max_size=40))
def test_whatever_is_written_gives_a_value_or_an_input_error(text: str) -> None:
    message = ""
    result: Any = None
    try:
        result, _ = Template(text).render({"a": "x", "b": [1]})
    except InputError as error:
        message = error.message
    assert message or result is not None or "{" in text
