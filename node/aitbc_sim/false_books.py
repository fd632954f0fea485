"""What could be wrong with the ledger of a node? Parts of it that are, for `bugs.py` to plant.

Each takes the place of an honest function of the same form. Do not add a part without the checker
that must notice it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import balances, bonding, boundary, evidence, fees, objects
from aitbc_node.ledger.evidence import EvidenceSubmit
from aitbc_node.ledger.objects import Fees
from aitbc_node.ledger.state import Draft, Reader
from aitbc_node.limits import INT_MAX
from aitbc_node.types import Address, Height

_move = balances.move
_after_block = fees.after_block
_check = evidence.check
_end_block = boundary.end_block


def mint_one(draft: Draft, address: Address, asset: str, delta: int) -> None:
    """Give a receiver one unit more than the sender has paid."""
    _move(draft, address, asset, delta + (delta > 0))


def lose_a_share(before: Fees, params: Any, *, gas: int, collected: int) -> Fees:
    """Let the treasury's share of the fees vanish."""
    done = _after_block(before, params, gas=gas, collected=collected)
    return msgspec.structs.replace(done, to_treasury=0)


def punish_again(reader: Reader, body: EvidenceSubmit, *, height: Height) -> Refusal | None:
    """Forget which offences were punished."""
    refusal = _check(reader, body, height=height)
    return None if refusal is not None and refusal.code is Code.E_PUNISHED else refusal


def pay_early(draft: Draft, height: Height) -> None:
    """Pay coins on their way back as soon as no vote rests on them."""
    for operator in draft.roster.operators:
        bonding.mature(draft, (objects.UNBONDING, operator), Height(INT_MAX))
    _end_block(draft, height)


def all_at_once(
    _before: Mapping[Address, int],
    wanted: Mapping[Address, int],
    _turns: Sequence[Address],
    *,
    places: int,
) -> dict[Address, int]:
    """Let everybody have at once the power that stands behind him."""
    return dict(list(wanted.items())[:places])
