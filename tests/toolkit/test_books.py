"""The books of a run that sends on and on: every transaction is in one column."""

import pytest

from aitbc_toolkit.books import Books, Schedule


def some_books(*names: str, valid_until: int = 10) -> Books:
    """Open a line for each name, all due at second 1."""
    books = Books()
    for name in names:
        books.begin(name, valid_until=valid_until, due_s=1.0, at_s=1.02)
    return books


def test_a_schedule_does_not_know_of_answers() -> None:
    """Each transaction has its moment from the beginning."""
    schedule = Schedule(20, 1.5)

    assert schedule.count == 30
    assert [schedule.due_s(index) for index in (0, 1, 29)] == [0.0, 0.05, 1.45]


def test_what_is_in_a_block_is_final_from_when_it_was_due() -> None:
    """The wait begins when it was due, not when the sender got round to it."""
    books = some_books("a")
    books.accepted("a")

    books.block(3, ["a", "somebody else's"], at_s=1.5)

    tally = books.tally(paid=1, took_s=2.0)
    assert (tally.sent, tally.accepted, tally.final, tally.rejected, tally.lost) == (1, 1, 1, 0, 0)
    assert tally.to_final_ms == {50: 500, 95: 500, 99: 500}
    assert tally.behind_ms == 20


def test_only_accepted_and_neither_final_nor_expired_is_lost() -> None:
    """What no node took is open, which breaks nobody's word."""
    books = some_books("a", "b")
    books.accepted("a")

    books.block(9, [], at_s=2.0)

    tally = books.tally(paid=0, took_s=2.0)
    assert (tally.lost, tally.open, tally.loss) == (1, 2, "1 of 1 accepted")


def test_it_is_expired_when_its_last_height_is_final_without_it() -> None:
    """The block of that very height may still hold it."""
    books = some_books("in time", "too late")
    books.accepted("too late")

    books.block(10, ["in time"], at_s=2.0)

    tally = books.tally(paid=1, took_s=2.0)
    assert (tally.final, tally.expired, tally.lost, tally.open) == (1, 1, 0, 0)


def test_an_answer_may_come_after_its_block() -> None:
    """It is accepted all the same, and not counted twice."""
    books = some_books("a")
    books.block(3, ["a"], at_s=1.5)

    books.accepted("a")
    books.block(4, ["a"], at_s=9.0)

    tally = books.tally(paid=1, took_s=2.0)
    assert (tally.accepted, tally.final, tally.to_final_ms[99]) == (1, 1, 500)


def test_what_was_final_without_arriving_is_rejected() -> None:
    """Blocks hold two payments, the payee has one; an unknown sum is no guess."""
    books = some_books("a", "b")
    books.block(3, ["a", "b"], at_s=1.5)

    assert books.tally(paid=1, took_s=2.0).rejected == 1
    assert books.tally(paid=None, took_s=2.0).rejected is None


def test_percentiles_are_waits_that_were_measured() -> None:
    """Nearest rank: of a hundred waits the 95th, not a value between two."""
    names = [str(number) for number in range(100)]
    books = some_books(*names)
    for number, name in enumerate(names, start=1):
        books.block(1, [name], at_s=1.0 + number / 100)

    tally = books.tally(paid=100, took_s=2.0)

    assert tally.to_final_ms == {50: 500, 95: 950, 99: 990}


def test_no_transaction_is_begun_twice() -> None:
    """A nonce used twice would hide a loss."""
    books = some_books("a")

    with pytest.raises(AssertionError, match="nonce of its own"):
        books.begin("a", valid_until=10, due_s=1.0, at_s=1.0)
