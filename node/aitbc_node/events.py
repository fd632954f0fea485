"""What goes into the machine and what comes out of it.

`machine.step(event, now_ms=...)` takes one `Event` and returns `Effect`s, which the driver (or the
simulator) carries out in order. A `Persist` effect is a barrier: it is on disk before any effect
behind it begins. `now_ms` is monotonic; `wall_ms` may jump and is used for vote times only.
Do not add behaviour here.
"""

from collections.abc import Mapping
from enum import IntEnum

import msgspec

from aitbc_node.blocks import Block, Certificate, FinalBlock, Header
from aitbc_node.codes import Refusal
from aitbc_node.crypto import Signer
from aitbc_node.lineage import Link, Offer
from aitbc_node.types import BlockId, Hash, Height, PeerId, PublicKey, Round, Signature, TxId


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Be one input of the machine; `wall_ms` is Unix time in milliseconds when it arrived."""

    wall_ms: int


class PeerUp(Event, frozen=True, kw_only=True):
    """A link to a peer stands and is authenticated.

    `source` is where it really leads or comes from; empty where that is `address`, which is what
    the peer says of itself if it says anything.
    """

    peer: PeerId
    outbound: bool
    address: str
    version: str
    source: str = ""


class PeerDown(Event, frozen=True, kw_only=True):
    """A link is gone, or a dial failed (`was_up` false)."""

    peer: PeerId
    reason: str
    was_up: bool


class WireFull(Event, frozen=True, kw_only=True):
    """Bytes for a peer have stood before the wire lately, though the peer had room for them."""

    peer: PeerId


class FrameReceived(Event, frozen=True, kw_only=True):
    """A peer sent one frame; the bytes are whatever the peer chose."""

    peer: PeerId
    payload: bytes


class Submitted(Event, frozen=True, kw_only=True):
    """A client handed in raw transactions; `request` comes back in `Reply`."""

    request: int
    raws: tuple[bytes, ...]


class Verified(Event, frozen=True, kw_only=True):
    """The signatures of a `Verify` effect were judged, in its order."""

    batch: int
    good: tuple[bool, ...]


class BlocksRead(Event, frozen=True, kw_only=True):
    """The answer to `ReadBlocks`: final blocks in ascending order, perhaps fewer than asked."""

    peer: PeerId
    blocks: tuple[FinalBlock, ...]


class OfferRead(Event, frozen=True, kw_only=True):
    """The answer to `ReadOffer`: what this node could give, and the header that was asked for."""

    peer: PeerId
    offer: Offer | None
    trusted: Header | None


class PieceRead(Event, frozen=True, kw_only=True):
    """The answer to `ReadPiece`; no bytes when the piece is not here any more."""

    peer: PeerId
    name: Hash
    index: int
    data: bytes


class SnapshotJudged(Event, frozen=True, kw_only=True):
    """The answer to `JudgeSnapshot`: the `Base` to go on from, or why there is none.

    `is_lie` when it is false, not only out of reach of this node's disk.
    """

    base: object = None
    fault: str = ""
    is_lie: bool = False


class TimerFired(Event, frozen=True, kw_only=True):
    """A timer ran out and was not replaced since."""

    timer: "Timer"


class DiskFailed(Event, frozen=True, kw_only=True):
    """A `Persist` could not be carried out (disk full, read-only); it is being retried."""

    reason: str


class DiskHealed(Event, frozen=True, kw_only=True):
    """The `Persist` that failed is on disk now."""


class OrderGiven(Event, frozen=True, kw_only=True):
    """The operator wants something of this node; `request` comes back in `Answer`."""

    request: int


class DrainAsked(OrderGiven, frozen=True, kw_only=True):
    """The operator is about to stop this node."""

    deadline_ms: int


class FinalizeAsked(OrderGiven, frozen=True, kw_only=True):
    """The operator allows data that an older build cannot read."""

    data_version: int


class SnapshotAsked(OrderGiven, frozen=True, kw_only=True):
    """The operator wants the state kept now."""


class DiscoverAsked(OrderGiven, frozen=True, kw_only=True):
    """The operator wants all peers asked now which others there are."""


class RecoverAsked(OrderGiven, frozen=True, kw_only=True):
    """The operator wants everybody that is missing dialled now."""


class Timer(msgspec.Struct, frozen=True):
    """Name a timer; setting the same `name` again replaces the earlier one."""

    name: str
    height: Height
    round: Round


class SignatureCheck(msgspec.Struct, frozen=True, gc=False):
    """Ask whether `signature` by `key` covers `message`."""

    key: PublicKey
    message: bytes
    signature: Signature


class SignState(msgspec.Struct, frozen=True, array_like=True):
    """Remember the newest thing this key has signed, and the lock, so that neither is forgotten.

    Shape: `step` is 0 nothing yet, 1 proposal, 2 prevote, 3 precommit; -1 stands for no round and
    `b""` for no block. `prevotes` are (validator, signature) of the prevotes for `valid_id` in
    `valid_round`, more than two thirds of the power: were they lost everywhere in a common crash,
    nobody could show why a lock may yield, and the height might never end. Source: rules 2.1.
    """

    height: Height
    round: Round
    step: int
    sign_bytes: bytes
    signature: Signature
    locked_round: Round
    locked_id: BlockId
    valid_round: Round
    valid_id: BlockId
    prevotes: tuple[tuple[int, Signature], ...] = ()


class Effect(msgspec.Struct, frozen=True, tag=True):
    """Be one thing the driver must do; effects are carried out in order."""


class OwnKey(msgspec.Struct, frozen=True):
    """Hold one consensus key and what it has signed; `number` is that of its files."""

    number: int
    signer: Signer
    stored: SignState | None


class KeyMade(OrderGiven, frozen=True, kw_only=True):
    """A consensus key was made for this node, and its sign state."""

    key: OwnKey


class Persist(Effect, frozen=True):
    """Be on disk, fsynced, before any effect behind this one begins."""


class SaveSignState(Persist, frozen=True):
    """Store the sign state of one of the own keys; it is never newer on disk than the log."""

    state: SignState
    number: int = 1


class SaveDataVersion(Persist, frozen=True):
    """Store which data version is written from now on; builds that do not know it stay out."""

    data_version: int


class SaveEvidence(Persist, frozen=True):
    """Store what others were seen to sign twice, in place of what was stored before."""

    raws: tuple[bytes, ...]


class SavePeers(Persist, frozen=True):
    """Store records of peers, in place of what was stored before: a restart begins with them."""

    raws: tuple[bytes, ...]


class SaveBans(Persist, frozen=True):
    """Store which peers are banned, in place of what was stored before."""

    raws: tuple[bytes, ...]


class AppendBlock(Persist, frozen=True):
    """Log a checked block that this node is about to vote for; several per height may exist."""

    id: BlockId
    block: Block


class AppendCertificate(Effect, frozen=True):
    """Log that a block is final; made durable by the next `Persist`, whichever it is."""

    certificate: Certificate


class AppendBase(Effect, frozen=True):
    """Let the log begin at this final block, in place of all that was in it, durably at once.

    Carried out while nobody reads the log; what was in it is below, and comes back to no use.
    """

    final: FinalBlock


class AppendTransactions(Effect, frozen=True):
    """Write accepted transactions to the mempool journal; it must survive SIGKILL, not more."""

    raws: tuple[bytes, ...]


Storable = (
    SaveSignState
    | SaveDataVersion
    | SaveEvidence
    | SavePeers
    | SaveBans
    | AppendBlock
    | AppendCertificate
    | AppendBase
    | AppendTransactions
)
"""What the disk takes; everything else is for the world."""


class Lane(IntEnum):
    """Tell apart what waits for a peer, by how urgent it is."""

    NEXT_BLOCK = 0
    """What is part of making the next block, and signs of life."""
    BLOCKS = 1
    """What was final long ago or is asked for whole, and may be much."""
    MESSAGES = 2
    """Messages of accounts, without which every block is made."""


class Send(Effect, frozen=True):
    """Put one frame into the queue of each of these peers, behind what is of an earlier lane."""

    peers: tuple[PeerId, ...]
    payload: bytes
    lane: Lane = Lane.NEXT_BLOCK


class Dial(Effect, frozen=True):
    """Open a link to a peer whose id is pinned; the answer is `PeerUp` or `PeerDown`."""

    peer: PeerId
    address: str


class Disconnect(Effect, frozen=True):
    """Close a link."""

    peer: PeerId
    reason: str


class SetTimer(Effect, frozen=True):
    """Fire `timer` after a delay, replacing an earlier one of the same name."""

    timer: Timer
    delay_ms: int


class Verify(Effect, frozen=True):
    """Judge these signatures when there is time for it; the answer is `Verified`.

    An `urgent` batch goes before all that are not: a block waits for it.
    """

    batch: int
    checks: tuple[SignatureCheck, ...]
    urgent: bool = False


class ReadBlocks(Effect, frozen=True):
    """Read final blocks `first..last` from the log for a peer; the answer is `BlocksRead`."""

    peer: PeerId
    first: Height
    last: Height


class ReadOffer(Effect, frozen=True):
    """Look which kept state above a height this node has; the answer is `OfferRead`.

    With a `trusted` height the header of that block is wanted, too; 0 for none.
    """

    peer: PeerId
    above: Height
    trusted: Height


class ReadPiece(Effect, frozen=True):
    """Read a piece of a kept state for a peer; the answer is `PieceRead`."""

    peer: PeerId
    name: Hash
    index: int


class GatherPiece(Effect, frozen=True):
    """Keep a piece of a peer's kept state beside everything else; it may be lost."""

    index: int
    data: bytes


