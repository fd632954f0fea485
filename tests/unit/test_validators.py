"""Validators: quorums by power, turns by priority, one order for everybody."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aitbc_node.canonical import decode, encode
from aitbc_node.types import Address, Power, PublicKey, Round
from aitbc_node.validators import Validator, ValidatorSet, validator_set


def a_set(*powers: int) -> ValidatorSet:
    """Make validators whose keys ascend in the order of these powers."""
    return validator_set(
        Validator(Address(bytes([place]) * 20), PublicKey(bytes([place]) * 32), Power(power))
        for place, power in enumerate(powers)
    )


def turns(validators: ValidatorSet, heights: int) -> list[int]:
    """Return the places of the proposers of the next heights."""
    found = []
    for _ in range(heights):
        found.append(validators.proposer(Round(0)).key[0])
        validators = validators.rotated()
    return found


@pytest.mark.proves("E2")
def test_equal_validators_take_equal_turns() -> None:
    """Of 40 heights each of four proposes ten, in a fixed round robin."""
    assert turns(a_set(1, 1, 1, 1), 40) == [0, 1, 2, 3] * 10


@pytest.mark.proves("E3")
def test_turns_follow_power_exactly() -> None:
    """Powers 1:1:2 propose 100, 100 and 200 of 400 heights, well mixed."""
    found = turns(a_set(1, 1, 2), 400)

    assert Counter(found) == {0: 100, 1: 100, 2: 200}
    assert all(Counter(found[start : start + 4])[2] == 2 for start in range(0, 400, 4))


@given(powers=st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_after_total_power_heights_everyone_had_its_power_in_turns(powers: list[int]) -> None:
    """The schedule is exact over one period, and then starts again."""
    validators = a_set(*powers)
    found = Counter(turns(validators, sum(powers)))

    assert [found[place] for place in range(len(powers))] == powers
    after = validators
    for _ in range(sum(powers)):
        after = after.rotated()
    assert after == validators


@given(
    powers=st.lists(st.integers(1, 1000), min_size=1, max_size=10),
    heights=st.integers(0, 50),
    rounds=st.integers(0, 20),
)
def test_a_further_round_is_the_next_turn(powers: list[int], heights: int, rounds: int) -> None:
    """Round r of a height has the proposer that r heights later would have, and changes nothing."""
    validators = a_set(*powers)
    for _ in range(heights):
        validators = validators.rotated()
    before = encode(validators)
    later = validators
    for _ in range(rounds):
        later = later.rotated()

    assert validators.proposer(Round(rounds)) in validators.members
    assert validators.proposer(Round(rounds)).key == later.proposer(Round(0)).key
    assert encode(validators) == before


@given(powers=st.lists(st.integers(1, 1000), min_size=1, max_size=10), heights=st.integers(0, 200))
def test_priorities_stay_bounded_and_sum_to_zero(powers: list[int], heights: int) -> None:
    """No priority ever leaves a small multiple of the total power, so none overflows."""
    validators = a_set(*powers)
    for _ in range(heights):
        validators = validators.rotated()

    priorities = [member.priority for member in validators.members]
    assert sum(priorities) == 0
    assert all(abs(priority) <= 2 * validators.total_power for priority in priorities)


@pytest.mark.parametrize("count", range(1, 14))
def test_a_quorum_is_more_than_two_thirds_of_the_power(count: int) -> None:
    """Any two quorums share an honest validator; the faulty third alone blocks nothing."""
    for powers in ([1] * count, list(range(1, count + 1)), [1] * (count - 1) + [count]):
        validators = a_set(*powers)
        total = sum(powers)
        for power in range(total + 1):
            assert validators.is_quorum(power) is (3 * power > 2 * total)
            assert validators.is_blocking(power) is (3 * power > total)
        least = next(power for power in range(total + 1) if validators.is_quorum(power))
        assert 3 * (2 * least - total) > total
        assert validators.is_quorum(total - (total - 1) // 3)


@pytest.mark.parametrize(("count", "faulty"), [(1, 0), (3, 0), (4, 1), (7, 2), (10, 3)])
def test_equal_validators_survive_a_third_less_one(count: int, faulty: int) -> None:
    """4 survive 1, 7 survive 2, 10 survive 3, and not one more."""
    validators = a_set(*[1] * count)

    assert validators.is_quorum(count - faulty)
    assert not validators.is_quorum(count - faulty - 1)


def test_the_order_of_members_is_by_key_however_they_come() -> None:
    """Everybody numbers validators alike."""
    members = a_set(3, 1, 2).members

    for order in itertools.permutations(members):
        assert validator_set(order).members == members


def test_places_and_powers_are_found_by_key() -> None:
    """A stranger has no place and no power."""
    validators = a_set(3, 1, 2)

    assert [validators.index_of(member.key) for member in validators.members] == [0, 1, 2]
    assert validators.power_of(PublicKey(bytes([2]) * 32)) == 2
    assert validators.index_of(PublicKey(bytes([9]) * 32)) is None
    assert validators.power_of(PublicKey(bytes([9]) * 32)) == 0


def test_what_was_computed_is_no_part_of_the_record() -> None:
    """Encoding, equality and hash see members only."""
    used, fresh = a_set(3, 1), a_set(3, 1)
    assert used.total_power == 4
    assert used.index_of(used.members[1].key) == 1

    assert encode(used) == encode(fresh)
    assert (used, hash(used)) == (fresh, hash(fresh))
    assert decode(encode(used), ValidatorSet) == used


def test_the_digest_tells_powers_but_not_turns() -> None:
    """A header's validators_hash changes with who may vote, not with whose turn it is."""
    validators = a_set(3, 1)

    assert validators.rotated().digest() == validators.digest()
    assert a_set(3, 2).digest() != validators.digest()
    assert a_set(3).digest() != validators.digest()


