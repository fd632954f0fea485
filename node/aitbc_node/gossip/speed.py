"""How fast is the link to a peer, by what this node has measured itself?

A ping travels behind what was sent before it, so its answer says that all of that has arrived: how
much and in which time. A late answer alone makes no link slow, because a busy host answers late as
well: the driver must have seen that the wire itself held bytes up (`WireFull`). Four kinds follow
from that, and from the kind how much is sent at a time and to how many. A kind is lost when bytes
have queued twice in a row at a lower rate, and won back one by one after more and more calm
answers, so that a link at a border does not swing. Do not add what is sent.
"""

from collections.abc import Iterable
from enum import IntEnum
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec

from aitbc_node import limits
from aitbc_node.types import PeerId

MEASURED_BYTES_MIN = 32 * limits.KIB
"""Less in front of a ping says nothing: any pause of either process would look like a slow link."""
QUEUED_MS = 250
"""A ping that is away for so long while the wire is full has stood behind other bytes."""
BAD_IN_A_ROW = 2
CALM_IN_A_ROW = 8
CALM_IN_A_ROW_MAX = 256
RATE_MIN = 4_000
"""A slow link is given so many bytes a second at least."""
AWAITED_MAX = 64
"""Pings whose answers count, however late; older ones are forgotten."""
LATE_MS = 1_000
"""A ping that is away for so long tells by itself how little has arrived."""


SpeedName: TypeAlias = Literal["slow", "home", "gigabit", "fast"]
_NAMES: tuple[SpeedName, ...] = ("slow", "home", "gigabit", "fast")


class Kind(IntEnum):
    """Order links by how much they carry."""

    SLOW = 0
    HOME = 1
    GIGABIT = 2
    FAST = 3

    @property
    def shown(self) -> SpeedName:
        """Name it for a reader."""
        return _NAMES[self]


class Manners(msgspec.Struct, frozen=True):
    """Say how transactions are sent on links of a kind.

    Units: bytes in one message; bytes a second, 0 for no bound. `fan_out` is to how many peers a
    node whose links are mostly such hands what its clients bring.
    """

    portion: int
    rate: int
    fan_out: int


LEAST = {Kind.SLOW: 0, Kind.HOME: 125_000, Kind.GIGABIT: 6_250_000, Kind.FAST: 62_500_000}
"""What a link of a kind carries at least, in bytes a second: 1, 50 and 500 Mbit/s."""

MANNERS = {
    Kind.SLOW: Manners(portion=8 * limits.KIB, rate=LEAST[Kind.HOME], fan_out=3),
    Kind.HOME: Manners(portion=64 * limits.KIB, rate=LEAST[Kind.GIGABIT], fan_out=6),
    Kind.GIGABIT: Manners(portion=256 * limits.KIB, rate=0, fan_out=limits.PEERS_MAX),
    Kind.FAST: Manners(portion=limits.TX_BATCH_BYTES_MAX, rate=0, fan_out=limits.PEERS_MAX),
}
BEGIN = Kind.GIGABIT
"""What a link is taken for before anything was measured."""

assert all(LEAST[one] < LEAST[other] for one, other in pairwise(Kind))
assert all(manners.portion <= limits.TX_BATCH_BYTES_MAX for manners in MANNERS.values())


def kind_of(rate: int) -> Kind:
    """Return the kind of a link that carries so many bytes a second."""
    return max(kind for kind in Kind if rate >= LEAST[kind])


