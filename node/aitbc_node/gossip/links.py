"""What does this node know of one standing link: who, since when, how fast, how reliable?

Do not decide here whether a link is kept.
"""

import msgspec

from aitbc_node import limits
from aitbc_node.gossip.speed import SpeedName
from aitbc_node.gossip.topics import Tally
from aitbc_node.types import PeerId

REQUESTS_PER_TICK_MAX = 200
"""A node that catches up asks once per round trip: not more often than once in two milliseconds."""
ANSWER_BYTES_PER_TICK_MAX = limits.BLOCK_BYTES_MAX
"""Nobody needs more than one whole block at a time; who asks for more is answered later."""
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
    speed: SpeedName


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
    shown: int = 0
    tally: Tally = msgspec.field(default_factory=Tally)

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

    @property
    def is_flooding(self) -> bool:
        """Tell whether the peer sends more frames than any honest node does."""
        return self.frames > limits.PEER_FRAMES_BURST

    def begin_tick(self, frames: int) -> None:
        """Let so many frames be forgotten, and count all else anew."""
        self.requests = self.answered_bytes = self.shown = 0
        self.frames = max(0, self.frames - frames)
        self.tally.forget(frames)

    def may_ask(self) -> bool:
        """Count a request; False when there were too many since the last tick."""
        self.requests += 1
        return self.requests <= REQUESTS_PER_TICK_MAX

    def may_show(self) -> bool:
        """Count evidence; False when more was shown since the last tick than anybody keeps."""
        self.shown += 1
        return self.shown <= limits.EVIDENCE_KEPT_MAX

    def may_get(self, size: int) -> bool:
        """Count bytes of an answer; False when there were enough of them since the last tick."""
        if self.answered_bytes >= ANSWER_BYTES_PER_TICK_MAX:
            return False
        self.answered_bytes += size
        return True

    def view(self, *, score: int, speed: SpeedName) -> PeerView:
        """Show it to a reader; a ping that is on its way is neither answered nor missed."""
        counted = self.pings - self.pong_due
        return PeerView(
            self.peer,
            self.address,
            "out" if self.outbound else "in",
            self.rtt_ms,
            100 * self.pongs // counted if counted else None,
            score,
            self.version.partition("+")[0],
            speed,
        )
