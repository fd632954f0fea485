"""Whose turn to propose is far enough away that a restart costs the mesh no round?

With rotation nobody can hand over. What one can do is stop a validator soon after its own proposal:
its next turn comes after everybody else's.
"""

import time
from collections.abc import Sequence

from aitbc_node.rpc import schema
from aitbc_toolkit.release.reading import Mesh

_POLL_S = 0.05
# Every validator proposes once in a rotation; one more allows for a height that took a round.
_ROTATIONS = 2
# Heights that a restart takes: with fewer before the own turn, the proposal would be missing.
_HEIGHTS_NEEDED = 3


def has_time(mesh: Mesh, candidates: Sequence[str]) -> str:
    """Wait until one of the candidates has proposed lately, and return it.

    The first candidate is returned when that takes longer than two rotations: a restart may cost a
    round, but no deploy waits for a proposer that never comes.
    """
    environment = mesh.environment
    keys = {name: status.validator for name, status in mesh.statuses(candidates).items() if status}
    count = len(environment.validators)
    lately = max(1, count + 1 - _HEIGHTS_NEEDED)
    interval_s = environment.chain.block_interval_ms / 1000
    deadline = time.monotonic() + _ROTATIONS * count * interval_s
    while time.monotonic() < deadline:
        for block in _newest(mesh, lately):
            for name in candidates:
                if keys.get(name) == block.proposer:
                    return name
        time.sleep(_POLL_S)
    return candidates[0]


def _newest(mesh: Mesh, count: int) -> list[schema.BlockView]:
    """Read the newest blocks, the newest first, from the first node that answers."""
    for each in mesh.environment.instances:
        page = mesh.ask(each, f"/blocks?count={count}", schema.Blocks)
        if page is not None:
            return page.blocks[::-1]
    return []
