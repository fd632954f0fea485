"""Absence: who misses nearly a whole window loses its vote, nothing else, and never the quorum."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from aitbc_node.codes import Code
from aitbc_node.ledger import absence
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.family import Act
from aitbc_node.ledger.motions import ChangeParameter, EndEpoch, Motion
from aitbc_node.ledger.objects import (
    ACTIVE,
    AWAY,
    AWAY_LEAVING,
    CANDIDATE,
    EQUIVOCATION,
    JAILED,
    LEAVING,
    Membership,
)
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote, proposal_id
from aitbc_node.ledger.staking import membership_key
from aitbc_node.types import Height
from aitbc_sim.town import VALIDATOR_NAMES, Town, a_genesis, address, key_of

COIN = 1_000_000


def a_hall(*powers: int, **params: int) -> Town:
    """Found a town with windows of ten blocks; who misses nine of one is jailed."""
    chosen = {"epoch_blocks": 5, "absence_window_blocks": 10, "jail_blocks": 12, **params}
    return Town(a_genesis(rich=VALIDATOR_NAMES, params=Params(**chosen), powers=powers))


def away(town: Town, *names: str) -> Town:
    """Let these sign nothing from now on."""
    town.absent = {key_of(f"{name} votes").public_key for name in names}
    return town


def run_to(town: Town, height: int) -> list[tuple[str, ...]]:
    """Apply empty blocks; return what happened by rule."""
    events: list[tuple[str, ...]] = []
    while town.height < height:
        events.extend(town.apply().events)
    return events


def member(town: Town, name: str = "north") -> Membership:
    """Return how one takes part."""
    found = town.state.membership(address(name))
    assert found is not None
    return found


def power(town: Town, name: str = "north") -> int:
    """Return one's vote."""
    return town.state.validators.power_of(key_of(f"{name} votes").public_key)


@pytest.mark.proves("E7")
def test_who_misses_a_window_is_jailed_and_loses_no_coin() -> None:
    """Block 10 is the first to show nine missed heights; the vote ends with the epoch."""
    hall = away(a_hall(10, 10, 10, 10), "north")

    early = run_to(hall, 9)
    events = run_to(hall, 10)
    then = (member(hall).status, power(hall))
    run_to(hall, 15)

    assert early == []
    assert events == [("jailed", address("north").hex(), "9")]
    assert then == (JAILED, 0), "block 10 ends the second epoch"
    assert (member(hall).jailed_for, member(hall).jailed_until) == (AWAY, 22)
    assert member(hall).bonded == 10 * COIN
    assert all(power(hall, name) == 10 for name in ("east", "south", "west"))


def test_who_signs_now_and_then_stays() -> None:
    """Two of ten blocks are enough for the vote, if not for much of a reward."""
    hall = a_hall(10, 10, 10, 10)
    for _ in range(6):
        run_to(away(hall, "north"), hall.height + 8)
        run_to(away(hall), hall.height + 2)

    assert (member(hall).status, power(hall)) == (ACTIVE, 10)


def test_the_count_begins_anew_with_each_window() -> None:
    """Eight at the end of one and eight at the beginning of the next are not sixteen."""
    hall = a_hall(10, 10, 10, 10)
    run_to(hall, 3)
    run_to(away(hall, "north"), 18)

    assert hall.state.absence.rows == ((address("north"), 8),)
    assert run_to(away(hall), 20) == []
    assert hall.state.absence.rows == ()


def test_never_so_many_that_a_third_is_in_jail_with_a_vote() -> None:
    """Three of ten are away, the fourth must stay; the longest absent goes first."""
    hall = a_hall(2, 3, 3, 2, epoch_blocks=40)
    run_to(away(hall, "south"), 2)
    events = run_to(away(hall, "north", "south", "west"), 30)

    jailed = {bytes.fromhex(event[1]) for event in events}
    assert jailed == {address("south")}
    assert len(events) == 1
    assert sum(power(hall, name) for name in VALIDATOR_NAMES) == 10


def test_the_second_of_four_equals_is_not_jailed_after_the_first() -> None:
    """With the first gone, the second is a third: the chain would end without it."""
    hall = away(a_hall(1, 1, 1, 1), "north", "east")

    run_to(hall, 100)

    in_jail = [name for name in VALIDATOR_NAMES if member(hall, name).status == JAILED]
    assert len(in_jail) == 1
    assert hall.state.validators.total_power == 3


def test_its_operator_brings_it_back_when_the_time_is_over() -> None:
    """As after an offence: not before `jailed_until`, and only on request."""
    hall = away(a_hall(10, 10, 10, 10), "north")
    run_to(hall, 12)
    early = hall.apply(hall.tx("north", ValidatorPut(status="unjail"))).receipts[0]
    run_to(away(hall), 30)
    still = member(hall).status

    back = hall.apply(hall.tx("north", ValidatorPut(status="unjail"))).receipts[0]
    status = member(hall).status
    run_to(hall, 35)

    assert (early.code, early.events[0][2]) == (Code.E_STATE, "status")
    assert still == JAILED
    assert (back.code, status) == (Code.OK, CANDIDATE)
    assert power(hall) == 9, "less than a third of thirty at once"


