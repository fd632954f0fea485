"""What is remembered of a standing link, and what of it is shown? Do not add what is done here."""

import msgspec

from aitbc_node.types import PeerId


class Link(msgspec.Struct):
    """Remember one standing link. Units: milliseconds of the machine's clock."""

    peer: PeerId
    address: str
    outbound: bool
    version: str
    since_ms: int
    heard_ms: int
    pinged_ms: int
    ping_number: int = 0
    pong_due: bool = False
    rtt_ms: int | None = None
    frames: int = 0
    requests: int = 0
    answered_bytes: int = 0


class PeerView(msgspec.Struct, frozen=True):
    """Show one link to a reader."""

    id: PeerId
    address: str
    direction: str
    rtt_ms: int | None
    score: int
    version: str
