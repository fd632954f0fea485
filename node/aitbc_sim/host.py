"""What may a simulated node ask of the world around it?

The seam between `nodes.py` and `world.py`. Do not add behaviour.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from aitbc_node.blocks import FinalBlock
from aitbc_node.events import Committed, Effect, Reply, Send
from aitbc_node.storage.store import Recovered
from aitbc_node.types import PeerId
from aitbc_sim.history import History
from aitbc_sim.options import Options

Node_contra = TypeVar("Node_contra", contravariant=True)


class Host(Protocol[Node_contra]):
    """Offer a node time, links, clients and an eye on it."""

    now_ms: int
    options: Options
    history: History

    def later(self, delay_ms: int, act: Callable[..., None], *arguments: object) -> None:
        """Call something after a while."""

    def dial(self, source: Node_contra, target: PeerId) -> None:
        """Try to make a link."""

    def hang_up(self, source: Node_contra, target: PeerId) -> None:
        """Close a link from one side."""

    def transmit(self, source: Node_contra, effect: Send) -> None:
        """Put a frame on its way to its receivers."""

    def observed(self, source: Node_contra, effects: list[Effect]) -> None:
        """See what a node would do, before anything of it is carried out."""

    def power_cut(self, process: Node_contra) -> None:
        """Kill a node in the middle of what it does."""

    def halted(self, process: Node_contra, app_version: int) -> None:
        """Hear that a node has ended, because the next block has rules that it does not know."""

    def returned(self, source: Node_contra, recovered: Recovered) -> None:
        """Hear what a node remembers, before it goes on from there."""

    def moved_on(self, process: Node_contra, final: FinalBlock) -> None:
        """Hear that a node goes on behind this block, whose state it has from its peers."""

    def answered(self, reply: Reply) -> None:
        """Hand an answer to the clients."""

    def announced(self, source: Node_contra, committed: Committed) -> None:
        """Hear that a block is final."""
