"""Every transaction of a swarm is in one column of its books, whatever comes in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_load.books import EXPIRED, FINAL, REJECTED, Books, Line
from aitbc_load.names import names_in

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["all", "accept", "again", "doubt", "refuse", FINAL, REJECTED, EXPIRED]),
        st.integers(0, 30),
        st.integers(1, 12),
    ),
    max_size=120,
)


def name_of(number: int) -> str:
    """Name one transaction."""
    return f"{number:064x}"


def opened(count: int) -> Books:
    """Send so many, one by one."""
    books = Books()
    for number in range(count):
        books.send(name_of(number), due_s=float(number))
    return books


@given(st.integers(0, 20), st.integers(1, 7), ACTIONS)
def test_the_columns_always_add_up(
    count: int, batch: int, actions: list[tuple[str, int, int]]
) -> None:
    """Whatever nodes say, twice, late, or of strangers: sent is what the columns hold."""
    books = Books()
    names = [name_of(number) for number in range(count)]
    lines = [
        books.send("".join(names[first : first + batch]), due_s=float(first))
        for first in range(0, count, batch)
    ]
    for what, number, span in actions:
        match what:
            case "all" if number // batch < len(lines):
                books.accept_all(lines[number // batch])
            case "all":
                pass
            case "accept":
                books.accept(name_of(number))
            case "doubt":
                books.doubt(name_of(number), "silent")
            case "again" | "refuse":
                books.refuse(name_of(number), "E_ANY", for_good=what == "refuse")
            case _:
                told = [name_of(other) for other in range(number, number + span)]
                books.fates("".join([*told, told[0]]), what, at_s=50.0)

        sums = books.sums()
        assert sum(line.open for line in lines) <= sums.pending
        assert sums.sent == count
        assert sums.sent == sums.final + sums.rejected + sums.expired + sums.pending
        assert sums.final <= sums.accepted <= sums.sent
        assert books.to_final.count == sums.final
        assert sum(books.rejects.values()) == sums.rejected


def test_time_to_final_counts_from_the_intended_start() -> None:
    """A transaction that was due at 3 s and final at 5 s took 2 s, whenever it was sent."""
    books = opened(4)

    books.fates(name_of(3), FINAL, at_s=5.0)

    assert books.to_final.percentile_us(50) == 2_000_000


def test_what_a_node_took_back_is_a_contradiction() -> None:
    """Refused for good, then in a block: that is said, and the books still balance."""
    books = opened(1)
    books.refuse(name_of(0), "E_NONCE", for_good=True)

    books.fates(name_of(0), FINAL, at_s=1.0)

    assert len(books.contradictions) == 1
    assert "was rejected, then final" in books.contradictions[0]
    assert (books.sums().rejected, books.sums().final) == (1, 0)


def test_a_promise_is_open_until_its_end() -> None:
    """What a node took and no block holds is counted as promised."""
    books = opened(3)
    books.accept(name_of(0))
    books.accept(name_of(1))
    books.fates(name_of(1), FINAL, at_s=9.0)

    assert books.promised == 1
    assert set(names_in(books.open_ids())) == {name_of(0), name_of(2)}
    assert (books.is_open(name_of(0)), books.is_open(name_of(1))) == (True, False)


def test_a_promise_that_expires_is_still_owed() -> None:
    """What a node took and let expire was in no block; what none took was promised to nobody."""
    books = opened(3)
    books.accept(name_of(0))
    books.accept(name_of(1))
    books.fates(name_of(0), EXPIRED, at_s=9.0)
    books.fates(name_of(1), REJECTED, at_s=9.0, code="nonce")
    books.fates(name_of(2), EXPIRED, at_s=9.0)

    assert books.promised == 1


def test_what_a_node_may_have_is_not_ended_by_another_ones_refusal() -> None:
    """A used nonce may be its own: it is in a block that nobody has told us of yet."""
    books = opened(3)
    books.accept(name_of(0))
    books.doubt(name_of(1), "silent")

    ended = [books.refuse(name_of(number), "nonce", for_good=True) for number in range(3)]

    assert ended == [False, False, True]
    for number in (0, 1):
        books.fates(name_of(number), FINAL, at_s=1.0)
    assert books.contradictions == []
    assert (books.sums().final, books.sums().rejected) == (2, 1)


@given(st.integers(1, 6), ACTIONS)
def test_a_hand_in_fares_as_its_transactions_would_alone(
    batch: int, actions: list[tuple[str, int, int]]
) -> None:
    """One line for many that fare alike, or a line for each: the books say the same."""
    together, alone = Books(), Books()
    lines: list[list[Line]] = []
    ones: list[list[Line]] = []
    names = [name_of(number) for number in range(30)]
    for first in range(0, 30, batch):
        own = names[first : first + batch]
        lines.append([together.send("".join(own), due_s=float(first))])
        ones.append([alone.send(name, due_s=float(first)) for name in own])

    # One word for all of them comes before any word for one of them, or never.
    for what, number, span in sorted(actions, key=lambda action: action[0] != "all"):
        for books, hand_ins in ((together, lines), (alone, ones)):
            match what:
                case "all":
                    for each in hand_ins[number // batch % len(hand_ins)]:
                        books.accept_all(each)
                case "accept":
                    books.accept(name_of(number))
                case "doubt":
                    books.doubt(name_of(number), "silent")
                case "again" | "refuse":
                    books.refuse(name_of(number), "E_ANY", for_good=what == "refuse")
                case _:
                    told = [name_of(other) for other in range(number, number + span)]
                    books.fates("".join(told), what, at_s=50.0)

    assert together.sums() == alone.sums()
    assert together.promised == alone.promised
    assert together.ended == alone.ended
    assert together.contradictions == alone.contradictions
    assert together.to_final.percentiles_ms() == alone.to_final.percentiles_ms()


def test_a_word_for_a_whole_hand_in_is_one_for_each() -> None:
    """What has ended before was counted then; what waits is promised from now on."""
    books = Books()
    line = books.send("".join(map(name_of, range(4))), due_s=0.0)
    books.fates(name_of(0), FINAL, at_s=1.0)

    books.accept_all(line)
    books.accept_all(line)

    assert (books.sums().accepted, books.promised, line.open) == (4, 3, 3)
    books.fates(name_of(1) + name_of(2), FINAL, at_s=2.0)
    books.fates(name_of(3), EXPIRED, at_s=2.0)
    assert (books.sums().accepted, books.promised, line.open) == (4, 1, 0)
    assert books.to_final.count == 3


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 5, 7])
def test_hand_ins_are_told_whole_or_in_parts(cut: int) -> None:
    """A block may end within one, begin with a stranger's, and go on where the last one ended."""
    books, names = Books(), [name_of(number) for number in range(8)]
    lines = [books.send("".join(names[at : at + 4]), due_s=1.0) for at in (0, 4)]
    books.accept_all(lines[0])

    books.fates(name_of(99) + "".join(names[:cut]), FINAL, at_s=2.0)

    assert [line.open for line in lines] == [max(0, 4 - cut), min(4, 8 - cut)]
    assert (books.open, books.sums().final) == (8 - cut, cut)
    books.fates("".join(names[cut:]) + name_of(98), FINAL, at_s=3.0)
    assert (books.open, books.promised, books.sums().accepted) == (0, 0, 8)
    assert books.ended == dict.fromkeys(names, FINAL)
    assert books.contradictions == []


