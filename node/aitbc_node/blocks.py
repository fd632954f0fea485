"""What a block, its header and its certificate are made of, and how each is hashed.

The header commits to everything else: transactions by id, the state after the block, the votes
that made the block before final. Do not add rules about which block is valid: those are in
`chain.py`; nor about who may vote: `validators.py`.
"""

import hashlib
from collections.abc import Sequence

from aitbc_node.canonical import Record, encode
from aitbc_node.errors import PeerFault
from aitbc_node.types import BlockId, Hash, Height, PublicKey, Round, Signature, TxId

PROTOCOL_VERSION = 1

PREVOTE = 1
PRECOMMIT = 2
PROPOSAL = 0

NO_BLOCK = BlockId(b"")
"""Stands for *nil* wherever a vote or certificate names a block."""


class Header(Record, frozen=True):
    """Fix one block; its hash is the block's id. The fields are settled for good."""

    version: int
    chain_id: str
    height: Height
    parent_id: BlockId
    time_ms: int
    proposer: PublicKey
    tx_root: Hash
    tx_count: int
    state_root: Hash
    receipts_root: Hash
    last_commit_hash: Hash
    validators_hash: Hash
    next_validators_hash: Hash
    params_hash: Hash
    app_version: int
    evidence_root: Hash


class CommitVote(Record, frozen=True):
    """Keep one precommit for the committed block inside a certificate.

    Shape: `validator` is the 0-based place in the validator set of that height.
    """

    validator: int
    time_ms: int
    signature: Signature


class Certificate(Record, frozen=True):
    """Prove that a block is final: precommits of more than two thirds of the power.

    Shape: votes ordered by validator, each at most once. The certificate of height 0 has no votes
    and names `NO_BLOCK`.
    """

    height: Height
    round: Round
    block_id: BlockId
    votes: tuple[CommitVote, ...]


class Proposed(Record, frozen=True):
    """Carry a block the way a proposal does: header, transaction ids, the commit before.

    The bodies travel by gossip.
    """

    header: Header
    tx_ids: tuple[TxId, ...]
    last_commit: Certificate
    evidence: tuple[bytes, ...]


class Block(Record, frozen=True):
    """Carry a block whole, with its transactions' raw bytes in order."""

    header: Header
    txs: tuple[bytes, ...]
    last_commit: Certificate
    evidence: tuple[bytes, ...]


class FinalBlock(Record, frozen=True):
    """Pair a block with the certificate that makes it final, as catch-up sends it."""

    block: Block
    certificate: Certificate


NO_COMMIT = Certificate(Height(0), Round(0), NO_BLOCK, ())


def block_id(header: Header) -> BlockId:
    """Hash a header."""
    return BlockId(_tagged(b"aitbc/header", encode(header)))


def certificate_hash(certificate: Certificate) -> Hash:
    """Hash a certificate for the next header's `last_commit_hash`."""
    return Hash(_tagged(b"aitbc/commit", encode(certificate)))


def tx_id(raw: bytes) -> TxId:
    """Name a transaction by all of its raw bytes."""
    return TxId(hashlib.sha256(raw).digest())


def ids_root(ids: Sequence[bytes]) -> Hash:
    """Hash an ordered list of 32-byte ids (transactions, receipts or evidence)."""
    return Hash(_tagged(b"aitbc/ids", b"".join(ids)))


def as_proposed(block: Block) -> Proposed:
    """Return a whole block as a proposal would carry it."""
    ids = tuple(tx_id(raw) for raw in block.txs)
    return Proposed(block.header, ids, block.last_commit, block.evidence)


def check_form(proposed: Proposed) -> BlockId:
    """Make sure that ids and last commit are those of the header, and return the block's id.

    Raises: PeerFault. The block may still be good: whoever sent it mixed it up.
    """
    header = proposed.header
    if header.tx_root != ids_root(proposed.tx_ids) or header.tx_count != len(proposed.tx_ids):
        raise PeerFault("transaction ids that are not those of the header")
    if header.last_commit_hash != certificate_hash(proposed.last_commit):
        raise PeerFault("a last commit that is not that of the header")
    if header.evidence_root != bodies_root(proposed.evidence):
        raise PeerFault("evidence that is not that of the header")
    return block_id(header)


def bodies_root(raws: Sequence[bytes]) -> Hash:
    """Hash an ordered list of byte strings, each of them by its own hash."""
    return ids_root([tx_id(raw) for raw in raws])


def proposal_sign_bytes(
    chain_id: str, *, height: Height, round_: Round, valid_round: Round, block_id: BlockId
) -> bytes:
    """Return what a proposer signs. Source: rules 2.4."""
    return encode((chain_id, PROPOSAL, height, round_, valid_round, block_id))


def vote_sign_bytes(
    chain_id: str, kind: int, *, height: Height, round_: Round, block_id: BlockId, time_ms: int
) -> bytes:
    """Return what a voter signs; only a precommit carries a time. Source: rules 2.4."""
    if kind == PREVOTE:
        return encode((chain_id, PREVOTE, height, round_, block_id))
    return encode((chain_id, PRECOMMIT, height, round_, block_id, time_ms))


def _tagged(tag: bytes, data: bytes) -> bytes:
    return hashlib.sha256(tag + b"\0" + data).digest()