class Speed(msgspec.Struct):
    """Measure one link. Units: milliseconds of the machine's clock, bytes, bytes a second."""

    kind: Kind = BEGIN
    carries: int = 0
    """What a slow link has carried lately, less as much as empties its queue."""
    sent: int = 0
    """All bytes that ever left."""
    arrived: int = 0
    """Those of which the start of the present measurement knows that they have arrived."""
    since_ms: int = 0
    awaited: dict[int, tuple[int, int]] = {}
    """Pings that are away: what was sent before each, and when it left."""
    judged: int = -1
    """The last ping that was judged while it was away: each counts once."""
    full_ms: int | None = None
    """When bytes stood before the wire the last time."""
    bad: int = 0
    calm: int = 0
    patience: int = CALM_IN_A_ROW

    @property
    def allowed(self) -> int:
        """Return how much may be sent; 0 for no bound."""
        return min(MANNERS[self.kind].rate, self.carries)

    @property
    def is_watched(self) -> bool:
        """Tell whether every answer counts: the link is slow, or more left than says nothing."""
        return self.kind < BEGIN or self.sent - self.arrived >= MEASURED_BYTES_MIN

    def send(self, size: int, now_ms: int) -> None:
        """Count what leaves."""
        if self.sent == self.arrived:
            self.since_ms = now_ms  # nothing was under way: the time before says nothing
        self.sent += size

    def full(self, now_ms: int) -> None:
        """Note that bytes stand before the wire, not before the peer's process."""
        self.full_ms = now_ms

    def ping(self, number: int, now_ms: int) -> None:
        """Begin to wait for an answer; one that is late tells already how little arrived."""
        late = [each for each, (_, at_ms) in self.awaited.items() if now_ms - at_ms >= LATE_MS]
        if late:
            self._measure_queued(late[-1], *self.awaited[late[0]], now_ms)
        self.awaited[number] = (self.sent, now_ms)
        if len(self.awaited) > AWAITED_MAX:
            del self.awaited[next(iter(self.awaited))]

    def pong(self, number: int, now_ms: int) -> None:
        """Take the answer to a ping; those to earlier ones will not come any more."""
        if number not in self.awaited:
            return
        sent, at_ms = self.awaited[number]
        self.awaited = {each: row for each, row in self.awaited.items() if each > number}
        if not self._measure_queued(number, sent, at_ms, now_ms):
            size = sent - self.arrived
            if self._has_queued(at_ms, now_ms):
                return  # too little for a rate: what comes next counts with it
            self._flowed(size, self._rate(size, now_ms))
        self.arrived, self.since_ms = sent, now_ms

    def _has_queued(self, at_ms: int, now_ms: int) -> bool:
        """Tell whether what left at `at_ms` has waited, and for the wire."""
        is_full = self.full_ms is not None and self.full_ms >= at_ms
        return is_full and now_ms - at_ms >= QUEUED_MS

    def _rate(self, size: int, now_ms: int) -> int:
        return size * 1_000 // max(1, now_ms - self.since_ms)

    def _measure_queued(self, number: int, sent: int, at_ms: int, now_ms: int) -> bool:
        """Measure by what has stood before the wire; False when it has not, or was too little.

        It counts against the kind once for each ping, whose `number` this is.
        """
        size, delay_ms = sent - self.arrived, now_ms - at_ms
        if size < MEASURED_BYTES_MIN or not self._has_queued(at_ms, now_ms):
            return False
        rate = self._rate(size, now_ms)
        found = kind_of(rate)
        self.calm = 0
        if found >= self.kind:
            self.bad = 0
        elif number > self.judged:
            self.bad += 1
        self.judged = max(self.judged, number)
        if self.bad == BAD_IN_A_ROW:
            self.kind, self.bad = found, 0
            self.patience = min(2 * self.patience, CALM_IN_A_ROW_MAX)
        if found <= self.kind:
            # The longer the queue, the more room to empty it.
            part = 8 if delay_ms < LATE_MS else 5 if delay_ms < 2 * LATE_MS else 1
            self.carries = max(RATE_MIN, LEAST[self.kind], rate * part // 10)
        return True

    def _flowed(self, size: int, rate: int) -> None:
        self.bad = 0
        bound = MANNERS[self.kind].rate
        if self.carries < bound and 2_000 * size >= self.carries * limits.PING_MS:
            # It is in full use, so more is tried before it counts as calm.
            self.carries = min(self.carries * 5 // 4, bound)
            return
        self.calm += 1
        if self.kind < BEGIN and self.calm >= self.patience:
            self.kind, self.calm = Kind(self.kind + 1), 0
            self.carries = max(self.carries, LEAST[self.kind])
        elif self.kind == BEGIN and size >= MEASURED_BYTES_MIN:
            self.kind = max(self.kind, kind_of(rate))
        if self.calm >= 2 * CALM_IN_A_ROW_MAX:
            self.calm, self.patience = 0, CALM_IN_A_ROW


class Speeds:
    """Measure all links of one node."""

    def __init__(self) -> None:
        self._links: dict[PeerId, Speed] = {}

    def begin(self, peer: PeerId) -> None:
        """Begin with a link of which nothing is known."""
        self._links[peer] = Speed()

    def forget(self, peer: PeerId) -> None:
        """Forget a link that is gone."""
        self._links.pop(peer, None)

    def send(self, peers: Iterable[PeerId], size: int, now_ms: int) -> None:
        """Count what leaves for some peers."""
        for peer in peers:
            if peer in self._links:
                self._links[peer].send(size, now_ms)

    def full(self, peer: PeerId, now_ms: int) -> None:
        """Note that bytes stand before the wire to a peer."""
        if peer in self._links:
            self._links[peer].full(now_ms)

    def ping(self, peer: PeerId, number: int, now_ms: int) -> None:
        """Begin to wait for an answer."""
        if peer in self._links:
            self._links[peer].ping(number, now_ms)

    def pong(self, peer: PeerId, number: int, now_ms: int) -> None:
        """Take an answer, however late."""
        if peer in self._links:
            self._links[peer].pong(number, now_ms)

    def is_watched(self, peer: PeerId) -> bool:
        """Tell whether a link is to be pinged as often as may be."""
        found = self._links.get(peer)
        return found is not None and found.is_watched

    def allowed(self, peer: PeerId) -> int:
        """Return how many bytes a second may be sent; 0 for no bound."""
        found = self._links.get(peer)
        return 0 if found is None else found.allowed

    def kind(self, peer: PeerId) -> Kind:
        """Return the kind of a link."""
        found = self._links.get(peer)
        return BEGIN if found is None else found.kind

    @property
    def fan_out(self) -> int:
        """Return to how many peers this node hands what its clients bring, by its median link."""
        kinds = sorted(link.kind for link in self._links.values())
        return MANNERS[kinds[len(kinds) // 2] if kinds else BEGIN].fan_out
