"""The index beside the state: what a walk over all objects would find, block by block."""

import copy

import pytest

from aitbc_node.ledger import listing, objects
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.listing import Listing
from aitbc_node.ledger.motions import ChangeParameter
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.state import State
from aitbc_node.types import Address, Amount
from aitbc_sim.town import VALIDATOR_NAMES, Town, a_genesis, address

COIN = 1_000_000


def walked(state: State) -> tuple[set[bytes], dict[Address, list[Address]]]:
    """Find open proposals, and who has coins behind whom, the slow way."""
    pairs = set()
    for (kind, name), record in state.items():
        if kind == objects.STAKE:
            pairs.add((Address(name[20:]), Address(name[:20])))
        if isinstance(record, objects.Unbonding):
            pairs |= {(row.delegator, Address(name)) for row in record.rows}
    delegators = {delegator for delegator, _ in pairs}
    behind = {each: sorted(op for who, op in pairs if who == each) for each in delegators}
    return {name for (kind, name), _ in state.items() if kind == objects.PROPOSAL}, behind


def listed(state: State) -> tuple[set[bytes], dict[Address, list[Address]]]:
    """Read the same from the index."""
    names = {address(name) for name in ("alice", "bob", *VALIDATOR_NAMES)}
    behind = {each: state.listing.validators_of(each) for each in names}
    return state.listing.proposals, {who: found for who, found in behind.items() if found}


def test_the_index_is_what_a_walk_finds() -> None:
    """Bonds come and go, coins wait and are paid, proposals open, pass and lapse."""
    params = Params(
        epoch_blocks=2, unbonding_blocks=10, evidence_max_age_blocks=3, proposal_blocks=4
    )
    town = Town(a_genesis(rich=("alice", "bob", *VALIDATOR_NAMES), params=params))
    north, east = address("north"), address("east")
    longer = ProposalSubmit(ChangeParameter("tx_ttl_blocks", 77))
    days = [
        [town.tx("alice", StakeBond(north, Amount(COIN))), town.tx("north", longer)],
        [town.tx("bob", StakeBond(east, Amount(2 * COIN))), town.tx("east", longer)],
    ]
    for day in days:
        town.apply(*day)
        assert listed(town.state) == walked(town.state)
    town.apply(
        town.tx("alice", StakeUnbond(north, Amount(COIN))),
        town.tx("bob", StakeUnbond(east, Amount(COIN))),
    )
    assert listed(town.state) == walked(town.state)
    assert town.state.listing.validators_of(address("alice")) == [north]

    first = min(town.state.listing.proposals)
    town.apply(*(town.tx(name, ProposalVote(first, yes=True)) for name in VALIDATOR_NAMES[:3]))
    while town.height < 20:
        assert listed(town.state) == walked(town.state)
        town.apply()

    assert town.state.listing.validators_of(address("alice")) == []
    assert town.state.listing.validators_of(address("bob")) == [east]
    assert town.state.listing.proposals == set()


def test_an_account_finds_its_own_rows_of_a_queue() -> None:
    """Each as the queue has it, in the order of asking; nothing is left when all is paid."""
    params = Params(epoch_blocks=2, unbonding_blocks=10, evidence_max_age_blocks=3)
    town = Town(a_genesis(rich=("alice", "bob", *VALIDATOR_NAMES), params=params))
    north = address("north")
    town.apply(*(town.tx(who, StakeBond(north, Amount(5 * COIN))) for who in ("alice", "bob")))
    for amount in (1, 2):
        taken = StakeUnbond(north, Amount(amount * COIN))
        town.apply(*(town.tx(who, taken) for who in ("bob", "alice")))

    while rows := town.state.unbonding(north).rows:
        for who in ("alice", "bob", "north"):
            own = tuple(row for row in rows if row.delegator == address(who))
            assert town.state.listing.leaving(address(who), north) == own
        town.apply()

    assert town.state.listing.leaving(address("alice"), north) == ()


def test_a_set_that_votes_again_is_the_newest_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three sets that two places are for, the one that was not used for longest goes."""
    monkeypatch.setattr(listing, "SETS_KEPT", 2)
    sets = [Town(a_genesis(powers=(1, 1, 1, power))).state.validators for power in (1, 2, 3)]
    index = Listing()
    for place in (0, 1, 0, 2):
        index.replace((objects.VALIDATORS, b""), None, sets[place])

    assert list(index.voters.values()) == [sets[0], sets[2]]


def test_a_state_that_is_read_back_has_the_same_index() -> None:
    """It follows from the objects alone, in whatever order they come."""
    town = Town(a_genesis(rich=VALIDATOR_NAMES))
    town.apply(town.tx("north", StakeBond(address("east"), Amount(COIN))))

    again = State(dict(reversed(town.state.contents.items())))

    assert listed(again) == listed(town.state) == walked(town.state)


def test_sets_of_voters_are_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of a past epoch can be told with its voters; the oldest sets are forgotten first."""
    monkeypatch.setattr(listing, "SETS_KEPT", 2)
    params = Params(epoch_blocks=2, unbonding_blocks=10, evidence_max_age_blocks=3)
    town = Town(a_genesis(rich=VALIDATOR_NAMES, params=params, powers=(9, 9, 9, 9)))
    first = town.state.validators
    seen = [first.digest()]
    for _ in range(2):
        town.apply(town.tx("north", StakeBond(address("north"), Amount(COIN))))
        assert town.state.listing.voters[seen[-1]].digest() == seen[-1]
        town.apply()
        seen.append(town.state.validators.digest())

    assert list(town.state.listing.voters) == seen[1:]
    assert town.state.listing.voters[seen[1]].total_power == first.total_power + 1


def test_a_copy_of_the_index_is_its_own() -> None:
    """What one simulated node learns, another one does not."""
    index = Listing()
    twin = copy.deepcopy(index)

    twin.replace((objects.PROPOSAL, b"a"), None, objects.EMPTY_POOL)

    assert (index.proposals, twin.proposals) == (set(), {b"a"})
