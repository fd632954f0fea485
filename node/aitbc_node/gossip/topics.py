"""What do peers talk about, and how much of each may one of them say?

Every message belongs to one topic, and each topic has a bound of its own, far above what honest
nodes need and below what one peer may send in all: who floods with one thing is stopped before the
others suffer. Whatever is new to say gets a topic here. Do not add what is done with messages.
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
    Letters,
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
    MESSAGES = 6


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
    Topic.MESSAGES: Bound(250, 2_500),
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
    Topic.MESSAGES: (Letters,),
}
TOPIC_OF = {kind: topic for topic, kinds in _MESSAGES.items() for kind in kinds}
_PLACE_OF = {kind: int(topic) for kind, topic in TOPIC_OF.items()}
"""The same as plain numbers, which lists are quicker with: this is asked for every message."""

# A message without a topic would have no bound.
assert set(TOPIC_OF) == set(get_args(Message))
assert set(BOUNDS) == set(Topic)
_BURSTS = [BOUNDS[topic].burst for topic in Topic]
_PER_S = [BOUNDS[topic].per_s for topic in Topic]
_LEAST_PER_S = min(_PER_S)
# Twice of what a node takes of its clients, in half-full messages, and one more for each flush.
_LETTERS_S = 4 * limits.LETTERS_RATE * limits.LETTER_UNIT_BYTES // limits.LETTERS_TOLD_BYTES
assert BOUNDS[Topic.MESSAGES].per_s >= _LETTERS_S + 50
# A node pings twice a second and answers as often; a pause of ten seconds must not look like more.
assert BOUNDS[Topic.LIFE].burst >= 10 * 2 * 1_000 // limits.PING_MS


class Tally:
    """Count what one peer has said of each topic lately."""

    def __init__(self) -> None:
        self._counts = [0] * len(Topic)

    def take(self, message: Message) -> str:
        """Count a message; name its topic when there is too much of it, else nothing."""
        place = _PLACE_OF[type(message)]
        count = self._counts[place] = self._counts[place] + 1
        return Topic(place).name.lower() if count > _BURSTS[place] else ""

    def forget(self, frames: int) -> None:
        """Let time pass, told as how many frames in all a peer may send in it."""
        if max(self._counts) <= frames * _LEAST_PER_S // limits.PEER_FRAMES_PER_S:
            self._counts = [0] * len(_BURSTS)
            return
        for place, count in enumerate(self._counts):
            if count:
                less = frames * _PER_S[place] // limits.PEER_FRAMES_PER_S
                self._counts[place] = count - less if count > less else 0
