"""When is there reason to let one of the links go, so that the mesh keeps its shape?

For who is kept at once, for newcomers soon, for better links seldom. Whose link it is, is decided
in `choice.py`. Do not add how links are closed.
"""

from collections.abc import Callable

from aitbc_node.gossip import choice
from aitbc_node.gossip.peers import Peers
from aitbc_node.types import PeerId

SHAPE_MS = 2_000
SPREAD_MS = 10_000
"""So often an own link with who has very many is given up for one with who has few."""
REPLACE_MS = 300_000
"""So often an outbound link that is worth little is given up for another."""


class Shaping:
    """Remember when links were last looked at."""

    def __init__(self) -> None:
        self._shape_at_ms = 0
        self._spread_at_ms, self._replace_at_ms = SPREAD_MS, REPLACE_MS

    def spare(
        self,
        peers: Peers,
        degree_of: Callable[[PeerId], int],
        voters: Callable[[], frozenset[PeerId]],
        now_ms: int,
    ) -> PeerId | None:
        """Name whose link goes now; mostly nobody's. Present `voters` make no room."""
        is_due = now_ms >= self._shape_at_ms
        if not is_due and not peers.is_too_full:
            return None
        held = peers.held(now_ms, degree_of, voters=voters())
        chosen = choice.to_evict(held) if peers.is_too_full else None
        if chosen is not None or not is_due:
            return chosen
        self._shape_at_ms = now_ms + SHAPE_MS
        chosen = choice.to_let_go(held)
        if chosen is None and now_ms >= self._spread_at_ms:
            self._spread_at_ms = now_ms + SPREAD_MS
            candidates, least = peers.candidates(now_ms), choice.DEGREE_RICH
            if now_ms >= self._replace_at_ms:
                self._replace_at_ms, least = now_ms + REPLACE_MS, choice.DEGREE_ENOUGH
            chosen = choice.to_replace(held, candidates=candidates, degree_min=least)
        return chosen
