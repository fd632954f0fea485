"""Who is in the place of a node whose key has ended, by the ledger's word?

Only places that somebody asked for are looked at, the operator's own: so the keys of strangers cost
nothing here, however many of them end. Whose place is taken back is in none any more. Do not add
what a place is good for.
"""

from collections.abc import Callable, Mapping

from aitbc_node.types import PeerId


class Places:
    """Follow who took which place; `may_stand` tells whose key has not ended."""

    def __init__(self, may_stand: Callable[[PeerId], bool]) -> None:
        self._may_stand = may_stand
        self._heirs: Mapping[PeerId, PeerId] = {}
        self._found: dict[PeerId, PeerId | None] = {}
        """Who is in each place that was asked for."""

    def heir_of(self, peer: PeerId) -> PeerId | None:
        """Return who is in the place of a node now, None where nobody else is."""
        if peer not in self._found:
            self._found[peer] = self._look(peer)
        return self._found[peer]

    def change(self, heirs: Mapping[PeerId, PeerId]) -> list[PeerId]:
        """Take the ledger's word; name who was in a place until now and is in none any more."""
        self._heirs = heirs
        before = set(self._found.values())
        self._found = {peer: self._look(peer) for peer in self._found}
        after = set(self._found.values())
        return sorted(peer for peer in before if peer is not None and peer not in after)

    def _look(self, peer: PeerId) -> PeerId | None:
        """Go on from one to the next.

        It ends: a key is put into a place before it has ended itself, and ends once.
        """
        heir = peer
        while heir in self._heirs:
            heir = self._heirs[heir]
        return heir if heir != peer and self._may_stand(heir) else None
