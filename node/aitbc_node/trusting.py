"""Which history is meant, when peers could tell two?

Whoever held the keys of long ago can sign a history of their own, and nothing that they staked
answers for it any more. So an operator may name a block that people told it, not peers. Do not add
how blocks are judged otherwise.
"""

import msgspec

from aitbc_node.blocks import NO_BLOCK, Header, block_id
from aitbc_node.errors import ConfigError
from aitbc_node.storage.store import Store
from aitbc_node.types import BlockId, Height


class Trusted(msgspec.Struct, frozen=True):
    """Be a block that the operator knows; height 0 for none."""

    height: Height
    block_id: BlockId

    def is_above(self, height: Height) -> bool:
        """Tell whether the known block is still to come: nothing is sure before."""
        return height < self.height

    def fault_of(self, header: Header) -> str:
        """Say why a block is of another history; empty when it may be the right one."""
        if header.height != self.height or block_id(header) == self.block_id:
            return ""
        return f"the block that sync.trusted_hash names there is {self.block_id.hex()}"

    def check(self, store: Store) -> None:
        """Refuse blocks on disk that are of another history.

        Raises: ConfigError that names both ids.
        """
        final = store.block(self.height)
        if final is not None and final.certificate.block_id != self.block_id:
            raise ConfigError(
                f"sync.trusted_hash: block {self.height} is {final.certificate.block_id.hex()}"
                f" here, not {self.block_id.hex()}",
                hint="ask several operators for that id; if yours is right, these blocks are of a "
                "false history: remove the data folder (never the key folder)",
            )


NOTHING_TRUSTED = Trusted(Height(0), NO_BLOCK)
