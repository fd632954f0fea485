"""How units of an asset come and go: by its mint authority, supply and balance together.

Do not add transfers or pools here.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from aitbc_node import limits
from aitbc_node.canonical import Record
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger.balances import move
from aitbc_node.ledger.family import Act, Family, Outcome
from aitbc_node.ledger.forms import AccountName, Ticker
from aitbc_node.ledger.objects import NEW_ACCOUNT, Asset, balance
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Amount

ASSET_GAS = 40_000


class AssetSupply(Record, frozen=True, tag="asset.supply"):
    """Create (delta > 0) or destroy (delta < 0) units of an asset in an account."""

    asset: Ticker
    account: AccountName
    delta: Annotated[int, Meta(ge=-limits.INT_MAX, le=limits.INT_MAX)]


def apply(draft: Draft, act: Act, body: AssetSupply) -> Outcome:
    """Create or destroy units, or say why not and leave the draft as it was."""
    asset = draft.asset(body.asset)
    if asset is None:
        return Refusal(Code.E_ASSET, "asset", f"no asset '{body.asset}'")
    refusal = _check_authority(asset, act.sender, body) or _check_amount(draft, asset, body)
    if refusal is not None:
        return refusal
    draft.put_asset(body.asset, resupplied(asset, body.delta))
    move(draft, body.account, body.asset, body.delta)
    return [("asset.supply", body.asset, body.account.hex(), str(body.delta))]


def resupplied(asset: Asset, delta: int) -> Asset:
    """Return an asset after units came (delta > 0) or went."""
    return msgspec.structs.replace(
        asset,
        supply=Amount(asset.supply + delta),
        minted=Amount(asset.minted + max(delta, 0)),
        burned=Amount(asset.burned + max(-delta, 0)),
    )


def _check_authority(asset: Asset, sender: Address, body: AssetSupply) -> Refusal | None:
    if asset.mint_authority != sender:
        return Refusal(Code.E_UNAUTHORISED, "asset", "the sender is not its mint authority")
    if body.delta < 0 and body.account != sender:
        # An authority that could empty other accounts would make every holding a favour.
        message = "units are destroyed in the authority's own account only"
        return Refusal(Code.E_UNAUTHORISED, "account", message)
    if asset.paused:
        return Refusal(Code.E_PAUSED, "asset", f"'{body.asset}' is paused")
    if asset.minting_paused and body.delta > 0:
        return Refusal(Code.E_PAUSED, "asset", f"minting '{body.asset}' is paused")
    return None


def _check_amount(draft: Draft, asset: Asset, body: AssetSupply) -> Refusal | None:
    if asset.minted + body.delta > asset.mint_max:
        message = f"{asset.minted} were minted, all that may ever be is {asset.mint_max}"
        return Refusal(Code.E_AMOUNT, "delta", message)
    holder = draft.account(body.account) or NEW_ACCOUNT
    owned = balance(holder.balances, body.asset)
    if owned + body.delta < 0:
        return Refusal(Code.E_INSUFFICIENT, "delta", f"the account has {owned}")
    return None


def _gas(_body: AssetSupply) -> int:
    return ASSET_GAS


def _fault(body: AssetSupply) -> Refusal | None:
    if not body.asset.isascii():
        return Refusal(Code.E_MALFORMED, "asset", "not ASCII")
    if body.delta == 0:
        return Refusal(Code.E_AMOUNT, "delta", "zero changes nothing")
    return None


FAMILY = Family(AssetSupply, gas=_gas, fault=_fault, apply=apply)
