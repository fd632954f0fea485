"""Whom must a message still be passed on to, so that a partial mesh gets it and nobody twice?

Every node tells its peers whom it is linked with. A node that first got a message from S passes it
on to those of its peers that are not linked with S. In a full mesh that is nobody. In a partial one
everybody is reached: a neighbour of S has it from S itself, or is linked with whom S had it from,
and so on back to the origin, which sent it to all its peers. A stale or false list can cost a hop;
round summaries and the pull of missing bodies make up for it. Do not add what is passed on.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from aitbc_node.types import PeerId


class LinkSight(msgspec.Struct, frozen=True, kw_only=True):
    """Show one link, why its peer is known, and whom that one says it is linked with."""

    peer: PeerId
    address: str
    outbound: bool
    rtt_ms: int | None
    source: Literal["bootstrap", "ledger", "peers", "itself"]
    neighbours: frozenset[PeerId]


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Show the mesh around this node; `known` and `vouched` count nodes in the address book.

    Shape: `record` is what this node says about itself, empty where it says nothing.
    """

    links: tuple[LinkSight, ...]
    known: int
    vouched: int
    record: bytes


class Topology:
    """Hold the lists of the peers that are linked now."""

    def __init__(self) -> None:
        self._neighbours: dict[PeerId, frozenset[PeerId]] = {}
        self._targets: dict[PeerId, tuple[tuple[PeerId, ...], tuple[PeerId, ...]]] = {}
        """Of which linked peers what was chosen for a source, until a list changes."""

    def told(self, peer: PeerId, neighbours: Iterable[PeerId]) -> None:
        """Take a peer's newest list."""
        self._neighbours[peer] = frozenset(neighbours)
        self._targets.clear()

    def neighbours(self, peer: PeerId) -> frozenset[PeerId]:
        """Return whom a peer says it is linked with; nobody before it said anything."""
        return self._neighbours.get(peer, frozenset())

    def degree(self, peer: PeerId) -> int:
        """Return how many links a peer says it has."""
        return len(self._neighbours.get(peer, ()))

    def fame(self, node: PeerId) -> int:
        """Count the peers that say they are linked with a node, which need not be linked here."""
        return sum(node in others for others in self._neighbours.values())

    def forget(self, peer: PeerId) -> None:
        """Drop the list of a peer whose link is gone."""
        self._neighbours.pop(peer, None)
        self._targets.clear()

    def targets(self, linked: tuple[PeerId, ...], source: PeerId | None) -> tuple[PeerId, ...]:
        """Choose from the linked peers those that do not have it from `source` anyway."""
        if source is None:
            return linked
        known = self._targets.get(source)
        if known is None or known[0] != linked:
            chosen = tuple(p for p in linked if p != source and not self._joined(p, source))
            known = self._targets[source] = (linked, chosen)
        return known[1]

    def all_have(self, linked: tuple[PeerId, ...], source: PeerId | None) -> bool:
        """Tell whether nobody needs from here what `source` has sent, as mostly in a small mesh."""
        return source is not None and not self.targets(linked, source)

    def _joined(self, one: PeerId, other: PeerId) -> bool:
        # Both must say so: while one of the two has not heard of the link, nothing went over it.
        lists = self._neighbours
        return other in lists.get(one, ()) and one in lists.get(other, ())
