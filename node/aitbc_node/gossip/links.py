"""What does this node know of one standing link: who, since when, how fast, how reliable?

Do not decide here whether a link is kept.
"""

import msgspec

from aitbc_node.types import PeerId

PINGS_COUNTED = 240
"""Pings behind `availability`; when so many are counted, half of them are forgotten."""


class PeerView(msgspec.Struct, frozen=True):
    """Show one link to a reader. Units: `availability` is the share of pings answered, of 100."""

    id: PeerId
    address: str
    direction: str
    rtt_ms: int | None
    availability: int | None
    score: int
    version: str


class Link(msgspec.Struct):
    """Remember one standing link. Units: milliseconds of the machine's clock.

    `source` is where it really leads or comes from, whatever the peer says of itself.
    """

    peer: PeerId
    address: str
    outbound: bool
    version: str
    source: str
    since_ms: int
    heard_ms: int
    pinged_ms: int
    ping_number: int = 0
    pong_due: bool = False
    pings: int = 0
    pongs: int = 0
    rtt_ms: int | None = None
    frames: int = 0
    requests: int = 0
    answered_bytes: int = 0

    def ping(self, now_ms: int) -> int:
        """Count a ping that leaves now; return its number."""
        if self.pings == PINGS_COUNTED:
            self.pings //= 2
            self.pongs //= 2
        self.pings += 1
        self.ping_number += 1
        self.pinged_ms = now_ms
        self.pong_due = True
        return self.ping_number

    def pong(self, number: int, now_ms: int) -> bool:
        """Measure the way there and back, smoothed over about eight pings; False if not asked."""
        if not self.pong_due or number != self.ping_number:
            return False
        self.pong_due = False
        self.pongs += 1
        sample = now_ms - self.pinged_ms
        self.rtt_ms = sample if self.rtt_ms is None else (7 * self.rtt_ms + sample) // 8
        return True

    def view(self, *, score: int) -> PeerView:
        """Show it to a reader; a ping that is on its way is neither answered nor missed."""
        counted = self.pings - self.pong_due
        return PeerView(
            self.peer,
            self.address,
            "out" if self.outbound else "in",
            self.rtt_ms,
            100 * self.pongs // counted if counted else None,
            score,
            self.version,
        )
