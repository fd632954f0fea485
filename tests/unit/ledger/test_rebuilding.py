"""Rebuilding: a state comes back from the bytes of its objects, or says what is wrong with them."""

import pytest

from aitbc_node.canonical import encode
from aitbc_node.ledger import rebuilding
from aitbc_node.ledger.rebuilding import rebuilt
from aitbc_node.ledger.state import State
from aitbc_sim.town import Town

Row = tuple[str, bytes, bytes]


def rows(state: State) -> list[Row]:
    """Write the objects of a state as a file would hold them."""
    return [(kind, name, encode(record)) for (kind, name), record in state.items()]


@pytest.mark.parametrize("portion", [1, 3, rebuilding.PORTION])
def test_the_same_objects_give_the_same_root(
    town: Town, monkeypatch: pytest.MonkeyPatch, portion: int
) -> None:
    """Neither the order of the rows nor the portions they come in have a say."""
    monkeypatch.setattr(rebuilding, "PORTION", portion)

    found = rebuilt(reversed(rows(town.state)))

    assert isinstance(found, State)
    assert found.root == town.state.root
    assert dict(found.items()) == dict(town.state.items())


def test_a_lost_object_is_another_root(town: Town) -> None:
    """What comes out is for the caller to compare, and it can tell."""
    found = rebuilt(rows(town.state)[1:])

    assert isinstance(found, State)
    assert found.root != town.state.root


def test_nothing_is_the_empty_state() -> None:
    """No rows are no mistake: a chain may have no such file yet."""
    found = rebuilt([])

    assert isinstance(found, State)
    assert found.root == State({}).root


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("castle", b"x", b"\x90"), "of unknown kind 'castle'"),
        (("account", b"x" * 20, b"\xc1"), "an object that this build cannot read"),
    ],
)
def test_bytes_that_are_no_object_are_told(town: Town, row: Row, said: str) -> None:
    """Whatever a file holds, the answer is a sentence and no exception."""
    found = rebuilt([*rows(town.state), row])

    assert isinstance(found, str)
    assert said in found
