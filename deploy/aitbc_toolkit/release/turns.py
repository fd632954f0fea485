"""Whose turn to propose is the farthest away? That validator is restarted next.

With rotation nobody can hand over. What one can do is stop a validator soon after its own proposal:
its next turn comes after everybody else's. Only the choice is made here; the moment is waited for
by the node itself, when it is drained.
"""

from collections.abc import Sequence

from aitbc_node.rpc import schema
from aitbc_toolkit.release.reading import Mesh


def farthest(mesh: Mesh, candidates: Sequence[str]) -> str:
    """Return the candidate that proposed last, or the first if none did within a rotation."""
    keys = {name: status.validator for name, status in mesh.statuses(candidates).items() if status}
    for block in _newest(mesh, len(mesh.environment.validators)):
        for name in candidates:
            if keys.get(name) == block.proposer:
                return name
    return candidates[0]


def _newest(mesh: Mesh, count: int) -> list[schema.BlockView]:
    """Read the newest blocks, the newest first, from the first node that answers."""
    for each in mesh.environment.instances:
        page = mesh.ask(each, f"/blocks?count={count}", schema.Blocks)
        if page is not None:
            return page.blocks[::-1]
    return []
