"""What travels between a node and a client that sends messages of accounts, or listens for them?"""

import msgspec

from aitbc_node.rpc.schema import Answer, Hex


class PublishRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hand in one message; `raw` are its bytes in base64, as docs/protocol.md describes them."""

    raw: bytes


class PostedAnswer(Answer, frozen=True, kw_only=True):
    """Say that a message is on its way; the same bytes again are the same message."""

    id: Hex


class MessageView(Answer, frozen=True, kw_only=True):
    """Be one message as a listener hears it, once.

    `to` is null where it is on a `topic`; `content` is in base64; a node tells nobody behind the
    height `valid_until`. Its signature was verified by the node that tells it.
    """

    id: Hex
    sender: str
    to: str | None
    topic: str
    correlation: Hex
    valid_until: int
    content: bytes
