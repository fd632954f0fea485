"""Definitions: anybody makes an asset, under a free name, with rules that stay."""

from typing import Any

import msgspec
import pytest

from aitbc_node import limits
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.families import gas_of
from aitbc_node.ledger.objects import Asset
from aitbc_node.ledger.transactions import parse, sign
from aitbc_node.types import Amount
from aitbc_sim.town import WEALTH, Town, address, key_of, pay

COIN = AssetDefine("COIN2", "Zweite Münze", 2, address("alice"), Amount(5), Amount(1_000))
CHANGES: list[tuple[dict[str, Any], Code, str]] = [
    ({"ticker": ""}, Code.E_MALFORMED, "ticker"),
    ({"ticker": "AB"}, Code.E_MALFORMED, "ticker"),
    ({"ticker": "ABCDEFGHIJKLM"}, Code.E_MALFORMED, "ticker"),
    ({"ticker": "COINs"}, Code.E_MALFORMED, "ticker"),
    ({"ticker": "CO-IN"}, Code.E_MALFORMED, "ticker"),
    ({"ticker": "MÜNZE"}, Code.E_MALFORMED, "ticker"),
    ({"ticker": "2COIN"}, Code.E_MALFORMED, "ticker"),
    ({"name": ""}, Code.E_MALFORMED, "name"),
    ({"name": "x" * 65}, Code.E_MALFORMED, "name"),
    ({"name": "ü" * 33}, Code.E_MALFORMED, "name"),
    ({"name": "Mu\u0308nze"}, Code.E_MALFORMED, "name"),
    ({"decimals": -1}, Code.E_MALFORMED, "decimals"),
    ({"decimals": 19}, Code.E_MALFORMED, "decimals"),
    ({"mint_authority": b"short"}, Code.E_MALFORMED, "mint_authority"),
    ({"min_amount": 0}, Code.E_MALFORMED, "min_amount"),
    ({"min_amount": 1_001}, Code.E_AMOUNT, "min_amount"),
    ({"mint_max": 0}, Code.E_MALFORMED, "mint_max"),
    ({"mint_max": limits.INT_MAX + 1}, Code.E_MALFORMED, "mint_max"),
]


def coins(delta: int, account: str = "alice") -> AssetSupply:
    """Create or destroy units of the coin."""
    return AssetSupply("COIN2", address(account), delta)


def test_an_asset_is_defined_empty_and_with_its_rules(town: Town) -> None:
    """Nothing of it is there until its authority mints; the receipt tells the promise."""
    receipt = town.apply(town.tx("bob", COIN)).receipts[0]

    assert receipt.events == (("asset.define", "COIN2", address("bob").hex(), "1000"),)
    assert town.state.asset("COIN2") == Asset(
        "Zweite Münze",
        2,
        address("alice"),
        Amount(5),
        supply=Amount(0),
        minted=Amount(0),
        burned=Amount(0),
        mint_max=Amount(1_000),
    )
    assert town.state.tally.assets["COIN2"].supply == 0


def test_a_definition_costs_ten_times_what_minting_does(town: Town) -> None:
    """The object stays for ever, so filling the state with names is dear."""
    assert gas_of(COIN) == 10 * gas_of(coins(1)) == 400_000

    receipt = town.apply(town.tx("bob", COIN)).receipts[0]

    assert receipt.fee == 4_000


def test_defined_units_are_minted_moved_and_destroyed_like_others(town: Town) -> None:
    """Define and mint in one bundle; then the least amount and the balances rule."""
    town.apply(town.tx("alice", COIN, coins(100)))
    codes = [
        receipt.code
        for receipt in town.apply(
            town.tx("alice", pay("bob", 40, "COIN2")),
            town.tx("bob", pay("carol", 4, "COIN2")),
            town.tx("alice", coins(-10), nonce=2),
        ).receipts
    ]

    assert codes == [Code.OK, Code.E_MINIMUM, Code.OK]
    assert (town.owns("alice", "COIN2"), town.owns("bob", "COIN2")) == (50, 40)
    assert town.state.tally.held["COIN2"] == 90


def test_a_taken_name_is_refused_and_nothing_changes(town: Town) -> None:
    """First come, first served; the rules of the first one stay."""
    town.apply(town.tx("alice", COIN, coins(100)))
    known = town.state.asset("COIN2")

    other = msgspec.structs.replace(COIN, mint_authority=address("bob"))
    receipt = town.apply(town.tx("bob", other)).receipts[0]
    native = msgspec.structs.replace(COIN, ticker="AIT")
    second = town.apply(town.tx("bob", native)).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_TAKEN, (("failed", "0", "ticker"),))
    assert second.code == Code.E_TAKEN
    assert town.state.asset("COIN2") == known


def test_a_failing_bundle_defines_nothing(town: Town) -> None:
    """The name is free again for everybody."""
    receipt = town.apply(town.tx("alice", COIN, coins(1_001))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_AMOUNT, (("failed", "1", "delta"),))
    assert town.state.asset("COIN2") is None
    assert "COIN2" not in town.state.tally.assets
    assert town.apply(town.tx("bob", COIN)).receipts[0].code == Code.OK


def test_no_more_is_ever_minted_than_was_promised(town: Town) -> None:
    """What is destroyed may not be minted again: the promise is about all that ever came."""
    town.apply(town.tx("alice", COIN, coins(1_000), coins(-400)))

    receipt = town.apply(town.tx("alice", coins(1))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_AMOUNT, (("failed", "0", "delta"),))
    asset = town.state.asset("COIN2")
    assert asset is not None
    assert (asset.supply, asset.minted, asset.burned) == (600, 1_000, 400)


def test_an_asset_without_authority_stays_empty(town: Town) -> None:
    """Nobody mints it, not even who defined it."""
    town.apply(town.tx("alice", msgspec.structs.replace(COIN, mint_authority=None)))

    receipt = town.apply(town.tx("alice", coins(1))).receipts[0]

    assert receipt.code == Code.E_UNAUTHORISED
    assert town.owns("alice") < WEALTH


@pytest.mark.parametrize(("changes", "code", "field"), CHANGES)
def test_a_definition_out_of_form_is_refused_by_its_field(
    town: Town, changes: dict[str, Any], code: Code, field: str
) -> None:
    """Each rule has a case that it refuses, named by code and field."""
    body = msgspec.structs.replace(COIN, **changes)

    refusal = parse(sign(town.draft("alice", body), [key_of("alice")]))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (code, f"bodies[0].{field}")
