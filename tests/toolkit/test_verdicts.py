"""What the end of a suite is called, and with which status a command says so."""

import pytest

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites.verdicts import Verdict, exit_of, worst


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Verdict.SAFETY, 10),
        (Verdict.LIVENESS, 11),
        (Verdict.OBJECTIVE, 12),
        (Verdict.INCONCLUSIVE, 13),
        (Verdict.INFRA, 14),
        (Verdict.UNHEALED, 15),
        (Verdict.INVALID, 16),
        (Verdict.PASS, 0),
    ],
)
def test_check_09_10_to_16_each_end_of_a_suite_has_its_status(
    verdict: Verdict, status: int
) -> None:
    """A script tells a mesh that forked from one that stood still, and both from no answer."""
    assert exit_of(verdict) == status


def test_every_end_of_a_suite_has_a_status_of_its_own() -> None:
    """None is left out, and no two are told alike."""
    assert len({exit_of(each) for each in Verdict}) == len(Verdict)


def test_the_worst_end_stands_for_all_and_nothing_is_no_pass() -> None:
    """A suite that played nothing has shown nothing."""
    assert worst([Verdict.PASS, Verdict.SAFETY, Verdict.UNHEALED]) is Verdict.SAFETY
    assert worst([Verdict.PASS, Verdict.UNHEALED, Verdict.LIVENESS]) is Verdict.UNHEALED
    assert exit_of(worst([])) is Exit.INVALID
