"""Loading roles: what is found where, and what is wrong with a role told at its line."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from test_roles_options import place, refusal, states

from provisioner.errors import InputError
from provisioner.marks import Mark
from provisioner.roles.loading import RoleLibrary, shipped_folder

SOUND = '''
"""A role of the site's own."""
from provisioner.roles import Parameter, RoleOptions

class Options(RoleOptions):
    text: str = "x"

def resources(options, host):
    yield Parameter(host.origin("text"), "smtpd_banner", options.text)
'''


def role(folder: Path, name: str, text: str) -> Path:
    file = folder / "roles" / name / "role.py"
    file.parent.mkdir(parents=True)
    file.write_text(textwrap.dedent(text))
    return file


def load(folder: Path, name: str) -> InputError:
    with pytest.raises(InputError) as refused:
        RoleLibrary(folder / "roles").load(name, Mark("site.yml", 3, 7))
    return refused.value


def test_shipped_roles_are_there() -> None:
    library = RoleLibrary()
    assert {"postfix", "smtpd_restrictions", "access_maps", "submission"} <= set(library.names())
    for each in library:
        assert each.summary, f"{each.name} does not say what it is for"
        assert each.folder.parent == shipped_folder().resolve()


def test_a_role_of_the_sites_own_comes_first(tmp_path: Path) -> None:
    role(tmp_path, "postfix", SOUND)
    found = RoleLibrary(tmp_path / "roles").load("postfix")
    assert found.summary == "A role of the site's own."
    assert found.folder == tmp_path / "roles" / "postfix"


def test_its_errors_and_origins_are_those_of_any_role(tmp_path: Path) -> None:
    role(tmp_path, "banner", SOUND)
    (found,) = refusal(tmp_path, "banner:\n  texd: y\n", "banner")
    assert place(found) == "mx.yml:2:3"
    state = states(tmp_path, "banner:\n  text: y\n", "banner")["mx1"]
    assert str(state.resources[0].origin).endswith("mx.yml:2:9")


@pytest.mark.parametrize("name", ["nope", "../etc", "post fix", "", "."])
def test_there_is_no_such_role(tmp_path: Path, name: str) -> None:
    error = load(tmp_path, name)
    assert repr(name) in error.message
    assert error.mark == Mark("site.yml", 3, 7)
    assert error.help


def test_the_nearest_name_is_named(tmp_path: Path) -> None:
    assert load(tmp_path, "submision").help == "did you mean submission?"


BROKEN = {
    "syntax error": ("x = 1\ndef resources(:\n", 2, "SyntaxError"),
    "raises": ("import os\n\nraise KeyError('what')\n", 3, "KeyError"),
    "raises further down": ("def f():\n    return 1 / 0\n\nf()\n", 2, "ZeroDivisionError"),
    "import that is not there": ("import no_such_module_here\n", 1, "no_such_module_here"),
    "no Options": ("def resources(options, host):\n    return []\n", 0, "no class Options"),
    "Options of another kind": (
        "class Options: ...\ndef resources(o, h): ...\n", 0, "class Options",
    ),
    "no resources": (
        "from provisioner.roles import RoleOptions\nclass Options(RoleOptions): ...\n",
        0, "no function resources",
    ),
    "resources that is none": (
        "from provisioner.roles import RoleOptions\nclass Options(RoleOptions): ...\n"
        "resources = 3\n",
        0, "no function resources",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words"), BROKEN.values(), ids=BROKEN)
def test_a_role_that_cannot_be_used(tmp_path: Path, text: str, line: int, words: str) -> None:
    file = role(tmp_path, "mine", text)
    error = load(tmp_path, "mine")
    assert error.mark is not None
    assert (error.mark.file, error.mark.line) == (str(file), line)
    assert words in error.message
    assert "role mine" in error.message


HEAD = "from provisioner.roles import *\n\nclass Options(RoleOptions):\n    text: str = 'x'\n\n"
FAILING = {
    "raises": (
        "def resources(options, host):\n    yield Parameter(host.origin(), 'a', 'b')\n"
        "    {}['missing']\n",
        8, "KeyError: 'missing'",
    ),
    "asks for what is not there": (
        "def resources(options, host):\n    yield options.txet\n", 7, "AttributeError",
    ),
    "wrong arguments": ("def resources(options):\n    return []\n", 0, "TypeError"),
    "yields something else": (
        "def resources(options, host):\n    yield 'smtpd_banner = x'\n", 0, "'smtpd_banner = x'",
    ),
    "forgets to return": ("def resources(options, host):\n    pass\n", 0, "nothing"),
    "a template that is not there": (
        "def resources(options, host):\n    yield host.template('nope')\n", 0, "nope",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words"), FAILING.values(), ids=FAILING)
def test_a_role_that_fails_is_told_at_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    file = role(tmp_path, "mine", HEAD + text)
    (found,) = refusal(tmp_path, "mine: {}\n", "mine")
    assert found.mark is not None
    assert found.mark.file.startswith(str(file.parent))
    assert not line or found.mark.line == line
    assert words in found.message


def test_a_template_that_fails_is_told_at_its_line(tmp_path: Path) -> None:
    file = role(tmp_path, "mine", HEAD + (
        "def resources(options, host):\n"
        "    yield File(host.origin(), '/etc/x', content=host.template('x.j2', a=1))\n"
    ))  # fmt: skip
    template = file.parent / "templates" / "x.j2"
    template.parent.mkdir()
    template.write_text("{{ a }}\n{{ b }}\n")
    (found,) = refusal(tmp_path, "mine: {}\n", "mine")
    assert found.mark == Mark(str(template), 2)
    assert "'b' is undefined" in found.message
    template.write_text("{{ a }}\n{% if %}\n")
    (found,) = refusal(tmp_path, "mine: {}\n", "mine")
    assert found.mark == Mark(str(template), 2)
    template.write_text("\n\n{{ a + 'x' }}\n")
    (found,) = refusal(tmp_path, "mine: {}\n", "mine")
    assert found.mark == Mark(str(template), 3)
    assert "TypeError" in found.message
    template.write_text("{{ a }} on {{ host.name }}\n")
    (state, _) = states(tmp_path, "mine: {}\n", "mine").values()
    assert getattr(state.resources[0], "content") == b"1 on mx1\n"  # noqa: B009 - of any kind
