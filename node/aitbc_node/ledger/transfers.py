"""How a transfer moves amounts: what the outputs receive is what the sender loses.

Do not add fees here: they are paid before a body is looked at.
"""

from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger.accounts import move
from aitbc_node.ledger.objects import NEW_ACCOUNT, balance
from aitbc_node.ledger.state import Draft
from aitbc_node.ledger.transactions import Transfer
from aitbc_node.types import Address


def apply(draft: Draft, sender: Address, body: Transfer) -> Refusal | list[tuple[str, ...]]:
    """Carry a transfer out, or say why not and leave the draft as it was."""
    totals = _totals(body)
    refusal = _check_assets(draft, body) or _check_balances(draft, sender, totals)
    if refusal is not None:
        return refusal
    for asset, amount in totals.items():
        move(draft, sender, asset, -amount)
    for out in body.outs:
        move(draft, out.to, out.asset, out.amount)
    source = sender.hex()
    return [("transfer", source, out.to.hex(), out.asset, str(out.amount)) for out in body.outs]


def _check_assets(draft: Draft, body: Transfer) -> Refusal | None:
    for place, out in enumerate(body.outs):
        asset = draft.asset(out.asset)
        if asset is None:
            return Refusal(Code.E_ASSET, f"outs[{place}].asset", f"no asset '{out.asset}'")
        if asset.paused:
            return Refusal(Code.E_PAUSED, f"outs[{place}].asset", f"'{out.asset}' is paused")
        if out.amount < asset.min_amount:
            message = f"{out.amount}, the least amount of '{out.asset}' is {asset.min_amount}"
            return Refusal(Code.E_MINIMUM, f"outs[{place}].amount", message)
    return None


def _totals(body: Transfer) -> dict[str, int]:
    totals: dict[str, int] = {}
    for out in body.outs:
        totals[out.asset] = totals.get(out.asset, 0) + out.amount
    return totals


def _check_balances(draft: Draft, sender: Address, totals: dict[str, int]) -> Refusal | None:
    balances = (draft.account(sender) or NEW_ACCOUNT).balances
    for asset, amount in totals.items():
        owned = balance(balances, asset)
        if amount > owned:
            message = f"sends {amount} base units of '{asset}', has {owned} after the fee"
            return Refusal(Code.E_INSUFFICIENT, "outs", message)
    return None
