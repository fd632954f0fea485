"""A node without a guard that votes against every block, whatever it thinks of it.

Beside an honest process of the same key it makes both sign two things in one place, for sure.
"""

import sys
from typing import Any

import unguarded_node
from msgspec.structs import replace

from aitbc_node.blocks import NO_BLOCK, PREVOTE
from aitbc_node.consensus.messages import Proposal, Vote
from aitbc_node.consensus.signing import SignGuard

_sign = SignGuard.sign


def _sign_against(self: SignGuard, unsigned: Proposal | Vote, **rest: Any) -> Any:
    if isinstance(unsigned, Vote) and unsigned.kind == PREVOTE:
        unsigned = replace(unsigned, block_id=NO_BLOCK)
    return _sign(self, unsigned, **rest)


if __name__ == "__main__":
    SignGuard.sign = _sign_against  # type: ignore[method-assign]
    sys.exit(unguarded_node.run())
