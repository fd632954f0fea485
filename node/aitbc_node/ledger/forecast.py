"""Who would vote in the next epoch, if nothing else happened in this one?

The rules of an epoch's end are carried out on a draft that is thrown away. Do not add rules here.
"""

from aitbc_node.ledger import boundary
from aitbc_node.ledger.state import Draft, State
from aitbc_node.types import Height
from aitbc_node.validators import ValidatorSet


def last_of_epoch(state: State, height: Height) -> Height:
    """Return the last height of the epoch that the block above this height is in."""
    blocks = state.params.epoch_blocks
    return Height((height // blocks + 1) * blocks)


def next_validators(state: State, height: Height) -> ValidatorSet:
    """Return who votes from the next epoch on, as it looks after the block at this height.

    Whose turn it is then depends on the blocks until then: priorities are not foretold.
    """
    # A stranger may ask a thousand times a second; the answer changes once a block.
    known = state.listing.foretold.get(height)
    if known is None:
        draft = Draft(state)
        boundary.end_epoch(draft, last_of_epoch(state, height))
        known = state.listing.foretold[height] = draft.validators
    return known
