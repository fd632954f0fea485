"""Which messages peers exchange, how large each may be, and how a frame becomes one.

One frame carries one message: a canonical array whose first element is the message's tag. Votes and
proposals travel as opaque bytes, because gossip knows nothing of consensus. What a peer may send is
bounded here by construction; whether it is *true* is decided elsewhere. Do not add reactions here.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from aitbc_node import limits
from aitbc_node.blocks import Block, Certificate, FinalBlock, Header, Proposed
from aitbc_node.canonical import Record, encode
from aitbc_node.crypto import KEY_BYTES, SIGNATURE_BYTES
from aitbc_node.errors import PeerFault
from aitbc_node.events import Lane, Send
from aitbc_node.gossip.records import PeerRecord
from aitbc_node.lineage import Offer, fault_of_form
from aitbc_node.types import BlockId, Hash, Height, PeerId, PublicKey, Signature, TxId

ID_BYTES = 32
PEER_ID_BYTES = 20
CONSENSUS_BYTES_MAX = 4 * limits.KIB
VOTES_COUNT_MAX = 8 * limits.VALIDATORS_MAX

Number = Annotated[int, Meta(ge=0, le=limits.INT_MAX)]
At = Annotated[Height, Meta(ge=0, le=limits.INT_MAX)]
BlockName = Annotated[BlockId, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
TxName = Annotated[TxId, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
PeerName = Annotated[PeerId, Meta(min_length=PEER_ID_BYTES, max_length=PEER_ID_BYTES)]
RawTx = Annotated[bytes, Meta(min_length=1, max_length=limits.TX_BYTES_MAX)]
RawLetter = Annotated[bytes, Meta(min_length=1, max_length=limits.LETTER_BYTES_MAX)]
Opaque = Annotated[bytes, Meta(min_length=1, max_length=CONSENSUS_BYTES_MAX)]


class Ping(Record, frozen=True, tag="ping"):
    """Ask for a sign of life; `number` comes back."""

    number: Number


class Pong(Record, frozen=True, tag="pong"):
    """Answer a ping."""

    number: Number


class Hello(Record, frozen=True, tag="hello"):
    """Say which validator this node is, with its consensus key's word for it, as first message.

    Node key and consensus key differ, so without this nobody could tell whose power is reachable.
    """

    validator: Annotated[PublicKey, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
    proof: Annotated[Signature, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


class Status(Record, frozen=True, tag="status"):
    """Say which block is the newest final one here: on link up, and then as `news.py` has it."""

    height: At


class Neighbours(Record, frozen=True, tag="neighbours"):
    """Name the peers this node is linked with; sent whenever that changes."""

    peers: Annotated[tuple[PeerName, ...], Meta(max_length=limits.PEERS_MAX)]


class PeersWanted(Record, frozen=True, tag="peers?"):
    """Ask which other nodes there are."""


class PeersKnown(Record, frozen=True, tag="peers"):
    """Pass on what nodes have signed about themselves: on a new link, and when asked."""

    records: Annotated[tuple[PeerRecord, ...], Meta(max_length=limits.PEER_RECORDS_MAX)]


class RoomNeeded(Record, frozen=True, tag="room"):
    """Say why this link ends now: others need its place, so come back later."""


class Transactions(Record, frozen=True, tag="txs"):
    """Pass verified transactions on, many at a time."""

    raws: Annotated[tuple[RawTx, ...], Meta(max_length=limits.TX_BATCH_COUNT_MAX)]


READS_HANDED = "+handed"
"""The end of a release that reads the next message; an earlier one takes it for none."""


class TransactionsHanded(Record, frozen=True, tag="txs>"):
    """Hand verified transactions to a few peers only, each of which passes them on to all others.

    Who has slow links of its own brings what clients gave it into the mesh that way.
    """

    raws: Annotated[tuple[RawTx, ...], Meta(max_length=limits.TX_BATCH_COUNT_MAX)]


READS_LETTERS = "+letters"
"""Stands in a release that reads the next message, before what older ones look for at its end."""


class Letters(Record, frozen=True, tag="letters"):
    """Pass on messages of accounts, each verified here; they are on no block."""

    raws: Annotated[tuple[RawLetter, ...], Meta(max_length=limits.LETTERS_COUNT_MAX)]


class ProposalSent(Record, frozen=True, tag="proposal"):
    """Carry a signed proposal together with the block's header and transaction ids."""

    proposal: Opaque
    proposed: Proposed


class VotesSent(Record, frozen=True, tag="votes"):
    """Carry votes, one now or many after a loss."""

    votes: Annotated[tuple[Opaque, ...], Meta(max_length=VOTES_COUNT_MAX)]


