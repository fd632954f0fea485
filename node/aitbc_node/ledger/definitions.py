"""How does a new asset come about? Anybody defines one, under a name that nobody has taken.

An asset stays for ever, so defining one costs ten times what minting does. It begins empty: its
mint authority makes units, in the same bundle or later, up to what was promised here. Do not add
minting: it is in `assets.py`.
"""

from typing import Annotated

from msgspec import Meta

from aitbc_node.canonical import Record
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger.family import Act, Family, Outcome
from aitbc_node.ledger.forms import (
    NAME_BYTES_MAX,
    AccountName,
    Decimals,
    Gain,
    Ticker,
    is_plain_text,
)
from aitbc_node.ledger.objects import Asset
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Amount

DEFINE_GAS = 400_000
TICKER_CHARS_MIN = 3

_CAPITALS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TICKER_CHARS = _CAPITALS | frozenset("0123456789")


class AssetDefine(Record, frozen=True, tag="asset.define"):
    """Define an asset; `mint_max` is all that may ever be minted, whatever is destroyed.

    Shape: the ticker is 3..12 capital letters and digits, a letter first, so that no two of them
    differ by case only and none has a small letter that looks like a capital one.
    """

    ticker: Ticker
    name: Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX)]
    decimals: Decimals
    mint_authority: AccountName | None
    min_amount: Gain
    mint_max: Gain


def apply(draft: Draft, act: Act, body: AssetDefine) -> Outcome:
    """Put the asset on record, or say that its name is taken."""
    if draft.asset(body.ticker) is not None:
        return Refusal(Code.E_TAKEN, "ticker", f"there is an asset '{body.ticker}' already")
    asset = Asset(
        name=body.name,
        decimals=body.decimals,
        mint_authority=body.mint_authority,
        min_amount=body.min_amount,
        supply=Amount(0),
        minted=Amount(0),
        burned=Amount(0),
        mint_max=body.mint_max,
    )
    draft.put_asset(body.ticker, asset)
    return [("asset.define", body.ticker, act.sender.hex(), str(body.mint_max))]


def _gas(_body: AssetDefine) -> int:
    return DEFINE_GAS


def _fault(body: AssetDefine) -> Refusal | None:
    ticker = body.ticker
    if len(ticker) < TICKER_CHARS_MIN or not _TICKER_CHARS.issuperset(ticker):
        message = "not 3 to 12 capital letters and digits"
        return Refusal(Code.E_MALFORMED, "ticker", message)
    if ticker[0] not in _CAPITALS:
        return Refusal(Code.E_MALFORMED, "ticker", "does not begin with a letter")
    if not is_plain_text(body.name, bytes_max=NAME_BYTES_MAX):
        message = f"over {NAME_BYTES_MAX} bytes, not NFC, or a character newer than Unicode 3.2"
        return Refusal(Code.E_MALFORMED, "name", message)
    if body.min_amount > body.mint_max:
        message = f"{body.min_amount}, all that may ever be minted is {body.mint_max}"
        return Refusal(Code.E_AMOUNT, "min_amount", message)
    return None


FAMILY = Family(AssetDefine, gas=_gas, fault=_fault, apply=apply)
