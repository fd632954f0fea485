"""How is a scenario judged that is there to show that a checker reports?

Pure. It passes only when the invariants that it breaks were told broken, and no others: a checker
that kept silent cannot be trusted, and what is broken beside them is a finding of its own.
"""

from dataclasses import replace

from aitbc_toolkit.suites.scenario.schema import Case
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.verdicts import Verdict

CRASHED = "a node's own code failed"
"""How a line says it; no scenario is there to show that."""
_FOLLOWS = {"agreement": frozenset({"state_root_equal", "tx_once", "no_double_sign"})}
"""What cannot hold either where an invariant is broken."""


def as_meant(case: Case, result: Result) -> Result:
    """Return a result as the scenario means it: what it must report is no failure."""
    wanted = case.written.must_report
    if not wanted or result.residues:
        return result
    broken = {name for name, word in result.invariants.items() if word == "broken"}
    silent = [name for name in wanted if name not in broken]
    if silent or result.verdict is not Verdict.SAFETY:
        why = f"{', '.join(silent or wanted)} was not reported; {result.verdict}: {result.line}"
        return replace(result, verdict=Verdict.INVALID, line=why)
    follows = frozenset[str]().union(*(_FOLLOWS.get(name, frozenset()) for name in wanted))
    beside = sorted(broken - {*wanted, *follows})
    if beside or CRASHED in result.line:
        why = f"not meant to be broken: {', '.join(beside) or 'a node'}; {result.line}"
        return replace(result, line=why)
    return replace(result, verdict=Verdict.PASS, line=f"reported, as it must be: {result.line}")
