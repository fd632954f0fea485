"""How a scenario is judged that is there to show that a checker reports."""

from typing import Any

import pytest

from aitbc_toolkit.suites import catalogue
from aitbc_toolkit.suites.checkers import History
from aitbc_toolkit.suites.scenario import judging
from aitbc_toolkit.suites.scenario.schema import Case
from aitbc_toolkit.suites.scene import Ended, Result, judged
from aitbc_toolkit.suites.verdicts import Verdict, worst

LIE = "v4 signed twice"
DONE = Ended(Verdict.PASS, "every step done")


def a_case(name: str = "byzantine/equivocation-on-hosts") -> Case:
    """Read a built-in scenario that must report something."""
    part = catalogue.parts(name, tier="nightly")[0]
    assert part.case is not None
    assert part.case.written.must_report
    return part.case


def told(steps: Ended, *, is_complete: bool = True, **broken: str) -> Result:
    """Judge a scenario whose steps ended so, as the checkers say and then as it is meant."""
    names = "agreement", "no_double_sign", "supply_conserved"
    said = {name: [broken[name]] if name in broken else [] for name in names}
    checkers = {name: lambda _, name=name: said[name] for name in names}
    verdict, line, words = judged(
        steps.verdict, steps.line, History(), checkers, complete=is_complete
    )
    return judging.as_meant(a_case(), Result("made", verdict, line, 1.0, words, steps=steps))


def test_it_passes_when_its_steps_went_well_and_the_checker_reported() -> None:
    """The one broken invariant is the one it is there for."""
    found = told(DONE, no_double_sign=LIE)

    assert found.verdict is Verdict.PASS
    assert found.line == f"reported, as it must be: no_double_sign: {LIE}"


@pytest.mark.parametrize("verdict", [each for each in Verdict if each is not Verdict.PASS])
def test_no_other_end_of_its_steps_passes(verdict: Verdict) -> None:
    """Nodes that stand still, a host that is gone, an honest one punished: each keeps its name."""
    found = told(Ended(verdict, "as planted"), no_double_sign=LIE)

    assert found.verdict is verdict
    assert found.line.startswith(f"its steps ended {verdict}; ")
    assert "as planted" in found.line


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_checker_that_keeps_silent_is_invalid_unless_there_is_worse(verdict: Verdict) -> None:
    """What it did not see hides neither a lost host nor an honest one that was punished."""
    found = told(Ended(verdict, "as planted"))

    assert found.verdict is worst([verdict, Verdict.INVALID])
    assert "no_double_sign was not reported" in found.line
    assert "as planted" in found.line


@pytest.mark.parametrize("more", [{"no_double_sign": LIE}, {}], ids=["reported", "silent"])
def test_what_is_broken_beside_it_is_red(more: dict[str, Any]) -> None:
    """It was not meant, and a checker that keeps silent does not hide it."""
    found = told(DONE, agreement="two blocks", **more)

    assert found.verdict is Verdict.SAFETY
    assert found.line.startswith("not meant to be broken: agreement; ")


def test_what_nobody_knows_of_the_others_is_no_pass() -> None:
    """An invariant that was not judged may be broken as well."""
    found = told(DONE, is_complete=False, no_double_sign=LIE)

    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.line.startswith("unknown: agreement, supply_conserved; ")


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("agreement: two blocks of height 2", Verdict.PASS),
        ("state_root_equal: two states of height 2", Verdict.PASS),
        ("supply_conserved: a coin more", Verdict.SAFETY),
        ("[v4] punished, and did no wrong", Verdict.SAFETY),
    ],
)
def test_steps_may_be_ended_only_by_what_they_must_report(line: str, verdict: Verdict) -> None:
    """A fork ends a run at once; nothing else that is unsafe is meant by it."""
    case, words = a_case("byzantine/over-threshold"), {"agreement": "broken"}
    steps = Ended(Verdict.SAFETY, line)
    result = Result("made", Verdict.SAFETY, f"agreement: x; {line}", 1.0, words, steps=steps)

    assert judging.as_meant(case, result).verdict is verdict


def test_a_result_without_its_steps_end_is_no_pass() -> None:
    """Whoever makes a result and forgets it gets no PASS for it."""
    result = Result("made", Verdict.SAFETY, LIE, 1.0, {"no_double_sign": "broken"})

    assert judging.as_meant(a_case(), result).verdict is Verdict.INVALID