class ForgetGathered(Effect, frozen=True):
    """Drop the pieces that were kept: nothing will come of them."""


class JudgeSnapshot(Effect, frozen=True):
    """Build the state of what was gathered and compare it; the answer is `SnapshotJudged`."""

    offer: Offer


class TxOutcome(msgspec.Struct, frozen=True, gc=False):
    """Tell a client what became of one transaction it handed in; `code` is `ok` when taken."""

    id: TxId
    code: str
    field: str = ""
    message: str = ""


class Reply(Effect, frozen=True):
    """Answer a `Submitted` event, outcome by outcome in its order."""

    request: int
    outcomes: tuple[TxOutcome, ...]


class Drained(msgspec.Struct, frozen=True):
    """Tell how well a node may be stopped now.

    Shape: `next_turn_in` is how many blocks others propose first, None when no own turn is known.
    `in_time` is false when the deadline came before a better moment.
    """

    height: Height
    next_turn_in: int | None
    in_time: bool


class Finalized(msgspec.Struct, frozen=True):
    """Tell which data version a node writes now."""

    data_version: int


class Snapshotted(msgspec.Struct, frozen=True):
    """Tell which state has been kept, and how large it is."""

    height: Height
    bytes_written: int


class PeersSought(msgspec.Struct, frozen=True):
    """Tell how many peers were asked or dialled, how many are linked, and how many are known."""

    sought: int
    linked: int
    known: int