@pytest.mark.parametrize("powers", [(1, 0), (-1,)])
def test_a_validator_without_power_is_our_bug(powers: tuple[int, ...]) -> None:
    """Genesis and governance check first."""
    with pytest.raises(AssertionError):
        a_set(*powers)


def test_two_validators_never_share_a_key() -> None:
    """A doubled key would vote twice."""
    member = a_set(1).members[0]

    with pytest.raises(AssertionError, match="share a key"):
        validator_set([member, member])


def a_line(*rows: tuple[int, int, int]) -> ValidatorSet:
    """Make validators from rows of place, power and priority."""
    return ValidatorSet(
        tuple(
            Validator(
                Address(bytes([place]) * 20), PublicKey(bytes([place]) * 32), Power(power), priority
            )
            for place, power, priority in rows
        )
    )


def test_who_stays_keeps_its_place_in_the_line_and_a_joiner_waits_longest() -> None:
    """By operator; a joiner begins at -1.125 of the new total, and all are centred."""
    before = a_line((1, 10, 6), (2, 10, -6), (3, 4, 0))
    stays = before.members[1]
    renewed = replace(stays, key=PublicKey(bytes([9]) * 32), power=Power(30), priority=777)
    joiner = a_line((5, 10, 555)).members[0]

    after = before.succeeded_by([renewed, before.members[0], joiner])

    # Of the total of 50 a joiner begins at -(50 + 6); the mean of 6, -6 and -56 is -19.
    assert after == ValidatorSet(
        (
            replace(before.members[0], priority=25),
            replace(joiner, priority=-37),
            replace(renewed, priority=13),
        )
    )


def test_priorities_stay_within_twice_the_power_whatever_was_before() -> None:
    """On both sides, after they were centred."""
    before = a_line((1, 1, 1_000), (2, 1, -1_000), (3, 2, 0))

    after = before.succeeded_by(before.members)

    assert [member.priority for member in after.members] == [8, -8, 0]
    assert [member.power for member in after.members] == [1, 1, 2]