class SummarySent(Record, frozen=True, tag="summary"):
    """Carry what a node holds of a height, so that the others can send what it lacks."""

    summary: Opaque


class BodiesWanted(Record, frozen=True, tag="bodies?"):
    """Ask for the bodies of some transactions of a block."""

    block_id: BlockName
    ids: Annotated[tuple[TxName, ...], Meta(min_length=1, max_length=limits.BLOCK_TXS_MAX)]


class Bodies(Record, frozen=True, tag="bodies"):
    """Answer with those bodies that are here."""

    block_id: BlockName
    raws: Annotated[tuple[RawTx, ...], Meta(max_length=limits.BLOCK_TXS_MAX)]


class BlockWanted(Record, frozen=True, tag="block?"):
    """Ask for a block that votes name, but of which nothing is here."""

    block_id: BlockName


class BlockFound(Record, frozen=True, tag="block"):
    """Answer with the whole block."""

    block: Block


class FinalsWanted(Record, frozen=True, tag="finals?"):
    """Ask for final blocks `first..last`."""

    first: Annotated[Height, Meta(ge=1, le=limits.INT_MAX)]
    last: Annotated[Height, Meta(ge=1, le=limits.INT_MAX)]


class Finals(Record, frozen=True, tag="finals"):
    """Answer with final blocks in ascending order: as many as there are, and as fit."""

    blocks: Annotated[tuple[FinalBlock, ...], Meta(max_length=limits.CATCH_UP_BLOCKS_MAX)]


class EvidenceSeen(Record, frozen=True, tag="evidence"):
    """Show two messages of one key that contradict each other, as a block carries them."""

    raw: Annotated[bytes, Meta(min_length=1, max_length=limits.EVIDENCE_BYTES_MAX)]


class OfferWanted(Record, frozen=True, tag="snapshot?"):
    """Ask for the newest kept state above a height; and for the header at `trusted`, 0 for none."""

    above: At
    trusted: At


class OfferFound(Record, frozen=True, tag="snapshot"):
    """Answer with what can be had, or nothing, and with that header where it is here."""

    offer: Offer | None
    trusted: Header | None


