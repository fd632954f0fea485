"""What `aitbc status` says of an environment, without one."""

import pytest

from aitbc_toolkit.release.state import NodeRow, State

pytestmark = pytest.mark.unit


def a_state(**versions: int | None) -> State:
    """Build the state of some nodes by the version of their data; None does not answer."""
    rows = [
        NodeRow(name, "lab1", "validator", "c0ffee", "active", 9, 8, "voting", version)
        for name, version in versions.items()
    ]
    return State("lab", rows, len(rows), len(rows), None, reached=True)


def test_the_version_of_the_data_is_told_with_who_has_it() -> None:
    """It decides which release can be gone back to; a silent node is not guessed."""
    lines = a_state(v1=1, v2=1, v3=None).to_lines()

    assert "data version: 1 on v1 v2" in lines
    assert not any("finalize" in line for line in lines)


def test_two_versions_are_a_finalize_that_was_cut_short() -> None:
    """Both are named, and so is the command that ends it."""
    lines = a_state(v1=1, v2=2, v3=2).to_lines()

    assert "data version: 1 on v1, 2 on v2 v3" in lines
    assert "next: aitbc release finalize lab   # all in the newest" in lines
    assert [each["data_version"] for each in a_state(v1=1, v2=2).to_document()["nodes"]] == [1, 2]
