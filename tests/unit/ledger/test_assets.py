"""Assets: facts, supply, and who may change it."""

import msgspec
import pytest

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.ledger import objects
from aitbc_node.ledger.genesis import GenesisAccount
from aitbc_node.ledger.state import State
from aitbc_node.types import Amount
from aitbc_sim.town import Town, a_genesis, address, pay, supply


@pytest.mark.proves("A1")
def test_an_asset_tells_its_four_facts(town: Town) -> None:
    """Name, ticker, decimals and supply are state; the supply is what all holders have."""
    asset = town.state.asset("mUSDA")

    assert asset is not None
    assert (asset.name, asset.decimals, asset.supply) == ("mock dollar", 6, 0)

    town.apply(town.tx("mint", supply("alice", 7), supply("bob", 5)))

    assert town.state.asset("mUSDA").supply == 12
    assert town.owns("alice", "mUSDA") + town.owns("bob", "mUSDA") == 12


@pytest.mark.proves("A3")
def test_the_authority_mints_balance_and_supply_together(town: Town) -> None:
    """+1000 to B raises B and the supply by 1000."""
    receipt = town.apply(town.tx("mint", supply("bob", 1000))).receipts[0]

    assert receipt.code == Code.OK
    assert town.owns("bob", "mUSDA") == 1000
    assert town.state.asset("mUSDA").supply == 1000


@pytest.mark.proves("A3")
def test_nobody_else_mints(town: Town) -> None:
    """Another key's asset.supply fails as unauthorised and touches nothing but its own fee."""
    receipt = town.apply(town.tx("alice", supply("alice", 1000))).receipts[0]

    assert receipt.code == Code.E_UNAUTHORISED
    assert town.owns("alice", "mUSDA") == 0
    assert town.state.asset("mUSDA").supply == 0


def test_an_asset_without_authority_is_never_minted(town: Town) -> None:
    """The native coin has no mint."""
    receipt = town.apply(town.tx("mint", supply("mint", 1, "AIT"))).receipts[0]

    assert receipt.code == Code.E_UNAUTHORISED


def test_the_authority_destroys_its_own_units_only(town: Town) -> None:
    """Burning from one's own account works; from another's it would be seizure."""
    town.apply(town.tx("mint", supply("mint", 10), supply("alice", 10)))

    own = town.apply(town.tx("mint", supply("mint", -4))).receipts[0]
    others = town.apply(town.tx("mint", supply("alice", -4))).receipts[0]

    assert (own.code, others.code) == (Code.OK, Code.E_UNAUTHORISED)
    assert (town.owns("mint", "mUSDA"), town.owns("alice", "mUSDA")) == (6, 10)
    assert town.state.asset("mUSDA").supply == 16


def test_more_than_there_is_cannot_be_destroyed(town: Town) -> None:
    """Neither balance nor supply goes below zero."""
    town.apply(town.tx("mint", supply("mint", 10)))

    receipt = town.apply(town.tx("mint", supply("mint", -11))).receipts[0]

    assert receipt.code == Code.E_INSUFFICIENT
    assert town.owns("mint", "mUSDA") == 10


def test_a_supply_never_leaves_64_bits(town: Town) -> None:
    """Minting stops where an amount could not hold the total any more."""
    full = town.apply(town.tx("mint", supply("bob", limits.INT_MAX))).receipts[0]
    over = town.apply(town.tx("mint", supply("bob", 1))).receipts[0]

    assert (full.code, over.code) == (Code.OK, Code.E_AMOUNT)


def test_an_unknown_asset_cannot_be_minted(town: Town) -> None:
    """The code tells it apart from a missing authority."""
    assert town.apply(town.tx("mint", supply("bob", 1, "NOPE"))).receipts[0].code == Code.E_ASSET


def test_a_paused_asset_neither_moves_nor_grows() -> None:
    """A pause stops transfers and minting of that asset and of no other."""
    holder = GenesisAccount(address("carol"), None, (("mUSDA", Amount(50)),))
    town = Town(a_genesis(accounts=[holder]))
    contents = dict(town.state.items())
    key = (objects.ASSET, b"mUSDA")
    contents[key] = msgspec.structs.replace(contents[key], paused=True)
    town.state = State(contents)

    moved = town.apply(town.tx("alice", pay("bob", 1, "mUSDA"))).receipts[0]
    minted = town.apply(town.tx("mint", supply("bob", 1))).receipts[0]
    other = town.apply(town.tx("alice", pay("bob", 1))).receipts[0]

    assert (moved.code, minted.code, other.code) == (Code.E_PAUSED, Code.E_PAUSED, Code.OK)
