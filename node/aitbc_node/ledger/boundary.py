"""What happens at the end of a block, whatever its transactions were?

Work that fell due, in order of kind and name, so much of each kind; at the end of an epoch, who
votes next. Do not add what one body does.
"""

from collections.abc import Callable, Mapping

from aitbc_node.ledger import (
    absence,
    bonding,
    due,
    epochs,
    proposals,
    records,
    rewards,
    upgrades,
)
from aitbc_node.ledger.objects import PROPOSAL, RECORD, UNBONDING, ObjectKey
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Height

HANDLERS: Mapping[str, Callable[[Draft, ObjectKey, Height], None]] = {
    PROPOSAL: proposals.lapse,
    RECORD: records.expire,
    UNBONDING: bonding.mature,
}

# Whatever can be planned is handled, or it would be due for ever.
assert tuple(HANDLERS) == due.KINDS


def end_block(draft: Draft, height: Height) -> None:
    """Do what the height brings with it."""
    for kind, handle in HANDLERS.items():
        for key in due.take(draft, kind, height):
            handle(draft, key, height)
    is_last = epochs.is_last(height, draft.params.epoch_blocks)
    if is_last or draft.decided.ends_epoch:
        end_epoch(draft, height)
    upgrades.activate(draft, height)


def end_epoch(draft: Draft, height: Height) -> None:
    """Pay for the epoch that ends with this height, and settle the next one."""
    rewards.pay_epoch(draft)
    proposals.carry_out_all(draft)
    absence.release(draft, height)
    epochs.begin_next(draft, height)
