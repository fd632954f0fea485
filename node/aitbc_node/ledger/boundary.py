"""What happens at the end of a block, whatever its transactions were?

Work that fell due, in order of kind and name. Do not add what one body does.
"""

from aitbc_node.ledger import due, records
from aitbc_node.ledger.objects import RECORD
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Height


def end_block(draft: Draft, height: Height) -> None:
    """Do what the height brings with it."""
    for key in due.take(draft, height):
        assert key[0] == RECORD, f"nobody handles a {key[0]} that is due"
        records.expire(draft, key, height)
