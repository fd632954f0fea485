"""The end of an epoch: who votes next, with what power, and how much may change at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aitbc_node.ledger import epochs
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.objects import JAILED
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.staking import membership_key
from aitbc_node.types import Address, Amount, Height, Round
from aitbc_sim.town import CHAIN_ID, VALIDATOR_NAMES, Town, a_genesis, address, key_of

COIN = 1_000_000


def a_hall(*powers: int, **params: int) -> Town:
    """Found a town with epochs of five blocks; its operators are rich."""
    chosen = Params(**{"epoch_blocks": 5, "unbonding_blocks": 10, **params})
    return Town(a_genesis(rich=("alice", *VALIDATOR_NAMES), params=chosen, powers=powers))


def alone(town: Town) -> Town:
    """Leave the first validator of a town alone."""
    north = town.genesis.validators
    chosen = tuple(entry for entry in north if entry.operator == address("north"))
    return Town(replace(town.genesis, validators=chosen, single_node_dev=True))


def to_next_epoch(town: Town) -> None:
    """Apply empty blocks up to the end of the epoch."""
    while not town.apply() or town.height % 5:
        pass


def powers_of(town: Town) -> dict[str, int]:
    """Return each founder's power."""
    return {
        name: town.state.validators.power_of(key_of(f"{name} votes").public_key)
        for name in VALIDATOR_NAMES
    }


def test_a_bond_counts_from_the_next_epoch_on() -> None:
    """Delegated or own: power is the coins behind the validator."""
    town = a_hall(10, 10, 10, 10)
    for name, amount in (("alice", 2 * COIN), ("north", COIN + 7)):
        town.apply(town.tx(name, StakeBond(address("north"), Amount(amount))))
    assert powers_of(town)["north"] == 10

    to_next_epoch(town)

    assert powers_of(town)["north"] == 13


def test_what_is_taken_back_counts_no_more_from_the_next_epoch_on() -> None:
    """The coins are still on their way, but the power is gone."""
    town = a_hall(10, 10, 10, 10)
    town.apply(town.tx("north", StakeUnbond(address("north"), Amount(4 * COIN))))

    to_next_epoch(town)

    assert powers_of(town)["north"] == 6


def test_less_than_a_third_of_the_power_changes_in_one_epoch() -> None:
    """A rich stranger takes over in steps that everybody can see coming, never at once."""
    town = a_hall(10, 10, 10, 10)
    town.apply(town.tx("north", StakeBond(address("north"), Amount(90 * COIN))))
    seen = []
    for _ in range(5):
        to_next_epoch(town)
        seen.append(powers_of(town)["north"])

    assert seen == [23, 40, 63, 93, 100]


def test_the_last_validator_cannot_leave() -> None:
    """Somebody has to make the next block: the set never becomes empty."""
    town = a_hall(1, 1, 1, 1)
    for name in VALIDATOR_NAMES:
        town.apply(town.tx(name, ValidatorPut(status="leaving")))
    for _ in range(6):
        to_next_epoch(town)

    assert town.state.validators.total_power > 0


def test_a_sole_validator_that_leaves_still_changes_its_key() -> None:
    """Its vote stays, because nobody else has one, and follows the key on record."""
    town = alone(a_hall(1, 1, 1, 1))
    fresh = key_of("fresh")
    proof = possession_proof(CHAIN_ID, address("north"), fresh)
    body = ValidatorPut(key=fresh.public_key, proof=proof, status="leaving")
    town.apply(town.tx("north", body))

    to_next_epoch(town)

    assert [member.key for member in town.state.validators.members] == [fresh.public_key]
    assert town.state.tally.violations() == []


def test_the_largest_bonds_are_chosen() -> None:
    """Of equal ones the lowest address; the others wait."""
    town = a_hall(10, 10, 11, 10, validators_max=3)
    for _ in range(3):
        to_next_epoch(town)

    votes = {name for name, power in powers_of(town).items() if power}

    lowest = sorted(set(VALIDATOR_NAMES) - {"south"}, key=address)[:2]
    assert votes == {"south", *lowest}


def test_who_has_too_little_of_its_own_loses_its_vote() -> None:
    """Whatever others have bonded: an operator has something to lose, or no say."""
    town = a_hall(10, 10, 10, 10)
    town.apply(town.tx("alice", StakeBond(address("north"), Amount(5 * COIN))))
    town.apply(town.tx("north", StakeUnbond(address("north"), Amount(10 * COIN))))

    to_next_epoch(town)

    assert powers_of(town)["north"] == 0
    assert address("north") not in town.state.roster.operators


def test_an_epoch_without_changes_changes_no_turn() -> None:
    """The order of proposers goes on across its end as if it were not there."""
    short, long = a_hall(1, 2, 3, 4), a_hall(1, 2, 3, 4, epoch_blocks=1_000)
    for _ in range(23):
        short.apply()
        long.apply()
        proposers = [town.state.validators.proposer(Round(0)).operator for town in (short, long)]
        assert proposers[0] == proposers[1]


