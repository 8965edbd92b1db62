"""The reference for templates in values is Ansible: the same text, the same value."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from provisioner.inventory import load_inventory
from provisioner.inventory.reading import Reader

CASES = [
    "{{ inventory_hostname }}",
    "{{ inventory_hostname_short }}",
    "{{ group_names }}",
    "{{ groups.mx }}",
    "{{ groups['all'] | length }}",
    "{{ hostvars['mx2.example.com'].number }}",
    "{{ number }}",
    "{{ number * 2 + 1 }}",
    "n={{ number }}",
    "{{ number }}{{ number }}",
    "{{ nested.list }}",
    "{{ nested.list[1] }}",
    "{{ nested['deep'].name }}",
    "{{ nested.deep }}",
    "{{ yes_text }}",
    "{{ truth }}",
    "{{ truth }}!",
    "{{ nothing | default('d') }}",
    "{{ nothing.at.all | default([1, 'a']) }}",
    "{{ nested.list | join('-') }}",
    "{{ nested | to_json }}",
    "{{ ['b', 'a'] | sort | to_json }}",
    "{{ 'ü' | to_json }}",
    "{{ name | regex_replace('^([a-z]+)[.](.*)$', '\\\\2/\\\\1') }}",
    "{{ name | regex_replace('EXAMPLE', 'x', ignorecase=true) }}",
    "{{ name | upper | lower | replace('.', '_') }}",
    "{{ name.split('.')[0] }}",
    "{{ 'yes' | bool }}",
    "{{ '5' | int + 1 }}",
    "{{ [3, 1, 3] | unique | first }}",
    "{% if number > 0 %}positive{% else %}not{% endif %}",
    "{% for each in nested.list %}{{ each }};{% endfor %}",
    "{{ indirect }}",
    "{{ name ~ '/' ~ number }}",
    "{{ 'mx' in group_names }}",
    "{{ nothing is defined }}",
    "{# nothing #}text",
    "{{ '{{ not again }}' }}",
]

VARIABLES = {
    "number": 5,
    "truth": True,
    "yes_text": "yes",
    "name": "mx1.example.com",
    "nested": {"list": [1, "two", 3.5], "deep": {"name": "x"}},
    "indirect": "{{ nested.deep.name }}-{{ number }}",
    "cases": CASES,
}


def test_templates_give_what_ansible_makes_of_them(tmp_path: Path) -> None:
    beside = Path(sys.executable).parent / "ansible"
    program = shutil.which("ansible") or (str(beside) if beside.exists() else None)
    if program is None:
        why = "ansible is not on PATH"
        if os.environ.get("CI"):
            pytest.fail(f"{why}; install the extra [contract]")
        pytest.skip(why)
    (tmp_path / "hosts").write_text(
        "[mx]\nmx1.example.com\nmx2.example.com\n[relay]\nmx1.example.com\n", encoding="utf-8"
    )
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(yaml.safe_dump(VARIABLES), encoding="utf-8")
    done = subprocess.run(
        [program, "mx1.example.com", "-i", "hosts", "-m", "debug", "-a", "var=cases"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_JINJA2_NATIVE": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    theirs = json.loads(done.stdout[done.stdout.index("{") :])["cases"]
    inventory = load_inventory([tmp_path / "hosts"])
    host = inventory.hosts["mx1.example.com"]
    ours = json.loads(json.dumps(Reader(inventory).variable(host, "cases")))
    assert dict(zip(CASES, ours, strict=True)) == dict(zip(CASES, theirs, strict=True))
