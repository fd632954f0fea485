"""Power: who is enough, for every small set; and a block is final only by it."""

from itertools import combinations

import pytest

from aitbc_node.blocks import PRECOMMIT, PREVOTE
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.inputs import Decided, ValueChecked, VoteReceived
from aitbc_node.consensus.messages import Vote
from aitbc_node.consensus.votes import Tally, VoteBook
from aitbc_node.types import Round
from aitbc_sim.core_mesh import CoreMesh
from aitbc_sim.testing import (
    a_core,
    a_set,
    a_value,
    a_vote,
    power_of,
)

pytestmark = pytest.mark.unit

V = a_value("v")
W = a_value("w")


def some_powers(count: int) -> list[tuple[int, ...]]:
    """Return even, rising, top-heavy and thirds-shaped powers for so many validators."""
    return [
        (1,) * count,
        tuple(range(1, count + 1)),
        (count,) + (1,) * (count - 1),
        tuple(3 if index % 3 == 0 else 2 for index in range(count)),
    ]


@pytest.mark.proves("E4")
@pytest.mark.parametrize("count", range(1, 14))
def test_every_subset_is_a_quorum_exactly_above_two_thirds(count: int) -> None:
    """For 1 to 13 validators of unequal powers, each subset of them, compared with fractions.

    Two quorums must share more than a third of the power: that is why no two blocks are final.
    """
    for powers in some_powers(count):
        electorate = Electorate(a_set(powers))
        total = sum(powers)
        least_quorum = total
        for subset in range(1 << count):
            power = sum(powers[index] for index in range(count) if subset >> index & 1)
            assert electorate.is_quorum(power) == (power / total > 2 / 3 + 1e-12)
            assert electorate.is_blocking(power) == (power / total > 1 / 3 + 1e-12)
            if electorate.is_quorum(power):
                least_quorum = min(least_quorum, power)
        assert electorate.is_blocking(2 * least_quorum - total)


@pytest.mark.parametrize("powers", [(1, 1, 1, 1), (4, 1, 1, 1, 1), (3, 2, 2, 3, 2, 2, 3)])
def test_a_tally_has_a_winner_exactly_with_a_quorum(powers: tuple[int, ...]) -> None:
    """Whoever votes, in every choice of voters, the winner appears with the power, not before."""
    electorate = Electorate(a_set(powers))
    for size in range(1, len(powers) + 1):
        for voters in combinations(range(len(powers)), size):
            tally = Tally(electorate)
            for voter in voters:
                tally.add(a_vote(PREVOTE, V, by=voter))

            power = sum(powers[voter] for voter in voters)
            assert (tally.winner == V) == (3 * power > 2 * sum(powers))


@pytest.mark.parametrize("powers", some_powers(7))
def test_turns_are_those_of_the_validator_set(powers: tuple[int, ...]) -> None:
    """The quick list of proposers says the same as the set itself."""
    validators = a_set(powers).rotated().rotated()
    electorate = Electorate(validators)

    assert [validators.members[electorate.proposer(Round(r))] for r in range(30)] == [
        validators.proposer(Round(r)) for r in range(30)
    ]


@pytest.mark.proves("E4")
@pytest.mark.parametrize("faults", [1, 2, 3, 4])
def test_a_block_is_final_with_two_thirds_and_one_vote_not_with_less(faults: int) -> None:
    """Of 3f+1, 2f precommits decide nothing, 2f+1 do, and the certificate holds just those."""
    core = a_core([1] * (3 * faults + 1), own=None)
    core.feed(ValueChecked(V, valid=True, time_ms=1))

    for voter in range(2 * faults):
        early = core.feed(VoteReceived(a_vote(PRECOMMIT, V, by=voter, time_ms=9)))
        assert not any(isinstance(effect, Decided) for effect in early)
    effects = core.feed(VoteReceived(a_vote(PRECOMMIT, V, by=2 * faults, time_ms=9)))

    (decided,) = (effect for effect in effects if isinstance(effect, Decided))
    assert (decided.height, decided.round, decided.block_id) == (1, 0, V)
    assert power_of(decided.certificate, core.validators) == 2 * faults + 1


@pytest.mark.proves("E4")
@pytest.mark.parametrize(
    "stranger",
    [
        a_vote(PRECOMMIT, W, by=2),
        a_vote(PRECOMMIT, V, by=2, round_=1),
        a_vote(PRECOMMIT, V, by=2, height=2),
        a_vote(PREVOTE, V, by=2),
        Vote(PRECOMMIT, 1, 0, V, 9, 2, b"x" * 64),  # type: ignore[arg-type]  # plain numbers
        Vote(PRECOMMIT, 1, 0, V, 9, 2, a_vote(PRECOMMIT, V, by=1, time_ms=9).signature),  # type: ignore[arg-type]  # as above
        a_vote(PRECOMMIT, V, by=1, time_ms=5),
    ],
    ids=["other id", "other round", "other height", "prevote", "unsigned", "copied", "twice"],
)
def test_only_votes_for_exactly_this_block_and_round_count(stranger: Vote) -> None:
    """2f+1 messages of which one is not for this height, round and id, by its own key: no block."""
    core = a_core([1, 1, 1, 1], own=None)
    core.feed(ValueChecked(V, valid=True, time_ms=1))

    effects = []
    for vote in (
        a_vote(PRECOMMIT, V, by=0, time_ms=9),
        a_vote(PRECOMMIT, V, by=1, time_ms=9),
        stranger,
    ):
        effects += core.feed(VoteReceived(vote))

    assert not any(isinstance(effect, Decided) for effect in effects)


@pytest.mark.parametrize("powers", [(1,), (1, 1), (2, 1, 1, 3), (1,) * 7])
def test_any_number_of_validators_runs_the_same_code(powers: tuple[int, ...]) -> None:
    """One validator alone decides by itself; more agree; each certificate proves its block."""
    mesh = CoreMesh(powers, seed=1)

    assert mesh.run(lambda: mesh.lowest >= 5, limit_ms=20_000)

    assert all(len(ids) == 1 for ids in mesh.blocks.values())
    for node in mesh.nodes:
        for certificate in node.chain:
            assert 3 * power_of(certificate, mesh.validators(1)) > 2 * sum(powers)


def test_kept_votes_are_bounded_whatever_a_validator_sends() -> None:
    """10,000 rightly signed votes of one validator leave a handful in memory."""
    book = VoteBook(Electorate(a_set([1, 1, 1, 1])))
    book.keep([Round(0), Round(1)])
    for number in range(10_000):
        value = a_value(str(number))
        vote = a_vote(PREVOTE if number % 2 else PRECOMMIT, value, by=3, round_=number % 50)
        if book.standing(vote, favoured=frozenset()) in {"new", "second"}:
            book.add(vote)

    assert len(list(book.votes())) <= 2 * 2 * 2 + 2
