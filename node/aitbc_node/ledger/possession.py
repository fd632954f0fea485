"""How does an operator show that a consensus key is his own?

Without it, somebody could register another's key and vote, or be slashed, in his name. Do not add
who may become a validator.
"""

from aitbc_node.canonical import encode
from aitbc_node.crypto import Signer
from aitbc_node.types import Address, Signature

POSSESSION_TAG = b"aitbc/possession\0"


def possession_message(chain_id: str, operator: Address) -> bytes:
    """Return what a consensus key signs to show that its owner means this chain and operator."""
    return POSSESSION_TAG + encode((chain_id, operator))


def possession_proof(chain_id: str, operator: Address, signer: Signer) -> Signature:
    """Sign that this consensus key belongs to an operator's account."""
    return signer.sign(possession_message(chain_id, operator))
