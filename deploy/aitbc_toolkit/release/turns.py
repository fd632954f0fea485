"""Whose turn to propose is farthest away, so that its restart costs the mesh no round?

With rotation nobody can hand over. What one can do is wait until a validator's own proposal is
final and stop it right then: its next turn comes after everybody else's.
"""

import time
from collections.abc import Sequence

from aitbc_node.rpc import schema
from aitbc_toolkit.release.reading import Mesh, tip

_POLL_S = 0.05
# Every validator proposes once in a rotation; one more allows for a height that took a round.
_ROTATIONS = 2


def just_proposed(mesh: Mesh, candidates: Sequence[str]) -> str:
    """Wait until one of the candidates has proposed the newest block, and return it.

    The first candidate is returned when that takes longer than two rotations: a restart may cost a
    round, but no deploy waits for a proposer that never comes.
    """
    environment = mesh.environment
    statuses = mesh.statuses()
    names = {status.validator: name for name, status in statuses.items() if status}
    interval_s = environment.chain.block_interval_ms / 1000
    deadline = time.monotonic() + _ROTATIONS * len(environment.validators) * interval_s
    seen = tip(statuses)
    while time.monotonic() < deadline:
        block = _newest(mesh)
        # A block that was there before we looked may be almost a whole turn old.
        if block is not None and block.height > seen:
            name = names.get(block.proposer, "")
            if name in candidates:
                return name
        time.sleep(_POLL_S)
    return candidates[0]


def _newest(mesh: Mesh) -> schema.BlockView | None:
    """Read the newest block from the first node that answers."""
    for each in mesh.environment.instances:
        block = mesh.ask(each, "/blocks/latest", schema.BlockView)
        if block is not None:
            return block
    return None
