"""How a transfer moves amounts: what the outputs receive is what the sender loses.

Do not add fees here: they are paid before a body is looked at.
"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from aitbc_node import limits
from aitbc_node.canonical import Record
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger.balances import move
from aitbc_node.ledger.family import Act, Family, Outcome
from aitbc_node.ledger.forms import AccountName, Gain, Ticker, is_plain_text
from aitbc_node.ledger.objects import NATIVE, NEW_ACCOUNT, Account, adjusted, balance
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address

EVENT = "transfer"
TRANSFER_GAS = 21_000
OUTPUT_GAS = 5_000


class Output(Record, frozen=True):
    """Give one amount of one asset to one account."""

    to: AccountName
    asset: Ticker
    amount: Gain


class Transfer(Record, frozen=True, tag="transfer"):
    """Pay from the sender's account. Shape: memo of at most 256 bytes in UTF-8, NFC."""

    outs: Annotated[tuple[Output, ...], Meta(min_length=1, max_length=limits.TX_OUTPUTS_MAX)]
    memo: Annotated[str, Meta(max_length=limits.MEMO_BYTES_MAX)] = ""


def apply(draft: Draft, act: Act, body: Transfer) -> Outcome:
    """Carry a transfer out, or say why not and leave the draft as it was."""
    refusal = _check_assets(draft, body) or _take(draft, act.sender, _totals(body))
    if refusal is not None:
        return refusal
    for out in body.outs:
        move(draft, out.to, out.asset, out.amount)
    source = act.sender.hex()
    return [(EVENT, source, out.to.hex(), out.asset, str(out.amount)) for out in body.outs]


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


def _totals(body: Transfer) -> Iterable[tuple[str, int]]:
    if len(body.outs) == 1:
        return ((body.outs[0].asset, body.outs[0].amount),)
    totals: dict[str, int] = {}
    for out in body.outs:
        totals[out.asset] = totals.get(out.asset, 0) + out.amount
    return totals.items()


def _take(draft: Draft, sender: Address, totals: Iterable[tuple[str, int]]) -> Refusal | None:
    """Take all of it from the sender, or say what is missing and take nothing."""
    account = draft.account(sender) or NEW_ACCOUNT
    balances = account.balances
    for asset, amount in totals:
        owned = balance(balances, asset)
        if amount > owned:
            message = f"sends {amount} base units of '{asset}', has {owned} after the fee"
            return Refusal(Code.E_INSUFFICIENT, "outs", message)
        balances = adjusted(balances, asset, -amount)
    draft.put_account(sender, Account(account.nonce, account.policy, balances))
    return None


def _gas(body: Transfer) -> int:
    return TRANSFER_GAS + OUTPUT_GAS * (len(body.outs) - 1)


def _fault(body: Transfer) -> Refusal | None:
    if not is_plain_text(body.memo, bytes_max=limits.MEMO_BYTES_MAX):
        message = "over 256 bytes, not NFC, or a character newer than Unicode 3.2"
        return Refusal(Code.E_MALFORMED, "memo", message)
    for index, out in enumerate(body.outs):
        if not out.asset.isascii():
            return Refusal(Code.E_MALFORMED, f"outs[{index}].asset", "not ASCII")
    return None


def _spends(_params: Params, sender: Address, body: Transfer) -> int:
    spent = 0
    for out in body.outs:
        if out.asset == NATIVE and out.to != sender:
            spent += out.amount
    return spent


FAMILY = Family(Transfer, gas=_gas, fault=_fault, apply=apply, spends=_spends)
