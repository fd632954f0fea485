"""What is in a frame, as far as networks and checkers care: its kind, and what its sender signed?

Frames are looked at without reading all of them. Do not add judgements here.
"""

from aitbc_node.blocks import PRECOMMIT
from aitbc_node.canonical import encode
from aitbc_node.consensus.messages import Proposal, Vote
from aitbc_node.gossip.messages import Finals, ProposalSent, VotesSent, decode_message
from aitbc_node.voting import decoded

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


def look_into(payload: bytes, *, closely: bool) -> tuple[str, tuple[Proposal | Vote, ...]]:
    """Name the kind of message for the network, which may lose some and not others.

    Where it is looked at `closely`, with the proposals and votes inside, read like its receivers
    read them, so that what they share is shared with them.
    """
    tag = tag_of(payload)
    if closely and tag == b"votes":
        message = decode_message(payload)
        assert isinstance(message, VotesSent), "said by its tag"
        votes = tuple([decoded(vote, Vote) for vote in message.votes])
        is_late = bool(votes) and votes[0].kind == PRECOMMIT
        return "precommit" if is_late else "prevote" if votes else "", votes
    if closely and tag == b"proposal":
        message = decode_message(payload)
        assert isinstance(message, ProposalSent), "said by its tag"
        return "proposal", (decoded(message.proposal, Proposal),)
    return _KINDS.get(tag, ""), ()


def tag_of(payload: bytes) -> bytes:
    """Return the tag of a frame: an array whose first element is a short string."""
    return payload[2 : 2 + (payload[1] & 0x1F)] if len(payload) > 1 else b""
