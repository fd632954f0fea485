"""Votes are kept, told apart and bounded round by round."""

from itertools import pairwise

import pytest

from aitbc_node.blocks import NO_BLOCK, PRECOMMIT, PREVOTE
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.votes import Tally, VoteBook
from aitbc_node.types import Round
from aitbc_sim.testing import a_key, a_set, a_value, a_vote

pytestmark = pytest.mark.unit

V = a_value("v")
W = a_value("w")
X = a_value("x")
NOBODY = frozenset({NO_BLOCK})


def a_book(*rounds: int, count: int = 4) -> VoteBook:
    """Return a book of equal validators that keeps these rounds."""
    book = VoteBook(Electorate(a_set((1,) * count)))
    book.keep(Round(round_) for round_ in rounds)
    return book


def standing(book: VoteBook, kind: int, *, by: int, round_: int, value: bytes = V) -> str:
    """Say what the book thinks of a vote, without taking it in."""
    return book.standing(a_vote(kind, type(V)(value), by=by, round_=round_), favoured=NOBODY)


def test_each_vote_of_a_kept_round_stands_as_new_second_known_or_useless() -> None:
    """The first, another one, the same again, and a third that nothing speaks for."""
    book = a_book(0)

    seen = [standing(book, PREVOTE, by=1, round_=0)]
    book.add(a_vote(PREVOTE, V, by=1))
    seen.append(standing(book, PREVOTE, by=1, round_=0))
    seen.append(standing(book, PREVOTE, by=1, round_=0, value=W))
    book.add(a_vote(PREVOTE, W, by=1))
    seen.append(standing(book, PREVOTE, by=1, round_=0, value=X))
    seen.append(standing(book, PRECOMMIT, by=1, round_=0))
    seen.append(standing(book, PREVOTE, by=2, round_=0))

    assert seen == ["new", "known", "second", "useless", "new", "new"]
    third = a_vote(PREVOTE, X, by=1)
    assert book.standing(third, favoured=frozenset({X})) == "second"


def test_of_rounds_far_ahead_only_each_validators_newest_is_kept() -> None:
    """A prevote and a precommit of that round, each once; older rounds are of no use any more."""
    book = a_book(0, 1)
    seen = [standing(book, PREVOTE, by=1, round_=5)]
    book.add(a_vote(PREVOTE, V, by=1, round_=5))
    seen.append(standing(book, PREVOTE, by=1, round_=5, value=W))
    seen.append(standing(book, PRECOMMIT, by=1, round_=5))
    seen.append(standing(book, PREVOTE, by=1, round_=4))
    seen.append(standing(book, PREVOTE, by=1, round_=6))
    seen.append(standing(book, PREVOTE, by=2, round_=4))

    assert seen == ["new", "known", "new", "useless", "new", "new"]

    book.add(a_vote(PRECOMMIT, V, by=1, round_=5))
    assert len(list(book.votes())) == 2
    book.add(a_vote(PREVOTE, V, by=1, round_=6))
    assert [vote.round for vote in book.votes()] == [6]
    assert standing(book, PRECOMMIT, by=1, round_=6) == "new"


def test_votes_that_waited_count_once_their_round_is_kept() -> None:
    """Both kinds, in their own tallies; those of validators elsewhere go on waiting."""
    book = a_book(0, 1)
    for by in range(3):
        book.add(a_vote(PREVOTE, V, by=by, round_=5))
    book.add(a_vote(PRECOMMIT, W, by=0, round_=5))
    book.add(a_vote(PREVOTE, W, by=3, round_=9))

    book.keep((Round(4), Round(5)))

    assert book.round(Round(5)).prevotes.winner == V
    assert list(book.round(Round(5)).precommits.voters(W)) == [0]
    assert list(book.round(Round(5)).precommits.voters(V)) == []
    assert sorted(vote.round for vote in book.votes()) == [5, 5, 5, 5, 9]


def test_who_spoke_in_a_newer_round_is_not_asked_about_the_older_one() -> None:
    """A vote of a kept round, or a proposal, makes what waited of an older round useless."""
    by_vote, by_proposal = a_book(0, 1), a_book(0, 1)
    for book in (by_vote, by_proposal):
        book.add(a_vote(PREVOTE, V, by=1, round_=3))
        book.keep((Round(6), Round(7)))

    by_vote.add(a_vote(PREVOTE, V, by=1, round_=6))
    by_proposal.saw(1, Round(6))

    assert [vote.round for vote in by_vote.votes()] == [6]
    assert list(by_proposal.votes()) == []
    for book in (by_vote, by_proposal):
        assert standing(book, PREVOTE, by=1, round_=5) == "useless"
        assert standing(book, PREVOTE, by=1, round_=8) == "new"