def test_a_joiner_proposes_last() -> None:
    """It begins behind everybody, so that leaving and coming back gains no turn."""
    town = a_hall(1, 1, 1, 1)
    before = {member.operator: member.priority for member in town.state.validators.members}
    town.apply(town.tx("north", ValidatorPut(status="leaving")))
    to_next_epoch(town)
    town.apply(town.tx("north", ValidatorPut(status="joining")))
    to_next_epoch(town)

    members = town.state.validators.members

    assert len(before) == len(members) == 4
    lowest = min(members, key=lambda member: member.priority)
    assert lowest.operator == address("north")


@given(
    st.dictionaries(st.integers(0, 9), st.integers(1, 50), min_size=1),
    st.dictionaries(st.integers(0, 9), st.integers(1, 50), min_size=1),
)
def test_powers_go_where_they_should_in_bounded_steps(
    start: dict[int, int], aim: dict[int, int]
) -> None:
    """Each step moves less than a third, or a single vote; none moves past the aim."""
    before = {Address(bytes([name]) * 20): power for name, power in start.items()}
    wanted = {Address(bytes([name]) * 20): power for name, power in aim.items()}

    names = before.keys() | wanted.keys()
    after = epochs.limited(before, wanted, sorted(names), places=20)

    moved = sum(abs(after.get(name, 0) - before.get(name, 0)) for name in names)
    assert 3 * moved < sum(before.values()) or moved == 1
    for name in names:
        low, high = sorted((before.get(name, 0), wanted.get(name, 0)))
        assert low <= after.get(name, 0) <= high


def test_a_double_signer_goes_first_whoever_else_moves() -> None:
    """Others with lower addresses who bond more in each epoch do not keep it in office."""
    town = a_hall(10, 10, 10, 10)
    *others, last = sorted(VALIDATOR_NAMES, key=address)
    member = town.state.membership(address(last))
    town.rewrite({membership_key(address(last)): replace(member, status=JAILED)})
    for name in others:
        town.apply(town.tx(name, StakeBond(address(name), Amount(30 * COIN))))

    to_next_epoch(town)

    assert powers_of(town)[last] == 0


def a_crowd(first: int, power: int) -> dict[Address, int]:
    """Return a hundred operators of one power, numbered from `first`."""
    return {Address(index.to_bytes(20, "big")): power for index in range(first, first + 100)}


def test_there_are_never_more_validators_than_places() -> None:
    """A hundred richer newcomers replace a hundred one by one, as those are gone."""
    before, wanted = a_crowd(1_000, 1_000), a_crowd(0, 1_001)
    epochs_taken = 0
    while before != wanted:
        everybody = before.keys() | wanted.keys()
        turns = epochs.in_turn(everybody, set(), Height(epochs_taken))
        before = epochs.limited(before, wanted, turns, places=100)
        epochs_taken += 1
        assert len(before) <= 100
        assert sum(before.values()) > 30_000
        assert epochs_taken < 40


@given(
    st.lists(st.dictionaries(st.integers(0, 30), st.integers(1, 50), max_size=9), max_size=6),
    st.integers(4, 9),
)
def test_places_hold_whatever_is_wanted_next(aims: list[dict[int, int]], places: int) -> None:
    """However the wishes change from epoch to epoch, and in whatever turn."""
    powers = {Address(bytes([name]) * 20): 5 for name in range(4)}
    for aim in aims:
        wanted = {Address(bytes([name]) * 20): power for name, power in aim.items()}
        turns = sorted(powers.keys() | wanted.keys(), reverse=True)
        powers = epochs.limited(powers, wanted, turns, places=places) or powers
        assert len(powers) <= places


@given(
    st.dictionaries(st.integers(0, 9), st.integers(1, 50), min_size=4), st.integers(2_500, 10_000)
)
def test_nobody_is_wanted_with_more_than_the_greatest_share(
    wish: dict[int, int], share_bps: int
) -> None:
    """Of all powers after the cut; and nobody is cut more than it takes."""
    wanted = {Address(bytes([name]) * 20): power for name, power in wish.items()}

    after = epochs.capped(wanted, share_bps)

    assert max(after.values()) * 10_000 <= sum(after.values()) * share_bps
    bound = max(after.values())
    assert all(after[name] == min(power, bound) for name, power in wanted.items())
    more = [min(power, bound + 1) for power in wanted.values()]
    assert after == wanted or max(more) * 10_000 > sum(more) * share_bps


def test_with_a_greatest_share_one_operator_is_held_below_a_third() -> None:
    """However much it bonds."""
    town = a_hall(10, 10, 10, 10, validator_power_max_bps=3_333)
    town.apply(town.tx("north", StakeBond(address("north"), Amount(90 * COIN))))
    for _ in range(6):
        to_next_epoch(town)

    assert powers_of(town) == {"north": 14, "east": 10, "south": 10, "west": 10}


@pytest.mark.parametrize(("height", "last"), [(1, False), (4, False), (5, True), (6, False)])
def test_epochs_end_at_multiples_of_their_length(height: int, *, last: bool) -> None:
    """So everybody knows when, without looking at the state."""
    assert epochs.is_last(height, 5) is last
