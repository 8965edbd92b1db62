"""Whether Postfix will be able to read what a plan leaves behind (postconf(5), master(5)).

A reload with files that Postfix cannot read ends mail service, so a plan that would leave
such files is refused, naming the line. What the plan itself repairs is no fault.
"""

from __future__ import annotations

from provisioner.diagnostics import Diagnostic, Severity
from provisioner.marks import Mark
from provisioner.postfix import macros, main_cf, master_cf
from provisioner.resources.observed import Observed


def faults(main_text: str | None, master_text: str | None, observed: Observed) -> list[Diagnostic]:
    """What stops Postfix in the texts as they will be, at its place on the host."""
    found: list[Diagnostic] = []
    if main_text is not None:
        parsed = main_cf.parse(main_text, observed.main_cf_path)
        found += parsed.problems
        if observed.facts.broken:
            found += _bad_macros(parsed, observed)
    if master_text is not None:
        found += master_cf.parse(master_text, observed.master_cf_path).problems
    return [each for each in found if each.severity is Severity.ERROR]


def _bad_macros(parsed: main_cf.MainCf, observed: Observed) -> list[Diagnostic]:
    """Values that Postfix cannot expand. It never looks at those of parameters it does not
    know, so that only a host whose postconf complains is searched for them."""
    found = []
    for name, entry in parsed.parameters.items():
        if name in main_cf.RAW:
            continue
        try:
            macros.check(entry.value)
        except ValueError as error:
            found.append(
                Diagnostic(
                    f"{name}: {error}",
                    Mark(observed.main_cf_path, entry.line, 1),
                    f"correct it there, or declare it; postconf says: {observed.facts.broken}",
                )
            )
    return found
