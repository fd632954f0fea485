"""What is remembered of one node, and how many entries may anybody be the cause of?

Identities cost nothing and addresses of one network little, so both are counted: so many entries of
one public network, so many nodes never met on the word of one peer. Do not add who is dialled.
"""

from collections import Counter
from collections.abc import Container, Iterable

import msgspec

from aitbc_node.gossip.records import PeerRecord
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.types import PeerId

UNREACHABLE_ATTEMPTS = 12
"""After so many dials in vain a peer that nobody vouches for is forgotten, if room is wanted."""
FRESH_MS = 3_600_000
"""Who was linked so lately is passed on to others."""
PER_SUBNET_MAX = 32
PER_TELLER_MAX = 128
"""Peers never met that are in the book on the word of one other."""


class Entry(msgspec.Struct):
    """Remember one node. Units: milliseconds of the machine's clock.

    Shape: `named` is the operator's address for it, "" when he named none; `teller` is on whose
    word it is here, None for the operator, the ledger and the own file; `met_ms` is the last moment
    of a link, None for never; `is_reached` once this node has dialled it with success; `dialled_ms`
    is set while a dial is under way.
    """

    peer: PeerId
    named: str = ""
    record: PeerRecord | None = None
    vouched: bool = False
    teller: PeerId | None = None
    met_ms: int | None = None
    is_reached: bool = False
    rtt_ms: int | None = None
    dial_at_ms: int = 0
    attempts: int = 0
    dialled_ms: int | None = None
    rests_until_ms: int = 0
    subnets: tuple[str, ...] = ()

    @property
    def is_self_told(self) -> bool:
        """Tell whether nobody but the node itself has told of it."""
        return self.teller == self.peer

    def is_fresh(self, now_ms: int) -> bool:
        """Tell whether it was linked lately."""
        return self.met_ms is not None and now_ms - self.met_ms <= FRESH_MS

    def is_remembered(self, now_ms: int) -> bool:
        """Tell whether it stays, however often it was dialled in vain."""
        return bool(self.named) or self.vouched or self.is_fresh(now_ms)

    @property
    def places(self) -> tuple[str, ...]:
        """Return all known addresses, the operator's first."""
        told = () if self.record is None else self.record.addresses
        return tuple(dict.fromkeys((self.named, *told) if self.named else told))

    @property
    def address(self) -> str:
        """Return where to dial next: all known places in turn."""
        places = self.places
        return places[self.attempts % len(places)]


class Crowds:
    """Count for whom the entries of a book stand there."""

    def __init__(self, subnets: Subnets) -> None:
        self._subnets = subnets
        self._per_subnet: Counter[str] = Counter()
        self._per_teller: Counter[PeerId] = Counter()

    def have_room(self, entry: Entry) -> bool:
        """Tell whether neither teller nor networks have all the entries that they may have."""
        if entry.teller is not None and self._per_teller[entry.teller] >= PER_TELLER_MAX:
            return False
        crowds = (self._per_subnet[subnet] for subnet in self._subnets_of(entry))
        return entry.vouched or max(crowds, default=0) < PER_SUBNET_MAX

    def add(self, entry: Entry) -> None:
        """Count a new entry."""
        self.recount(entry)
        if entry.teller is not None:
            self._per_teller[entry.teller] += 1

    def recount(self, entry: Entry) -> None:
        """Count an entry whose addresses are others now."""
        self._per_subnet.subtract(entry.subnets)
        entry.subnets = self._subnets_of(entry)
        self._per_subnet.update(entry.subnets)

    def believe(self, entry: Entry) -> None:
        """Count an entry no longer for the one who told of it."""
        if entry.teller is not None:
            self._per_teller[entry.teller] -= 1
            if not self._per_teller[entry.teller]:
                del self._per_teller[entry.teller]
            entry.teller = None

    def remove(self, entry: Entry) -> None:
        """Count an entry no longer."""
        self.believe(entry)
        self._per_subnet.subtract(entry.subnets)
        for subnet in entry.subnets:
            if not self._per_subnet[subnet]:
                del self._per_subnet[subnet]

    def _subnets_of(self, entry: Entry) -> tuple[str, ...]:
        """Name the networks that count an entry; what the operator named counts for none."""
        if entry.named or entry.record is None:
            return ()
        named = (self._subnets.of(address) for address in entry.record.addresses)
        return tuple(dict.fromkeys(subnet for subnet in named if subnet))


def to_forget(entries: Iterable[Entry], linked: Container[PeerId], newcomer: Entry) -> Entry | None:
    """Name who makes room: one beyond hope, else one that came once and was never reached.

    For who is linked and tells of itself also one of whom others told; the oldest first.
    """
    with_hearsay = newcomer.peer in linked

    def is_spare(entry: Entry) -> bool:
        if entry.named or entry.vouched:
            return False
        is_cheap = entry.is_self_told or (with_hearsay and entry.teller is not None)
        is_unproven = is_cheap and not entry.is_reached and entry.peer not in linked
        return is_unproven or entry.attempts >= UNREACHABLE_ATTEMPTS

    def worthlessness(entry: Entry) -> tuple[bool, bool, int]:
        return entry.attempts >= UNREACHABLE_ATTEMPTS, entry.is_self_told, entry.attempts

    return max(filter(is_spare, entries), key=worthlessness, default=None)
