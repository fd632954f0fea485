"""What has this node seen others sign twice, and what of it should the next own block show?

Keeps one proof per key and height, across restarts, until a block has shown it or it is too old.
What is kept is bounded, and one validator cannot fill it for the others. Do not judge signatures:
consensus has verified both, and the ledger does again. Source: feature E7.
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
from aitbc_node.events import SaveEvidence
from aitbc_node.ledger import evidence
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.outbox import Outbox
from aitbc_node.types import Height, PublicKey

Place: TypeAlias = tuple[PublicKey, Height]

PER_KEY_MAX = 4
"""The oldest heights of a key are kept: they are punished first, and then it has no vote."""

assert PER_KEY_MAX <= limits.EVIDENCE_KEPT_MAX


class Witness:
    """Keep evidence for the blocks that this node proposes."""

    def __init__(self, outbox: Outbox, chain: Chain, *, proposes: bool) -> None:
        self._out = outbox
        self._chain = chain
        self._proposes = proposes
        self._kept: dict[Place, bytes] = {}

    def restore(self, raws: Iterable[bytes]) -> None:
        """Take back what the disk has kept."""
        for raw in raws:
            body = evidence.read(raw)
            if isinstance(body, EvidenceSubmit):
                self._kept[body.key, body.first.height] = raw

    def see(self, report: Equivocation) -> None:
        """Keep what consensus reports, if it proves an offence and there is room.

        Who only follows could never show it.
        """
        if not self._proposes:
            return
        low, high = sorted(map(_message, (report.first, report.second)), key=_block_of)
        place = (report.key, low.height)
        if low.block_id == high.block_id or place in self._kept:
            return  # of one block in two ways: no offence that the ledger knows
        own = sum(key == report.key for key, _ in self._kept)
        if own >= PER_KEY_MAX or len(self._kept) >= limits.EVIDENCE_KEPT_MAX:
            return
        self._kept[place] = encode(EvidenceSubmit(report.key, low, high))
        self._save()

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

    def _save(self) -> None:
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