def test_where_the_chain_says_so_it_comes_back_by_itself() -> None:
    """At the first end of an epoch at which its time is over."""
    hall = away(a_hall(10, 10, 10, 10, unjail_by_itself=1), "north")
    run_to(hall, 12)

    run_to(away(hall), 24)
    before = (member(hall).status, power(hall))
    run_to(hall, 25)

    assert before == (JAILED, 0)
    assert (member(hall).status, power(hall)) == (ACTIVE, 9)


@pytest.mark.parametrize("by_itself", [0, 1])
def test_who_was_leaving_does_not_come_back(by_itself: int) -> None:
    """It switches its node off while it still has a vote; out of jail it is leaving as before."""
    hall = a_hall(10, 10, 10, 10, epoch_blocks=20, unjail_by_itself=by_itself)
    hall.apply(hall.tx("north", ValidatorPut(status="leaving")))
    run_to(away(hall, "north"), 12)
    jailed = (member(hall).status, member(hall).jailed_for)
    run_to(away(hall), 40)
    if not by_itself:
        hall.apply(hall.tx("north", ValidatorPut(status="unjail")))
    run_to(hall, 80)

    assert jailed == (JAILED, AWAY_LEAVING)
    assert (member(hall).status, power(hall)) == (LEAVING, 0)


def test_who_signed_twice_does_not_come_back_by_itself() -> None:
    """Not even where absence is forgiven, and not by being away on top of it."""
    hall = a_hall(10, 10, 10, 10, unjail_by_itself=1)
    hall.apply()
    until = Height(hall.height + 12)
    jailed = replace(member(hall), status=JAILED, jailed_for=EQUIVOCATION, jailed_until=until)
    hall.rewrite({membership_key(address("north")): jailed})

    run_to(away(hall, "north"), 40)

    assert (member(hall).status, member(hall).jailed_for) == (JAILED, EQUIVOCATION)
    assert power(hall) == 0


def test_without_a_window_nobody_is_jailed() -> None:
    """And nothing is written for those who are away."""
    hall = away(a_hall(10, 10, 10, 10, absence_window_blocks=0), "north")

    assert run_to(hall, 40) == []
    assert hall.state.absence.rows == ()
    assert member(hall).status == ACTIVE


@pytest.mark.parametrize(("window", "bps", "most"), [(10, 9_000, 9), (10, 9_001, 10), (3, 1, 1)])
def test_how_much_of_a_window_is_too_much_to_miss(window: int, bps: int, most: int) -> None:
    """The share is rounded up, so that it is never less than was decided."""
    params = Params(absence_window_blocks=window, absence_missed_bps=bps)

    assert absence.missed_to_jail(params) == most


PEOPLE = st.sets(st.sampled_from(VALIDATOR_NAMES))


@given(
    powers=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    spells=st.lists(st.tuples(PEOPLE, st.integers(1, 15)), min_size=1, max_size=6),
    returns=st.booleans(),
)
@settings(max_examples=30)
def test_whoever_is_away_two_thirds_of_the_votes_are_never_in_jail(
    powers: list[int], spells: list[tuple[set[str], int]], *, returns: bool
) -> None:
    """Those in jail with a vote stay below a third, and somebody always votes."""
    hall = a_hall(*powers, unjail_by_itself=int(returns))
    for names, blocks in spells:
        away(hall, *names)
        for _ in range(blocks):
            hall.apply()
            voters = hall.state.validators
            jailed = sum(
                voter.power
                for voter in voters.members
                if hall.state.membership(voter.operator).status == JAILED
            )
            assert 3 * jailed < voters.total_power


def decide(town: Town, motion: Motion) -> None:
    """Let north propose in one block, and three of four say yes in the next."""
    act = Act(address("north"), town.state.account(address("north")).nonce, 0, Height(1))
    town.apply(town.tx("north", ProposalSubmit(motion)))
    name = proposal_id(act)
    town.apply(*(town.tx(who, ProposalVote(name, yes=True)) for who in VALIDATOR_NAMES[:3]))


def test_an_epoch_that_ends_early_ends_no_window() -> None:
    """Nine of ten are missed before and behind it, and count together."""
    hall = away(a_hall(10, 10, 10, 10, epoch_blocks=40), "west")
    run_to(hall, 3)

    decide(hall, EndEpoch())

    assert hall.state.absence.rows == ((address("west"), 4),)
    assert run_to(hall, 10) == [("jailed", address("west").hex(), "9")]
    assert (member(hall, "west").status, power(hall, "west")) == (JAILED, 10)


@pytest.mark.parametrize(("window", "rows"), [(0, 0), (1_200, 1)])
def test_a_window_that_is_decided_anew_jails_nobody_by_surprise(window: int, rows: int) -> None:
    """Nobody is counted any more, or what was missed so far counts in the longer one."""
    hall = away(a_hall(10, 10, 10, 10), "west")
    run_to(hall, 2)

    decide(hall, ChangeParameter("absence_window_blocks", window))

    assert run_to(hall, 30) == []
    assert hall.state.params.absence_window_blocks == window
    assert len(hall.state.absence.rows) == rows
    assert member(hall, "west").status == ACTIVE
