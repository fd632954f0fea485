"""Which node has which peer id? Do not add what nodes do."""

from aitbc_node.types import PeerId


def peer_of(index: int) -> PeerId:
    """Return the peer id of a node; its first two bytes are the node's index."""
    return PeerId(index.to_bytes(2, "big") * 10)


def index_of(peer: PeerId) -> int:
    """Return which node a peer id belongs to."""
    return peer[0] << 8 | peer[1]
