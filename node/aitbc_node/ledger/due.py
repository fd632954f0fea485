"""Which objects must be looked at when a height is reached?

An agenda inside the state: an entry per object and height, worked off at the end of blocks, a
bounded number each, so that nobody can make one block slow by having much fall due at once; what
is left waits for the next block. Entries are hints: whoever handles one looks at the object
itself, which may be gone or postponed. Do not add what happens to the objects.

Shape: agenda/"height(8)" holds how many entries that height has, agenda/"height(8) index(4)" is
one entry, agenda/"" is there only while entries of past heights are left, and says where to go on.
"""

from aitbc_node.canonical import Record
from aitbc_node.ledger.objects import AGENDA, ObjectKey
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Height

STEPS_PER_BLOCK = 200
"""Entries and heights that one block works off at most; more than one height, so it catches up."""

_CURSOR: ObjectKey = (AGENDA, b"")


class Agenda(Record, frozen=True):
    """Be one of: an entry (kind and name), a height's count (`number`), the place to go on."""

    kind: str = ""
    name: bytes = b""
    number: int = 0
    height: Height = Height(0)


def plan(draft: Draft, height: Height, key: ObjectKey) -> None:
    """Have an object looked at at the end of a later block."""
    day = (AGENDA, _bytes(height))
    number = _entry(draft, day).number
    draft.put((AGENDA, _bytes(height, number)), Agenda(kind=key[0], name=key[1]))
    draft.put(day, Agenda(number=number + 1))


def take(draft: Draft, height: Height) -> list[ObjectKey]:
    """Remove what is due by this height, and return it by kind and name, each object once."""
    cursor = _entry(draft, _CURSOR)
    day, index = (cursor.height or height), cursor.number
    taken: set[ObjectKey] = set()
    for _ in range(STEPS_PER_BLOCK):
        if day > height:
            break
        key = (AGENDA, _bytes(day, index))
        found = draft.lookup(key)
        if isinstance(found, Agenda):
            taken.add((found.kind, found.name))
            draft.remove(key)
            index += 1
        else:
            draft.remove((AGENDA, _bytes(day)))
            day, index = Height(day + 1), 0
    if day <= height:
        draft.put(_CURSOR, Agenda(height=day, number=index))
    else:
        draft.remove(_CURSOR)
    return sorted(taken)


def _entry(draft: Draft, key: ObjectKey) -> Agenda:
    found = draft.lookup(key)
    assert found is None or isinstance(found, Agenda), "no entry under an agenda's key"
    return found or Agenda()


def _bytes(height: Height, index: int | None = None) -> bytes:
    day = height.to_bytes(8, "big")
    return day if index is None else day + index.to_bytes(4, "big")
