"""The agenda: what is due comes once, in order, and never too much of it at once."""

from aitbc_node.ledger import due
from aitbc_node.ledger.objects import AGENDA, RECORD, UNBONDING, ObjectKey
from aitbc_node.ledger.state import Draft, State
from aitbc_node.types import Height


def an_agenda(entries: dict[int, list[ObjectKey]]) -> Draft:
    """Plan these objects for these heights."""
    draft = Draft(State({}))
    for height, keys in entries.items():
        for key in keys:
            due.plan(draft, Height(height), key)
    return draft


def test_what_is_due_comes_at_its_height_by_name() -> None:
    """Whatever the order in which it was planned; an object planned twice comes once."""
    draft = an_agenda({5: [(RECORD, b"2"), (RECORD, b"1"), (RECORD, b"2")], 6: [(RECORD, b"3")]})

    assert due.take(draft, RECORD, Height(4)) == []
    assert due.take(draft, RECORD, Height(5)) == [(RECORD, b"1"), (RECORD, b"2")]
    assert due.take(draft, RECORD, Height(6)) == [(RECORD, b"3")]


def test_a_worked_off_agenda_leaves_nothing_in_the_state() -> None:
    """Neither entries nor counts nor the place to go on."""
    draft = an_agenda({5: [(RECORD, b"1")]})
    due.take(draft, RECORD, Height(5))

    assert {value for value in draft.writes().values() if value is not None} == set()


def test_too_much_for_one_block_waits_for_the_next() -> None:
    """Each block works off a bounded number; in the end all have come, each once."""
    many = [(RECORD, index.to_bytes(4, "big")) for index in range(2 * due.STEPS_PER_BLOCK + 50)]
    draft = an_agenda({5: many, 7: [(RECORD, b"")]})

    portions = [due.take(draft, RECORD, Height(height)) for height in range(5, 9)]

    assert [len(portion) for portion in portions] == [200, 200, 51, 0]
    assert sorted(key for portion in portions for key in portion) == sorted([*many, (RECORD, b"")])
    assert draft.lookup((AGENDA, b"record\0")) is None


def test_a_long_lag_is_caught_up_with() -> None:
    """Heights without entries cost a step each, so that one burst is made good."""
    draft = an_agenda({1: [(RECORD, index.to_bytes(4, "big")) for index in range(5_000)]})

    heights = range(1, 40)
    came = [len(due.take(draft, RECORD, Height(height))) for height in heights]

    assert sum(came) == 5_000
    assert came[-1] == 0


def test_a_kind_does_not_wait_for_another() -> None:
    """Whoever plans records without end delays records, never what is paid back to somebody."""
    draft = Draft(State({}))
    due.plan(draft, Height(9), (UNBONDING, b"north"))
    for height in range(1, 10):
        for index in range(2 * due.STEPS_PER_BLOCK):
            due.plan(draft, Height(height), (RECORD, bytes((height, index // 256, index % 256))))

    for height in range(1, 10):
        late = due.take(draft, RECORD, Height(height))
        paid = due.take(draft, UNBONDING, Height(height))

    assert max(key[1][0] for key in late) < 9
    assert paid == [(UNBONDING, b"north")]
