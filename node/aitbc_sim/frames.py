"""What is in a frame, as far as networks and checkers care: its kind, and what its sender signed?

Frames are looked at without reading all of them. Do not add judgements here.
"""

from typing import Any

import msgspec

from aitbc_node.blocks import PRECOMMIT
from aitbc_node.canonical import decode, encode
from aitbc_node.consensus.messages import Proposal, Vote
from aitbc_node.gossip.messages import Finals

_KINDS = {
    b"proposal": "proposal",
    b"summary": "summary",
    b"finals": "finals",
    b"finals?": "finals",
    b"status": "status",
    b"bodies": "bodies",
    b"bodies?": "bodies",
    b"block": "bodies",
    b"block?": "bodies",
    b"txs": "txs",
}

FINALS = encode(Finals(()))[:-1]
"""How each frame with final blocks begins."""

_reader: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder()


def signed_payloads(payload: bytes) -> tuple[Proposal | Vote, ...]:
    """Return the proposals and votes inside a frame that a node sends."""
    match tag_of(payload):
        case b"votes":
            return tuple(decode(vote, Vote) for vote in _reader.decode(payload)[1])
        case b"proposal":
            return (decode(_reader.decode(payload)[1], Proposal),)
        case _:
            return ()


def tag_of(payload: bytes) -> bytes:
    """Return the tag of a frame: an array whose first element is a short string."""
    return payload[2 : 2 + (payload[1] & 0x1F)] if len(payload) > 1 else b""


def kind_of(payload: bytes, messages: tuple[Proposal | Vote, ...]) -> str:
    """Name the kind of message for the network, which may lose some and not others."""
    if messages and isinstance(messages[0], Vote):
        return "precommit" if messages[0].kind == PRECOMMIT else "prevote"
    return _KINDS.get(tag_of(payload), "")