class PieceWanted(Record, frozen=True, tag="piece?"):
    """Ask for one piece of the state that was offered under a name."""

    name: Annotated[Hash, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
    index: Annotated[int, Meta(ge=0, lt=limits.PIECES_MAX)]


class Piece(Record, frozen=True, tag="piece"):
    """Answer with its bytes; none when it is not here any more."""

    name: Annotated[Hash, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
    index: Annotated[int, Meta(ge=0, lt=limits.PIECES_MAX)]
    data: Annotated[bytes, Meta(max_length=limits.PIECE_BYTES)]


Message = (
    Ping
    | Pong
    | Hello
    | Status
    | Neighbours
    | PeersWanted
    | PeersKnown
    | RoomNeeded
    | Transactions
    | TransactionsHanded
    | Letters
    | ProposalSent
    | VotesSent
    | SummarySent
    | EvidenceSeen
    | BodiesWanted
    | Bodies
    | BlockWanted
    | BlockFound
    | FinalsWanted
    | Finals
    | OfferWanted
    | OfferFound
    | PieceWanted
    | Piece
)

_OFFER_TAG = msgspec.msgpack.encode("snapshot")
_OFFER_FRAME_BYTES_MAX = limits.OFFER_BYTES_MAX + limits.PIECE_BYTES
"""The offer, and room for the header beside it."""

_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def decode_message(payload: bytes) -> Message:
    """Read one frame of a peer.

    Raises: PeerFault when it is malformed, not canonical, or larger than its kind may be.
    """
    if len(payload) > limits.FRAME_BYTES_MAX:
        raise PeerFault(f"a frame of {len(payload)} bytes")
    if len(payload) > _OFFER_FRAME_BYTES_MAX and payload.startswith(_OFFER_TAG, 1):
        raise PeerFault(f"a kept state that takes {len(payload)} bytes to offer")
    try:
        message = _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise PeerFault(f"a frame that is no message: {error}") from error
    if encode(message) != payload:
        raise PeerFault("a frame that is not the shortest encoding of its message")
    if type(message) not in _BOUNDED:
        _check_size(message)
    return message


_LANES: dict[type, Lane] = {
    **dict.fromkeys((BlockFound, Finals, OfferFound, Piece), Lane.BLOCKS),
    Letters: Lane.MESSAGES,
}
"""What is no part of making the next block."""
_BOUNDED = frozenset({VotesSent, Status, Ping, Pong, SummarySent})
"""What has all its bounds in its type, as nearly all messages that come."""


def send(peers: Iterable[PeerId], message: Message) -> Iterator[Send]:
    """Yield the effect that puts a message into some peers' queues, or nothing for nobody.

    What the next block does not need leaves behind everything else.
    """
    targets = tuple(peers)
    if targets:
        yield Send(targets, encode(message), _LANES.get(type(message), Lane.NEXT_BLOCK))


def hello_sign_bytes(chain_id: str, peer: PeerId) -> bytes:
    """Return what a validator's consensus key signs to say which node is its own.

    The tag comes before the array, so these bytes can never be those of a vote.
    """
    return b"aitbc/validator-node\0" + encode((chain_id, peer))


def batches(
    raws: Sequence[bytes],
    *,
    bytes_max: int = limits.TX_BATCH_BYTES_MAX,
    count_max: int = limits.TX_BATCH_COUNT_MAX,
) -> Iterator[tuple[bytes, ...]]:
    """Cut raw bytes into portions of a size that fit one message; one is always whole."""
    portion: list[bytes] = []
    size = 0
    for raw in raws:
        full = len(portion) == count_max
        if portion and (full or size + len(raw) > bytes_max):
            yield tuple(portion)
            portion, size = [], 0
        portion.append(raw)
        size += len(raw)
    if portion:
        yield tuple(portion)


def fitting(finals: Iterable[FinalBlock]) -> tuple[FinalBlock, ...]:
    """Take as many final blocks from the front as one message carries; at least one if any."""
    taken: list[FinalBlock] = []
    room = limits.BLOCK_BYTES_MAX
    for final in finals:
        room -= len(encode(final))
        if taken and (room < 0 or len(taken) == limits.CATCH_UP_BLOCKS_MAX):
            break
        taken.append(final)
    return tuple(taken)


def _check_size(message: Message) -> None:
    match message:
        case Transactions(raws=raws) | TransactionsHanded(raws=raws):
            _check_total(raws, limits.TX_BATCH_BYTES_MAX)
        case Letters(raws=raws):
            _check_total(raws, limits.LETTERS_BYTES_MAX)
        case Bodies(raws=raws):
            _check_total(raws, limits.BLOCK_BYTES_MAX)
        case ProposalSent(proposed=proposed):
            if len(proposed.tx_ids) > limits.BLOCK_TXS_MAX:
                raise PeerFault(f"a proposal of {len(proposed.tx_ids)} transactions")
            if any(len(tx_id) != ID_BYTES for tx_id in proposed.tx_ids):
                raise PeerFault("a transaction id of a wrong length")
            _check_evidence(proposed.evidence)
            _check_certificate(proposed.last_commit)
        case BlockFound(block=block):
            _check_block(block)
        case Finals(blocks=blocks):
            for final in blocks:
                _check_block(final.block)
                _check_certificate(final.certificate)
        case OfferFound(offer=offer) if offer is not None:
            _check_offer(offer)
        case FinalsWanted(first=first, last=last) if last < first:
            raise PeerFault("a request for no blocks")
        case _:
            pass


def _check_offer(offer: Offer) -> None:
    fault = fault_of_form(offer)
    if fault:
        raise PeerFault(f"a kept state: {fault}")
    for link in offer.links:
        _check_certificate(link.certificate)
        if len(link.voters.members) > limits.VALIDATORS_MAX:
            raise PeerFault(f"a kept state by {len(link.voters.members)} voters")


def _check_block(block: Block) -> None:
    if len(block.txs) > limits.BLOCK_TXS_MAX:
        raise PeerFault(f"a block of {len(block.txs)} transactions")
    _check_total(block.txs, limits.BLOCK_BYTES_MAX)
    _check_evidence(block.evidence)
    _check_certificate(block.last_commit)


def _check_evidence(evidence: Sequence[bytes]) -> None:
    if len(evidence) > limits.EVIDENCE_COUNT_MAX:
        raise PeerFault(f"a block with {len(evidence)} pieces of evidence")
    if any(len(raw) > limits.EVIDENCE_BYTES_MAX for raw in evidence):
        raise PeerFault("a piece of evidence longer than any is")


def _check_certificate(certificate: Certificate) -> None:
    if len(certificate.votes) > limits.VALIDATORS_MAX:
        raise PeerFault(f"a certificate of {len(certificate.votes)} votes")


def _check_total(raws: Sequence[bytes], bytes_max: int) -> None:
    total = sum(map(len, raws))
    if total > bytes_max:
        raise PeerFault(f"{total} bytes of transactions in one message")
