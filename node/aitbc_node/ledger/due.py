"""Which objects must be looked at when a height is reached?

An agenda inside the state for each kind of object: an entry per object and height, worked off at
the end of blocks, a bounded number each, so that nobody can make one block slow by having much fall
due at once; what is left waits for the next block, and no kind waits for another. Entries are
hints: whoever handles one looks at the object itself, which may be gone or postponed. Do not add
what happens to the objects.

Shape: agenda/"kind 0 height(8)" holds how many entries that height has, agenda/"kind 0 height(8)
index(4)" is one entry, agenda/"kind 0" is there only while entries of past heights are left, and
says where to go on.
"""

from aitbc_node.canonical import Record
from aitbc_node.ledger.objects import AGENDA, PROPOSAL, RECORD, UNBONDING, ObjectKey
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Height

KINDS = (PROPOSAL, RECORD, UNBONDING)

STEPS_PER_BLOCK = 200
"""Entries and heights of a kind that one block works off at most; more than one height."""


class Agenda(Record, frozen=True):
    """Be one of: an entry (`name`), a height's count (`number`), the place to go on."""

    name: bytes = b""
    number: int = 0
    height: Height = Height(0)


def plan(draft: Draft, height: Height, key: ObjectKey) -> None:
    """Have an object looked at at the end of a later block."""
    kind, name = key
    assert kind in KINDS, f"nobody handles a {kind} that is due"
    day = _place(kind, height)
    number = _entry(draft, day).number
    draft.put(_place(kind, height, number), Agenda(name=name))
    draft.put(day, Agenda(number=number + 1))


def take(draft: Draft, kind: str, height: Height) -> list[ObjectKey]:
    """Remove what of a kind is due by this height, and return it by name, each object once."""
    goes_on = _place(kind)
    cursor = _entry(draft, goes_on)
    day, index = (cursor.height or height), cursor.number
    taken: set[ObjectKey] = set()
    for _ in range(STEPS_PER_BLOCK):
        if day > height:
            break
        key = _place(kind, day, index)
        found = draft.lookup(key)
        if isinstance(found, Agenda):
            taken.add((kind, found.name))
            draft.remove(key)
            index += 1
        else:
            draft.remove(_place(kind, day))
            day, index = Height(day + 1), 0
    if day <= height:
        draft.put(goes_on, Agenda(height=day, number=index))
    else:
        draft.remove(goes_on)
    return sorted(taken)


def _entry(draft: Draft, key: ObjectKey) -> Agenda:
    found = draft.lookup(key)
    assert found is None or isinstance(found, Agenda), "no entry under an agenda's key"
    return found or Agenda()


def _place(kind: str, height: Height | None = None, index: int | None = None) -> ObjectKey:
    day = b"" if height is None else height.to_bytes(8, "big")
    return AGENDA, kind.encode() + b"\0" + day + (
        b"" if index is None else index.to_bytes(4, "big")
    )
