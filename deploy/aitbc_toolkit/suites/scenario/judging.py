"""How is a scenario judged that is there to show that a checker reports?

Pure. It passes only when the invariants that it breaks were told broken, and no others, and its
steps went well beside: a checker that kept silent cannot be trusted, and whatever else went wrong
is a finding of its own.
"""

from collections.abc import Iterator
from dataclasses import replace

from aitbc_toolkit.suites.scenario.schema import Case
from aitbc_toolkit.suites.scene import Ended, Result
from aitbc_toolkit.suites.verdicts import Verdict, worst

_FOLLOWS = {"agreement": frozenset({"state_root_equal", "tx_once", "no_double_sign"})}
"""What cannot hold either where an invariant is broken."""


def as_meant(case: Case, result: Result) -> Result:
    """Return a result as the scenario means it: what it must report is no failure."""
    wanted = case.written.must_report
    if not wanted or result.residues:
        return result
    amiss = list(_amiss(wanted, result))
    verdict = worst([Verdict.PASS, *(each.verdict for each in amiss)])
    whys = [each.line for each in amiss] or ["reported, as it must be"]
    joint = "; " if amiss else ": "
    return replace(result, verdict=verdict, line=joint.join([*whys, result.line]))


def _amiss(wanted: list[str], result: Result) -> Iterator[Ended]:
    """Name everything that was not meant; the line of the result tells the rest."""
    meant = frozenset(wanted).union(*(_FOLLOWS.get(name, frozenset()) for name in wanted))
    broken = {name for name, word in result.invariants.items() if word == "broken"}
    unknown = [name for name, word in result.invariants.items() if word.startswith("unknown")]
    if beside := sorted(broken - meant):
        yield Ended(Verdict.SAFETY, f"not meant to be broken: {', '.join(beside)}")
    if not _is_meant(result.steps, meant):
        yield Ended(result.steps.verdict, f"its steps ended {result.steps.verdict}")
    if silent := [name for name in wanted if name not in broken]:
        yield Ended(Verdict.INVALID, f"{', '.join(silent)} was not reported")
    if unknown:
        yield Ended(Verdict.INCONCLUSIVE, f"unknown: {', '.join(unknown)}")


def _is_meant(steps: Ended, meant: frozenset[str]) -> bool:
    """Tell whether steps went well, or were ended by what is to be reported."""
    if steps.verdict is Verdict.SAFETY:
        return any(steps.line.startswith(f"{name}: ") for name in meant)
    return steps.verdict is Verdict.PASS
