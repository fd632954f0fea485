"""Fields at fault: indexes of an encoding become names that a client knows."""

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from aitbc_node.canonical import NotCanonicalError, Record, decode
from aitbc_node.ledger.fields import form_fault, locate


class Leaf(Record, frozen=True):
    size: Annotated[int, Meta(ge=0)]
    tags: tuple[Annotated[str, Meta(max_length=3)], ...] = ()


class Left(Record, frozen=True, tag="left"):
    leaf: Leaf


class Right(Record, frozen=True, tag="right"):
    count: int


class Tree(Record, frozen=True):
    name: str
    maybe: Leaf | None
    sides: tuple[Left | Right, ...]


GOOD = ["oak", [1, ["a"]], [["left", [2, []]], ["right", 3]]]


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ([0], 5, "name"),
        ([1], "x", "maybe"),
        ([1, 0], -1, "maybe.size"),
        ([1, 1, 0], "long", "maybe.tags[0]"),
        ([2], 7, "sides"),
        ([2, 0], 7, "sides[0]"),
        ([2, 0, 0], "up", "sides[0].type"),
        ([2, 0, 0], 7, "sides[0].type"),
        ([2, 0, 1, 0], "x", "sides[0].leaf.size"),
        ([2, 1, 1], "x", "sides[1].count"),
    ],
)
def test_a_place_is_told_by_name(place: list[int], value: object, field: str) -> None:
    """Optional records, lists and tagged choices are walked alike."""
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(GOOD))
    target = fields
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    data = msgspec.msgpack.encode(fields)

    with pytest.raises(NotCanonicalError) as caught:
        decode(data, Tree)

    name, message = locate(str(caught.value), data, Tree)
    assert name == field
    assert "$" not in message


@pytest.mark.parametrize("error", ["nonsense", "bad - at `$[9][9]`", "bad - at `$[0][0][0]`"])
def test_what_cannot_be_placed_is_told_as_it_is(error: str) -> None:
    """A message that points nowhere still ends in a refusal, never in an exception."""
    name, message = locate(error, msgspec.msgpack.encode(GOOD), Tree)

    assert (name, bool(message)) == ("", True)


def test_a_record_made_here_is_judged_like_one_that_came() -> None:
    """Bounds hold whoever put the record together, numbers beyond 64 bits included."""
    assert form_fault(Tree("oak", Leaf(1), ())) is None
    fault = form_fault(Tree("oak", Leaf(-1), ()))
    assert fault is not None
    assert fault.field == "maybe.size"
    assert form_fault(Tree("oak", Leaf(2**70), ())) is not None
