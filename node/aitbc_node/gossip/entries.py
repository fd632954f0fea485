"""What is remembered of one node, and how many entries may anybody be the cause of?

Identities cost nothing and addresses of one network little, so both are counted: so many entries of
one public network, so few at one place, so many nodes never met on the word of one peer, or of all
that come from one network. Do not add who is dialled.
"""

from collections import Counter
from collections.abc import Container, Iterable

import msgspec

from aitbc_node.gossip.records import PeerRecord
from aitbc_node.gossip.subnets import Subnets, place_of
from aitbc_node.types import PeerId

UNREACHABLE_ATTEMPTS = 12
"""After so many dials in vain a peer that nobody vouches for is forgotten, if room is wanted."""
FRESH_MS = 3_600_000
"""Who was linked so lately is passed on to others."""
PER_SUBNET_MAX = 32
PER_PLACE_MAX = 2
"""Entries at one address and port: who is there, and who was before with another key. Without this
a thousand identities could have everybody dial one victim."""
PER_TELLER_MAX = 128
"""Peers never met that are in the book on the word of one other."""


class Entry(msgspec.Struct):
    """Remember one node. Units: milliseconds of the machine's clock.

    Shape: `named` is the operator's address for it, "" when he named none; `teller` is on whose
    word it is here, None for the operator, the ledger and the own file, and `voice` names those who
    are counted as one with that; `crowds` are the networks and places that count it; `met_ms` is
    the last moment of a link, None for never; `is_reached` once this node has dialled it with
    success; `dialled_ms` is set while a dial is under way.
    """

    peer: PeerId
    named: str = ""
    record: PeerRecord | None = None
    vouched: bool = False
    teller: PeerId | None = None
    voice: str = ""
    met_ms: int | None = None
    is_reached: bool = False
    rtt_ms: int | None = None
    dial_at_ms: int = 0
    attempts: int = 0
    dialled_ms: int | None = None
    rests_until_ms: int = 0
    crowds: tuple[str, ...] = ()

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
        self._sizes: Counter[str] = Counter()
        self._per_voice: Counter[str] = Counter()

    def voice_of(self, teller: PeerId, source: str) -> str:
        """Name who counts as one with a teller: who else comes from its network, if it came."""
        return self._subnets.of(source) or teller.hex()

    def is_heard(self, entry: Entry) -> bool:
        """Tell whether those who told of an entry have not told too much already."""
        return self._per_voice[entry.voice] < PER_TELLER_MAX if entry.voice else True

    def full(self, entry: Entry) -> tuple[str, ...]:
        """Name the networks and places that have no room for what an entry says now."""
        if entry.vouched:
            return ()
        names = (name for name in self._crowds_of(entry) if name not in entry.crowds)
        return tuple(name for name in names if self._sizes[name] >= _most(name))

    def add(self, entry: Entry) -> None:
        """Count a new entry."""
        self.recount(entry)
        if entry.voice:
            self._per_voice[entry.voice] += 1

    def recount(self, entry: Entry) -> None:
        """Count an entry whose addresses are others now."""
        self._leave(entry)
        entry.crowds = self._crowds_of(entry)
        self._sizes.update(entry.crowds)

    def believe(self, entry: Entry) -> None:
        """Count an entry no longer for the one who told of it."""
        if entry.voice:
            self._per_voice[entry.voice] -= 1
            if not self._per_voice[entry.voice]:
                del self._per_voice[entry.voice]
        entry.teller, entry.voice = None, ""

    def remove(self, entry: Entry) -> None:
        """Count an entry no longer."""
        self.believe(entry)
        self._leave(entry)

    def _leave(self, entry: Entry) -> None:
        self._sizes.subtract(entry.crowds)
        for name in entry.crowds:
            if not self._sizes[name]:
                del self._sizes[name]

    def _crowds_of(self, entry: Entry) -> tuple[str, ...]:
        """Name what counts an entry; what the operator named counts nowhere."""
        if entry.named or entry.record is None:
            return ()
        told = entry.record.addresses
        names = (*map(self._subnets.of, told), *map(place_of, told))
        return tuple(dict.fromkeys(name for name in names if name))


def _most(crowd: str) -> int:
    return PER_SUBNET_MAX if "/" in crowd else PER_PLACE_MAX


def is_home(crowd: str, source: str, subnets: Subnets) -> bool:
    """Tell whether a link that really comes from `source` is of a network, or a place's host."""
    return crowd == subnets.of(source) if "/" in crowd else _host(crowd) == _host(place_of(source))


def _host(place: str) -> str:
    return place.partition(" ")[0]


def to_disbelieve(entries: Iterable[Entry], linked: Container[PeerId], crowd: str) -> Entry | None:
    """Name an entry that nothing speaks for, in a crowd that keeps out who is really there."""

    def is_cheap(entry: Entry) -> bool:
        is_known = entry.named or entry.vouched or entry.is_reached or entry.peer in linked
        return crowd in entry.crowds and not is_known

    return max(filter(is_cheap, entries), key=lambda entry: entry.attempts, default=None)


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
