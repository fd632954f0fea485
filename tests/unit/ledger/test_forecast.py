"""The forecast of the next epoch: what comes, if nothing else happens."""

from aitbc_node.ledger import forecast
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.params import Params
from aitbc_node.types import Amount, Height
from aitbc_sim.town import VALIDATOR_NAMES, Town, a_genesis, address

COIN = 1_000_000


def a_hall() -> Town:
    """Found a town with epochs of five blocks; its operators are rich."""
    params = Params(epoch_blocks=5, unbonding_blocks=10, evidence_max_age_blocks=2)
    rich = ("alice", *VALIDATOR_NAMES)
    return Town(a_genesis(rich=rich, params=params, powers=(10, 10, 10, 10)))


def test_the_forecast_of_each_block_is_what_comes() -> None:
    """Bonds, coins taken back and what is left over from the epoch before, with its lot."""
    town = a_hall()
    north, east = address("north"), address("east")
    town.apply(
        town.tx("alice", StakeBond(north, Amount(60 * COIN))),
        town.tx("east", StakeUnbond(east, Amount(9 * COIN))),
    )
    for _ in range(3):
        root = town.state.root
        told = forecast.next_validators(town.state, Height(town.height)).digest()
        assert town.state.root == root
        while town.height != forecast.last_of_epoch(town.state, Height(town.height)) - 1:
            town.apply()
            again = forecast.next_validators(town.state, Height(town.height))
            assert again.digest() == told
        town.apply()

        assert town.state.validators.digest() == told


def test_a_state_that_changed_at_its_height_is_foretold_anew() -> None:
    """What was told before is kept for as long as nothing changes."""
    town = a_hall()
    first = forecast.next_validators(town.state, Height(0))
    assert forecast.next_validators(town.state, Height(0)) is first

    town.apply(town.tx("alice", StakeBond(address("north"), Amount(9 * COIN))))
    changed = forecast.next_validators(town.state, Height(0))

    assert changed.total_power == first.total_power + 9


def test_an_epoch_ends_where_the_rules_end_it() -> None:
    """The block above the end of an epoch belongs to the next one."""
    town = a_hall()

    ends = [forecast.last_of_epoch(town.state, Height(height)) for height in (0, 4, 5, 9, 10)]

    assert ends == [5, 5, 10, 10, 15]
