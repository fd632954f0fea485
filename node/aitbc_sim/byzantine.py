"""How does a validator that breaks the rules speak?

Each liar is the node's own machine; what it sends is bent on the way out. It holds its own key
only, so it can sign whatever it likes in its own name and nothing in another's. Nothing here is in
what a host installs: who lies there is started from the sources (`live_liars`). Do not add faults
of the network or the disk.
"""

import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar
from unittest.mock import patch

from msgspec.structs import replace

from aitbc_node import machine
from aitbc_node.blocks import NO_BLOCK, PRECOMMIT, Proposed, block_id, bodies_root
from aitbc_node.canonical import decode, encode
from aitbc_node.consensus.algorithm import (
    Condition,
    FreshProposal,
    OthersAhead,
    Reproposal,
    TimeoutPrecommit,
)
from aitbc_node.consensus.messages import NO_ROUND, Proposal, Vote
from aitbc_node.consensus.replica import Consensus
from aitbc_node.crypto import Signer, Verifier, sha256
from aitbc_node.events import Effect, Send
from aitbc_node.gossip.messages import ProposalSent, VotesSent, decode_message
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.types import BlockId, Height, PeerId, PublicKey, Round, Signature
from aitbc_node.view import View
from aitbc_sim.frames import tag_of
from aitbc_sim.options import BEHAVIOURS
from aitbc_sim.testing import CHAIN_ID, fake_verify

_USES_LOCK = (FreshProposal, Reproposal, OthersAhead, TimeoutPrecommit)

M = TypeVar("M", Proposal, Vote)

OLD_FRAMES_MAX = 200
OFTEN, SELDOM = 0.5, 0.05


class SkipLock(Consensus):
    """Never be bound by an earlier round (lines 38 to 39 and 42 to 43 left out)."""

    def _apply(self, condition: Condition) -> None:
        if isinstance(condition, _USES_LOCK):
            self._record.state = replace(
                self._record.state,
                locked_round=NO_ROUND,
                locked_id=NO_BLOCK,
                valid_round=NO_ROUND,
                valid_id=NO_BLOCK,
            )
            self._record.proof = ()
        super()._apply(condition)


class Unguarded(Consensus):
    """Go on signing although another node signs with the same key."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(**rest)
        self.guard._is_foreign = lambda *_, **__: False  # type: ignore[method-assign]  # noqa: SLF001 - unguarded


class Amnesiac(SkipLock, Unguarded):
    """Skip the lock, and say of what comes of it that it is nobody else's."""


_CONSENSUS: dict[str, type[Consensus]] = {
    "amnesia": Amnesiac,
    "bad-root": Unguarded,  # it hears what it said with its second tongue
    "equivocate": Unguarded,
    "twin": Unguarded,
}
"""Who is bent inside as well: a machine of theirs has another consensus."""


class Plot:
    """Hold what the liars of a run have agreed on: which two blocks each of them stands for."""

    def __init__(self, side_of: Mapping[bytes, int]) -> None:
        self._side_of = side_of
        self._pairs: dict[tuple[Height, Round], tuple[BlockId, BlockId]] = {}

    def side(self, peer: PeerId) -> int:
        """Return which of the two tongues a peer hears; liars hear the first."""
        return self._side_of.get(peer, 0)

    def sides(self, peer: PeerId) -> tuple[int, ...]:
        """Return which tongues a peer hears, in this order."""
        return (self.side(peer),)

    def agree(self, place: tuple[Height, Round], pair: tuple[BlockId, BlockId]) -> None:
        """Propose these two blocks in one round."""
        self._pairs.setdefault(place, pair)

    def value(self, vote: Vote, side: int) -> BlockId:
        """Return what a vote says to one side: its block of the pair, or nil to the second."""
        pair = self._pairs.get((vote.height, vote.round))
        if pair is not None:
            return pair[side]
        return vote.block_id if side == 0 else NO_BLOCK


