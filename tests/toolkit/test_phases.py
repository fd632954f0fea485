"""Phases are walked in order and stop at the first gate that fails."""

import pytest

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.release.checks import Check, State
from aitbc_toolkit.release.walking import Phase, walk

pytestmark = pytest.mark.unit


def a_phase(name: str, state: State, looked: list[str]) -> Phase:
    """Build a phase whose gate says one thing, and notes that it was asked."""

    def gate() -> list[Check]:
        looked.append(name)
        return [Check("environments", "disk", state, "12 MiB are free", "df -h", "lab1")]

    return Phase(name, gate)


def test_a_failed_gate_is_named_and_nothing_after_it_starts() -> None:
    """The report says which check of which host closed the gate; later gates are not asked."""
    looked: list[str] = []
    through = [
        a_phase("one", "pass", looked),
        a_phase("two", "fail", looked),
        a_phase("three", "pass", looked),
    ]

    found = list(walk(through))

    assert looked == ["one", "two"]
    assert [each.state for each in found] == ["pass", "fail", "not started"]
    assert found[1].evidence == "disk of lab1: 12 MiB are free"
    assert found[1].hint == "df -h"
    assert found[2].evidence == "phase 2, two, did not pass"


def test_what_does_not_exist_is_not_available_and_never_passed() -> None:
    """A phase with nothing to look at is neither passed nor a failure."""
    assert [each.state for each in walk([a_phase("economics", "n.a.", [])])] == ["n.a."]


def test_a_gate_that_cannot_be_asked_is_closed() -> None:
    """A refusal on the way to the answer counts as the failure that it is."""

    def gate() -> list[Check]:
        raise AitbcError("no keys yet\n  details", hint="aitbc keys new lab")

    [found] = walk([Phase("keys", gate)])

    assert (found.state, found.evidence) == ("fail", "no keys yet")
    assert found.hint == "aitbc keys new lab"
