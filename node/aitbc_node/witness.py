"""What has somebody been seen to sign twice, who is told, and what should the next own block show?

Keeps one proof per key and height, across restarts, until a block has shown it or it is too old.
What is news is passed on to all peers, since who saw it may never propose. What is kept is bounded,
and one validator cannot fill it for the others. Do not judge offences: the ledger does. Source:
feature E7.
"""

from collections.abc import Iterable
from typing import TypeAlias

from aitbc_node import limits
from aitbc_node.blocks import PROPOSAL
from aitbc_node.canonical import encode
from aitbc_node.chain import Chain
from aitbc_node.codes import Refusal
from aitbc_node.consensus.inputs import Equivocation
from aitbc_node.consensus.messages import NO_ROUND, Proposal, Vote
from aitbc_node.crypto import Verifier
from aitbc_node.errors import PeerFault
from aitbc_node.events import SaveEvidence
from aitbc_node.gossip.messages import EvidenceSeen
from aitbc_node.ledger import evidence
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.mesh import Mesh
from aitbc_node.outbox import Outbox
from aitbc_node.types import Height, PeerId, PublicKey

Place: TypeAlias = tuple[PublicKey, Height]

PER_KEY_MAX = 4
"""The oldest heights of a key are kept: they are punished first, and then it has no vote."""

assert PER_KEY_MAX <= limits.EVIDENCE_KEPT_MAX


class Witness:
    """Keep evidence for the blocks of this node, or of others; on disk only where it `proposes`."""

    def __init__(
        self, outbox: Outbox, chain: Chain, mesh: Mesh, verify: Verifier, *, proposes: bool
    ) -> None:
        self._out = outbox
        self._chain = chain
        self._mesh = mesh
        self._verify = verify
        self._proposes = proposes
        self._kept: dict[Place, bytes] = {}

    def restore(self, raws: Iterable[bytes]) -> None:
        """Take back what the disk has kept."""
        for raw in raws:
            body = evidence.read(raw)
            if isinstance(body, EvidenceSubmit):
                self._kept[body.key, body.first.height] = raw

    def see(self, report: Equivocation) -> None:
        """Keep what consensus reports, if it proves an offence and there is room."""
        low, high = sorted(map(_message, (report.first, report.second)), key=_block_of)
        place = (report.key, low.height)
        # Of one block in two ways is no offence that the ledger knows.
        if low.block_id != high.block_id and self._has_room(place):
            self._keep(place, encode(EvidenceSubmit(report.key, low, high)), self._mesh.linked())

    def hear(self, peer: PeerId, raw: bytes) -> None:
        """Keep what a peer shows, if it is news and true; signatures are looked at last.

        What is too much at once is not looked at: who greets shows all that it keeps.
        Raises: PeerFault for what proves nothing, or proves it falsely.
        """
        if not self._mesh.peers.may_show(peer):
            return
        body = evidence.read(raw)
        if isinstance(body, Refusal):
            raise PeerFault(f"evidence: {body.message}")
        place = (body.key, body.first.height)
        if not self._has_room(place) or self._refusal_of(raw) is not None:
            return  # known, punished already, or of a height that is not here
        for message in (body.first, body.second):
            sign_bytes = message.sign_bytes(self._chain.chain_id)
            if not self._verify(body.key, sign_bytes, message.signature):
                raise PeerFault("evidence with a false signature")
        self._keep(place, raw, tuple(each for each in self._mesh.linked() if each != peer))

    def greet(self, peer: PeerId) -> None:
        """Show a new peer what is not punished yet: it may have been cut off."""
        for raw in self.offered():
            self._out.send((peer,), EvidenceSeen(raw))

    def offered(self) -> tuple[bytes, ...]:
        """Return what the next block can show, oldest first."""
        return tuple(raw for _, raw in sorted(self._kept.items(), key=lambda row: row[0][1]))

    def block_is_final(self) -> None:
        """Forget what was punished, by whomever it was shown, and what no block may show again."""
        gone = [place for place, raw in self._kept.items() if self._refusal_of(raw) is not None]
        for place in gone:
            del self._kept[place]
        if gone:
            self._save()

    def _refusal_of(self, raw: bytes) -> Refusal | None:
        body = evidence.read(raw)
        if isinstance(body, Refusal):
            return body
        return evidence.check(self._chain.state, body, height=self._chain.next_height)

    def _has_room(self, place: Place) -> bool:
        own = sum(key == place[0] for key, _ in self._kept)
        is_full = own >= PER_KEY_MAX or len(self._kept) >= limits.EVIDENCE_KEPT_MAX
        return place not in self._kept and not is_full

    def _keep(self, place: Place, raw: bytes, told: tuple[PeerId, ...]) -> None:
        self._kept[place] = raw
        self._save()
        self._out.send(told, EvidenceSeen(raw))

    def _save(self) -> None:
        if self._proposes:  # who only follows could never show it
            self._out.add(SaveEvidence(self.offered()))


def _message(message: Proposal | Vote) -> SignedMessage:
    match message:
        case Vote(kind=kind, time_ms=time_ms):
            valid_round = NO_ROUND
        case Proposal(valid_round=valid_round):
            kind, time_ms = PROPOSAL, 0
    return SignedMessage(
        kind=kind,
        height=message.height,
        round=message.round,
        valid_round=valid_round,
        block_id=message.block_id,
        time_ms=time_ms,
        signature=message.signature,
    )


def _block_of(message: SignedMessage) -> bytes:
    return message.block_id