def test_a_proposal_of_the_same_round_takes_no_waiting_vote_away() -> None:
    """Whoever proposed in a round may have voted there, too."""
    book = a_book(0, 1)
    book.add(a_vote(PREVOTE, V, by=1, round_=5))

    book.saw(1, Round(5))
    book.saw(1, Round(4))

    assert [vote.round for vote in book.votes()] == [5]


def test_a_vote_is_compared_with_one_for_the_same_id_first() -> None:
    """Of an equivocator both are here; where nothing is kept there is nothing to compare."""
    book = a_book(0)
    first, second = a_vote(PRECOMMIT, V, by=1, time_ms=5), a_vote(PRECOMMIT, W, by=1, time_ms=6)
    book.add(first)
    book.add(second)

    assert book.like(a_vote(PRECOMMIT, W, by=1, time_ms=9)) == second
    assert book.like(a_vote(PRECOMMIT, X, by=1)) == first
    assert book.first_of(a_vote(PRECOMMIT, X, by=1)) == first
    assert book.like(a_vote(PREVOTE, V, by=1)) is None
    assert book.like(a_vote(PRECOMMIT, V, by=2)) is None
    assert book.like(a_vote(PRECOMMIT, V, by=1, round_=3)) is None


def test_a_quorum_is_past_a_step_with_votes_there_or_later() -> None:
    """A precommit passed the prevotes, a newer round passed both; the round itself did not."""
    book = a_book(0, 1, 2)
    for by, kind, round_ in ((0, PREVOTE, 1), (1, PRECOMMIT, 1), (2, PREVOTE, 1)):
        book.add(a_vote(kind, V if by else W, by=by, round_=round_))

    assert book.has_quorum_past(PREVOTE, Round(1))
    assert not book.has_quorum_past(PRECOMMIT, Round(1))
    book.add(a_vote(PREVOTE, V, by=0, round_=2))
    assert not book.has_quorum_past(PRECOMMIT, Round(1)), "who prevoted there is not beyond it"
    book.add(a_vote(PREVOTE, V, by=2, round_=2))
    assert book.has_quorum_past(PRECOMMIT, Round(1))
    assert not book.has_quorum_past(PREVOTE, Round(2))


def test_a_tally_names_those_who_voted_for_an_id() -> None:
    """Everybody, or the voters of one id; nobody for an id without votes."""
    tally = Tally(Electorate(a_set((2, 1, 1))))
    tally.add(a_vote(PREVOTE, V, by=0))
    tally.add(a_vote(PREVOTE, W, by=2))

    assert list(tally.voters()) == [0, 2]
    assert list(tally.voters(V)) == [0]
    assert list(tally.voters(X)) == []
    assert not tally.has_quorum_for(V)
    assert not tally.has_quorum_for(X)
    tally.add(a_vote(PREVOTE, V, by=1))
    assert tally.has_quorum_for(V)
    assert not Tally(Electorate(a_set((1,)))).has_quorum_for(V)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17])
def test_a_bitmap_has_a_bit_for_each_validator(count: int) -> None:
    """As few bytes as hold them all, the first validator in the lowest bit."""
    book = a_book(0, count=count)
    voters = sorted({0, count // 2, count - 1})
    for by in voters:
        book.add(a_vote(PREVOTE, V if by else W, by=by))

    everybody = book.bitmap(PREVOTE, Round(0))
    for_v = book.bitmap(PREVOTE, Round(0), V)

    assert len(everybody) == (count + 7) // 8
    assert [n for n in range(8 * len(everybody)) if everybody[n // 8] >> n % 8 & 1] == voters
    assert [n for n in range(8 * len(for_v)) if for_v[n // 8] >> n % 8 & 1] == voters[1:]


def test_an_electorate_finds_its_members_and_no_stranger() -> None:
    """A key's place is its index in the set."""
    electorate = Electorate(a_set((1, 2, 3)))

    assert [electorate.index_of(a_key(index)) for index in range(3)] == [0, 1, 2]
    assert electorate.index_of(a_key(7)) is None
    assert len(electorate) == 3


def test_turns_do_not_depend_on_the_order_of_questions() -> None:
    """A later round first, then the earlier: the same answers as in order."""
    powers = (5, 3, 1)
    asked, in_order = Electorate(a_set(powers)), Electorate(a_set(powers))

    late = asked.proposer(Round(8))

    turns = [in_order.proposer(Round(round_)) for round_ in range(9)]
    assert [asked.proposer(Round(round_)) for round_ in range(9)] == turns
    assert late == turns[8]
    assert [turns.count(index) for index in range(3)] == [5, 3, 1]
    assert any(one != other for one, other in pairwise(turns))