class Tongue:
    """Bend what one liar sends."""

    def __init__(
        self,
        kind: str,
        signer: Signer,
        plot: Plot,
        dice: random.Random,
        *,
        chain_id: str = CHAIN_ID,
        verify: Verifier = fake_verify,
    ) -> None:
        assert kind in BEHAVIOURS, f"nobody lies like that: {kind}"
        self.kind = kind
        self._chain_id = chain_id
        self._verify = verify
        self._signer = signer
        self._plot = plot
        self._dice = dice
        self._old: deque[bytes] = deque(maxlen=OLD_FRAMES_MAX)
        self._rivals: dict[tuple[Height, Round], ProposalSent] = {}

    def bend(self, view: View, effects: Sequence[Effect]) -> list[Effect]:
        """Return the effects as they leave the liar's machine."""
        bent: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Send):
                bent.extend(self._bend(view, effect))
            else:
                bent.append(effect)
        return bent

    def _bend(self, view: View, send: Send) -> Iterator[Send]:
        match self.kind:
            case "equivocate":
                yield from self._with_two_tongues(view, send)
            case "withhold" if _is_of_consensus(send):
                pass
            case "bad-root":
                yield self._with_bad_root(send)
            case "slander":
                yield self._with_false_evidence(view, send)
            case "amnesia":
                yield self._with_false_memory(send)
            case "replay":
                yield send
                yield from self._again(send)
            case "garbage":
                yield send
                if self._dice.random() < SELDOM:
                    yield Send(send.peers, self._noise(send.payload))
            case "selective" if _is_of_consensus(send):
                heard = tuple(p for p in send.peers if self._dice.random() < OFTEN)
                if heard:
                    yield Send(heard, send.payload)
            case _:
                yield send

    def _with_two_tongues(self, view: View, send: Send) -> Iterator[Send]:
        if not _is_of_consensus(send):
            yield send
            return
        message = decode_message(send.payload)
        for peer, side in [(p, s) for p in send.peers for s in self._plot.sides(p)]:
            match message:
                case ProposalSent():
                    yield Send((peer,), encode(self._proposal_for(view, message, side)))
                case VotesSent(votes=votes):
                    told = tuple(self._vote_for(payload, side) for payload in votes)
                    yield Send((peer,), encode(VotesSent(told)))
                case _:
                    raise AssertionError(f"not of consensus: {message}")

    def _proposal_for(self, view: View, message: ProposalSent, side: int) -> ProposalSent:
        proposal = decode(message.proposal, Proposal)
        if side == 0 or not self._is_own(proposal) or proposal.valid_round != NO_ROUND:
            return message
        place = (proposal.height, proposal.round)
        if place not in self._rivals and proposal.height == view.chain.next_height:
            # The same block without its transactions is as valid, and another one.
            rival = view.chain.build((), proposer=self._signer.public_key)
            second = self._signed(replace(proposal, block_id=rival.id))
            self._rivals[place] = ProposalSent(encode(second), rival.proposed())
            self._plot.agree(place, (proposal.block_id, rival.id))
        return self._rivals.get(place, message)

    def _vote_for(self, payload: bytes, side: int) -> bytes:
        vote = decode(payload, Vote)
        if not self._is_own(vote):
            return payload
        return encode(self._signed(replace(vote, block_id=self._plot.value(vote, side))))

    def _with_bad_root(self, send: Send) -> Send:
        """Propose a block whose header names another state than it leads to."""
        own = self._own_fresh_proposal(send)
        if own is None:
            return send
        proposal, proposed = own
        header = proposed.header
        bad = replace(header, state_root=sha256(header.state_root))
        signed = self._signed(replace(proposal, block_id=block_id(bad)))
        return Send(send.peers, encode(ProposalSent(encode(signed), replace(proposed, header=bad))))

    def _with_false_evidence(self, view: View, send: Send) -> Send:
        """Propose a block that shows how somebody else has signed twice, which nobody signed."""
        own = self._own_fresh_proposal(send)
        height = view.chain.height
        others = [m.key for m in view.validators.members if m.key != self._signer.public_key]
        if own is None or own[0].height != view.chain.next_height or not height or not others:
            return send
        shown = (encode(_slander(self._dice.choice(others), height)),)
        # A chain that believes it makes a block that all believe; others get one that is invalid.
        made = view.chain.build((), proposer=self._signer.public_key, evidence=shown).proposed()
        header = replace(made.header, evidence_root=bodies_root(shown))
        signed = self._signed(replace(own[0], block_id=block_id(header)))
        proposed = replace(made, header=header, evidence=shown)
        return Send(send.peers, encode(ProposalSent(encode(signed), proposed)))

    def _with_false_memory(self, send: Send) -> Send:
        """Say of something new that the round before had accepted it."""
        own = self._own_fresh_proposal(send)
        if own is None or own[0].round == 0:
            return send
        proposal, proposed = own
        claimed = self._signed(replace(proposal, valid_round=Round(proposal.round - 1)))
        return Send(send.peers, encode(ProposalSent(encode(claimed), proposed)))

    def _own_fresh_proposal(self, send: Send) -> tuple[Proposal, Proposed] | None:
        if tag_of(send.payload) != b"proposal":
            return None
        message = decode_message(send.payload)
        assert isinstance(message, ProposalSent), "it has the tag of one"
        proposal = decode(message.proposal, Proposal)
        is_fresh = proposal.valid_round == NO_ROUND and self._is_own(proposal)
        return (proposal, message.proposed) if is_fresh else None

    def _again(self, send: Send) -> Iterator[Send]:
        if self._old and self._dice.random() < SELDOM:
            yield Send(send.peers, self._dice.choice(self._old))
        self._old.append(send.payload)

    def hear(self, payload: bytes) -> None:
        """Remember what others have said, to say it again."""
        if self.kind == "replay":
            self._old.append(payload)

    def _noise(self, payload: bytes) -> bytes:
        """Return bytes that nobody sends: anything, half a frame, or one with a bit turned."""
        match self._dice.randrange(3):
            case 0:
                return self._dice.randbytes(self._dice.randrange(200))
            case 1:
                return payload[: self._dice.randrange(len(payload))]
            case _:
                turned = bytearray(payload)
                turned[self._dice.randrange(len(turned))] ^= 1 << self._dice.randrange(8)
                return bytes(turned)

    def _is_own(self, message: Proposal | Vote) -> bool:
        key = self._signer.public_key
        return self._verify(key, message.sign_bytes(self._chain_id), message.signature)

    def _signed(self, message: M) -> M:
        return replace(message, signature=self._signer.sign(message.sign_bytes(self._chain_id)))


def mind_of(behaviour: str | None) -> AbstractContextManager[object]:
    """Give a machine that is made meanwhile the consensus of a liar, if it is one of those."""
    kind = None if behaviour is None else _CONSENSUS.get(behaviour)
    return nullcontext() if kind is None else patch.object(machine, "Consensus", kind)


def _slander(key: PublicKey, height: Height) -> EvidenceSubmit:
    """Say of a key that it precommitted two blocks of a height, without a signature of it."""
    first, second = (
        SignedMessage(PRECOMMIT, height, Round(0), NO_ROUND, id_, 0, Signature(bytes(64)))
        for id_ in (NO_BLOCK, BlockId(sha256(key)))
    )
    return EvidenceSubmit(key, first, second)


def _is_of_consensus(send: Send) -> bool:
    return tag_of(send.payload) in {b"proposal", b"votes"}