def test_a_hand_in_is_one_entry_until_it_is_told_apart() -> None:
    """What saves the time: nothing is held of its transactions one by one."""
    books, names = Books(), [name_of(number) for number in range(8)]
    lines = [books.send("".join(names[at : at + 4]), due_s=1.0) for at in (0, 4)]
    books.accept_all(lines[0])

    assert (len(books._whole), len(books._open), books.promised) == (2, 0, 4)
    books.fates("".join(names[:4]), FINAL, at_s=2.0)
    assert (len(books._whole), len(books._open), books.promised) == (1, 0, 0)
    books.fates(names[4], FINAL, at_s=2.0)
    assert (len(books._whole), len(books._open)) == (0, 3)


def test_what_is_handed_in_twice_is_found() -> None:
    """A schedule that deals one transaction twice is a bug of ours: its sums would be wrong."""
    books, names = Books(), [name_of(number) for number in range(4)]
    books.send("".join(names[:2]), due_s=1.0)

    with pytest.raises(AssertionError, match="is sent once"):
        books.send("".join(names[:2]), due_s=1.0)
    books = Books()
    for pair in (names[:2], names[2:3] + names[1:2]):
        books.send("".join(pair), due_s=1.0)
        books.fates("".join(pair), FINAL, at_s=2.0)
    with pytest.raises(AssertionError, match="ended once"):
        assert books.ended


def test_a_hand_in_is_not_taken_for_another_that_begins_alike() -> None:
    """Its first id alone says nothing of the others: only those that are told have ended."""
    books, names = Books(), [name_of(number) for number in range(4)]
    line = books.send("".join(names), due_s=0.0)

    books.fates(names[0] + name_of(9) + names[2] + names[3], FINAL, at_s=1.0)

    assert (line.open, books.open_ids(), books.sums().final) == (1, names[1], 3)
