"""What a node of pretence does with a message of an account: it looks at its form alone."""

from aitbc_node.codes import Refusal
from aitbc_node.events import TxOutcome
from aitbc_node.letters import read_letter
from aitbc_node.rpc.post import Post
from aitbc_node.types import TxId


def taken(post: Post, raw: bytes) -> TxOutcome:
    """Hand one out to those who listen, or say why not."""
    sealed = read_letter(raw)
    if isinstance(sealed, Refusal):
        return TxOutcome(TxId(bytes(32)), sealed.code, sealed.field, sealed.message)
    post.delivered(sealed.delivered)
    return TxOutcome(TxId(sealed.id), "ok")