class KeyTaken(msgspec.Struct, frozen=True):
    """Tell that a key is among those of which the set of each height chooses the one that signs."""

    key: PublicKey


class SaveSnapshot(Effect, frozen=True):
    """Keep a state beside the log, whenever there is time; whoever waits is answered then.

    Shape: `contents` are the objects by kind and name, which never change; `request` is 0 when
    nobody waits; `links` prove the block to others, the last is its own. A snapshot may be lost, or
    be ahead of a log that lost its end: it is only a help.
    """

    request: int
    block: Block
    links: tuple[Link, ...]
    contents: Mapping[tuple[str, bytes], object]

    @property
    def height(self) -> Height:
        """Return of which block the state is."""
        return self.block.header.height


class Halt(Effect, frozen=True):
    """End: from `height` on the chain has the rules of a version that this build does not know."""

    app_version: int
    height: Height


class Answer(Effect, frozen=True):
    """Answer what the operator asked for."""

    request: int
    answer: Drained | Finalized | KeyTaken | Snapshotted | PeersSought | Refusal


class TxReceipt(msgspec.Struct, frozen=True, gc=False):
    """Tell how one transaction of a final block went; `code` is `ok` when its body took effect."""

    id: TxId
    code: str
    gas_used: int
    fee: int
    events: tuple[tuple[str, ...], ...]


class Committed(Effect, frozen=True):
    """Announce a final block to the index and to event streams."""

    id: BlockId
    final: FinalBlock
    receipts: tuple[TxReceipt, ...]


class Expired(Effect, frozen=True):
    """Announce transactions that can never be in a block any more."""

    ids: tuple[TxId, ...]


class Note(Effect, frozen=True):
    """Say what happened: the driver logs and counts notes, the simulator counts, tests assert."""

    name: str
    fields: tuple[tuple[str, object], ...] = ()
