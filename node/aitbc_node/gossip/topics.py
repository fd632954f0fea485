"""What do peers talk about, and how much of each may one of them say?

Every message belongs to one topic, and each topic has a bound of its own, far above what honest
nodes need and below what one peer may send in all: who floods with one thing is stopped before the
others suffer. What is new to say later, as agents' messages, gets a topic here. Do not add what is
done with messages.
"""

from enum import IntEnum
from typing import get_args

import msgspec

from aitbc_node import limits
from aitbc_node.gossip.messages import (
    BlockFound,
    BlockWanted,
    Bodies,
    BodiesWanted,
    EvidenceSeen,
    Finals,
    FinalsWanted,
    Hello,
    Message,
    Neighbours,
    OfferFound,
    OfferWanted,
    PeersKnown,
    PeersWanted,
    Piece,
    PieceWanted,
    Ping,
    Pong,
    ProposalSent,
    RoomNeeded,
    Status,
    SummarySent,
    Transactions,
    TransactionsHanded,
    VotesSent,
)


class Topic(IntEnum):
    """Number what is talked about."""

    LIFE = 0
    PEERS = 1
    CONSENSUS = 2
    TRANSACTIONS = 3
    EVIDENCE = 4
    BLOCKS = 5


class Bound(msgspec.Struct, frozen=True):
    """Say how many messages of a topic one peer may send: a second, and at once after a pause."""

    per_s: int
    burst: int


BOUNDS = {
    Topic.LIFE: Bound(100, 1_000),
    Topic.PEERS: Bound(100, 1_000),
    Topic.CONSENSUS: Bound(limits.PEER_FRAMES_PER_S, limits.PEER_FRAMES_BURST),
    Topic.TRANSACTIONS: Bound(500, 5_000),
    Topic.EVIDENCE: Bound(100, 1_000),
    Topic.BLOCKS: Bound(limits.PEER_FRAMES_PER_S, limits.PEER_FRAMES_BURST),
}

_MESSAGES: dict[Topic, tuple[type, ...]] = {
    Topic.LIFE: (Ping, Pong),
    Topic.PEERS: (Hello, Neighbours, PeersWanted, PeersKnown, RoomNeeded),
    Topic.CONSENSUS: (ProposalSent, VotesSent, SummarySent),
    Topic.TRANSACTIONS: (Transactions, TransactionsHanded),
    Topic.EVIDENCE: (EvidenceSeen,),
    Topic.BLOCKS: (
        Status,
        BodiesWanted,
        Bodies,
        BlockWanted,
        BlockFound,
        FinalsWanted,
        Finals,
        OfferWanted,
        OfferFound,
        PieceWanted,
        Piece,
    ),
}
TOPIC_OF = {kind: topic for topic, kinds in _MESSAGES.items() for kind in kinds}

# A message without a topic would have no bound.
assert set(TOPIC_OF) == set(get_args(Message))
assert set(BOUNDS) == set(Topic)
# A node pings twice a second and answers as often; a pause of ten seconds must not look like more.
assert BOUNDS[Topic.LIFE].burst >= 10 * 2 * 1_000 // limits.PING_MS


class Tally:
    """Count what one peer has said of each topic lately."""

    def __init__(self) -> None:
        self._counts = [0] * len(Topic)

    def take(self, message: Message) -> str:
        """Count a message; name its topic when there is too much of it, else nothing."""
        topic = TOPIC_OF[type(message)]
        self._counts[topic] += 1
        return topic.name.lower() if self._counts[topic] > BOUNDS[topic].burst else ""

    def forget(self, frames: int) -> None:
        """Let time pass, told as how many frames in all a peer may send in it."""
        for topic, count in enumerate(self._counts):
            if count:
                less = frames * BOUNDS[Topic(topic)].per_s // limits.PEER_FRAMES_PER_S
                self._counts[topic] = max(0, count - less)
