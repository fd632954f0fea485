"""May this node sign that, with which key, and what must be on disk before the signature leaves?

One guard stands between the algorithm and the keys. Of several, the set of a height says which one
signs; each has a sign state of its own. It signs each step of each round at most once,
never goes back, and hands out the stored signature when the same thing is asked for again after a
restart. Do not add knowledge of the algorithm here. Source: rules 2.1.
"""

import msgspec

from aitbc_node.blocks import PRECOMMIT, PREVOTE, PROPOSAL, Certificate
from aitbc_node.canonical import decode
from aitbc_node.consensus.algorithm import State
from aitbc_node.consensus.inputs import Step
from aitbc_node.consensus.messages import Proof, Proposal, Vote
from aitbc_node.crypto import Signer
from aitbc_node.events import Note, OwnKey, SaveSignState, SignState
from aitbc_node.types import BlockId, Height, PublicKey, Round, Signature
from aitbc_node.validators import ValidatorSet

NO_SIGNATURE = Signature(b"")


class Signed(msgspec.Struct, frozen=True):
    """A message with its signature, and the barrier to pass before it leaves."""

    message: Proposal | Vote
    effects: tuple[SaveSignState, ...]
    """Empty when the stored signature is sent again: it is on disk already."""


class _Hand(msgspec.Struct):
    """Hold one key, what it has signed, and why it signs no more."""

    number: int
    signer: Signer
    stored: SignState | None
    refusal: str = ""


class SignGuard:
    """Own the consensus keys and their sign states."""

    def __init__(self, *, chain_id: str, signer: Signer | None, stored: SignState | None) -> None:
        self._chain_id = chain_id
        self._hands: list[_Hand] = []
        self._own: _Hand | None = None
        if signer is not None:
            self.add(OwnKey(1, signer, stored))
            self._own = self._hands[0]

    def add(self, key: OwnKey) -> None:
        """Take one more key, once; it signs when the set of a height has it."""
        if any(hand.number == key.number for hand in self._hands):
            return
        hand = _Hand(key.number, key.signer, key.stored)
        if key.stored is not None and not _is_of_chain(key.stored, self._chain_id):
            hand.refusal = "sign state of another chain"
        self._hands.append(hand)

    def choose(self, validators: ValidatorSet) -> None:
        """Let the key sign that these validators have; where they have none, all stays as it was.

        The ledger lets an operator have one key at a time, and no key come back.
        """
        self._own = self._in(validators) or self._own

    def index_in(self, validators: ValidatorSet) -> int | None:
        """Find the own place, by whichever key."""
        found = self._in(validators)
        return None if found is None else validators.index_of(found.signer.public_key)

    @property
    def signer(self) -> Signer | None:
        """Return what signs, or None on a node that only follows."""
        return None if self._own is None else self._own.signer

    @property
    def key(self) -> PublicKey | None:
        """Return the key that signs, or None on a node that only follows."""
        return None if self._own is None else self._own.signer.public_key

    @property
    def stored(self) -> SignState | None:
        """Return what that key has signed last; None when it came without its sign state."""
        return None if self._own is None else self._own.stored

    @property
    def refusal(self) -> str:
        """Say why nothing is signed until an operator acts; empty when all is well.

        It is about one key: who rotates a key that somebody else has, too, votes again.
        """
        return "" if self._own is None else self._own.refusal

    def enter(self, height: Height) -> None:
        """Refuse for good when a key comes to a chain past height 0 without its sign state.

        The key may have signed here before, on this host or on another.
        """
        own = self._own
        if own is not None and own.stored is None:
            if height > 1:
                own.refusal = "no sign state for a key on a running chain"
            else:
                own.stored = SignState(
                    height=Height(0),
                    round=Round(-1),
                    step=0,
                    sign_bytes=b"",
                    signature=NO_SIGNATURE,
                    locked_round=Round(-1),
                    locked_id=BlockId(b""),
                    valid_round=Round(-1),
                    valid_id=BlockId(b""),
                )

    def sign(self, unsigned: Proposal | Vote, *, lock: State, proof: Proof) -> Signed | Note:
        """Sign a message whose signature is still empty, or say why not.

        `proof` are the prevotes behind the lock's valid round; they are stored with it.
        """
        own = self._own
        if own is None:
            return Note("vote.follows")
        if own.refusal:
            return _refused(own.refusal, unsigned)
        stored = own.stored
        assert stored is not None, "enter() comes before sign()"
        place = place_of(unsigned)
        newest = (stored.height, stored.round, stored.step)
        if place == newest:
            again = self.stored_message(getattr(unsigned, "validator", 0))
            if again is not None and again.block_id == unsigned.block_id:
                return Signed(again, ())
            return _refused("signed otherwise before", unsigned)
        if place < newest:
            return _refused("sign state is ahead", unsigned)
        return self._sign_new(own, unsigned, lock, proof)

    def _sign_new(self, own: _Hand, unsigned: Proposal | Vote, lock: State, proof: Proof) -> Signed:
        sign_bytes = unsigned.sign_bytes(self._chain_id)
        signature = own.signer.sign(sign_bytes)
        height, round_, step = place_of(unsigned)
        own.stored = SignState(
            height=height,
            round=round_,
            step=step,
            sign_bytes=sign_bytes,
            signature=signature,
            locked_round=lock.locked_round,
            locked_id=lock.locked_id,
            valid_round=lock.valid_round,
            valid_id=lock.valid_id,
            prevotes=proof,
        )
        message = msgspec.structs.replace(unsigned, signature=signature)
        return Signed(message, (SaveSignState(own.stored, own.number),))

    def stored_message(self, validator: int) -> Proposal | Vote | None:
        """Rebuild the newest signed message from the sign state; None when there is none.

        A sign state that only forbids everything below a height holds no message.
        """
        stored = self.stored
        if stored is None or not stored.sign_bytes:
            return None
        match Step(stored.step):
            case Step.PROPOSE:
                proposal = decode(stored.sign_bytes, tuple[str, int, Height, Round, Round, BlockId])
                return Proposal(*proposal[2:], stored.signature)
            case Step.PREVOTE:
                prevote = decode(stored.sign_bytes, tuple[str, int, Height, Round, BlockId])
                return Vote(PREVOTE, *prevote[2:], 0, validator, stored.signature)
            case _:
                precommit = decode(stored.sign_bytes, tuple[str, int, Height, Round, BlockId, int])
                return Vote(PRECOMMIT, *precommit[2:], validator, stored.signature)

    def sees_twin_in(self, certificate: Certificate, validators: ValidatorSet) -> Note | None:
        """Judge what a verified certificate says about the own key.

        A key that was restored with an old sign state meets its own later votes in the blocks that
        it catches up with: whoever gave them may be signing still.
        """
        own = self._in(validators)
        index = None if own is None else validators.index_of(own.signer.public_key)
        if own is None or index is None:
            return None
        cast = next((vote for vote in certificate.votes if vote.validator == index), None)
        if cast is None:
            return None
        height, round_, id_ = certificate.height, certificate.round, certificate.block_id
        vote = Vote(PRECOMMIT, height, round_, id_, cast.time_ms, index, cast.signature)
        return _stop(own, vote) if self._is_foreign(own, vote) else None

    def is_foreign(self, own: Proposal | Vote, *, known: Proposal | Vote | None = None) -> bool:
        """Tell whether a message of the own key, if truly signed, was signed by somebody else.

        An echo of something older is no news. A message beyond the sign state is, and one that
        says anything else than what was signed in its place, be it only another time. For the
        newest place the sign state has what was signed, for older ones the caller knows it or not.
        """
        return self._own is not None and self._is_foreign(self._own, own, known=known)

    def stop_for_twin(self, foreign: Proposal | Vote) -> Note:
        """Sign nothing more, because somebody else who holds the key has signed this."""
        assert self._own is not None, "a node without a key has no twin"
        return _stop(self._own, foreign)

    def _in(self, validators: ValidatorSet) -> _Hand | None:
        """Find the own key that these validators have; the newest, if ever there were two."""
        for own in reversed(self._hands):
            if validators.index_of(own.signer.public_key) is not None:
                return own
        return None

    def _is_foreign(
        self, own: _Hand, message: Proposal | Vote, *, known: Proposal | Vote | None = None
    ) -> bool:
        stored = own.stored
        if stored is None or own.refusal:
            return False
        place, newest = place_of(message), (stored.height, stored.round, stored.step)
        sign_bytes = message.sign_bytes(self._chain_id)
        is_other = place == newest and stored.sign_bytes not in {b"", sign_bytes}
        is_changed = known is not None and known.sign_bytes(self._chain_id) != sign_bytes
        return place > newest or is_other or is_changed


_STEP_OF_KIND = {PROPOSAL: 1, PREVOTE: 2, PRECOMMIT: 3}


def place_of(message: Proposal | Vote) -> tuple[Height, Round, int]:
    """Return height, round and step: places are signed in ascending order, each once."""
    kind = message.kind if isinstance(message, Vote) else PROPOSAL
    return message.height, message.round, _STEP_OF_KIND[kind]


def _stop(own: _Hand, foreign: Proposal | Vote) -> Note:
    own.refusal = "another node signs with this key"
    height, round_, step = place_of(foreign)
    place = (("height", height), ("round", round_), ("step", step))
    return Note("vote.twin", (("reason", own.refusal), *place))


def _refused(reason: str, message: Proposal | Vote) -> Note:
    height, round_, step = place_of(message)
    fields = (("reason", reason), ("height", height), ("round", round_), ("step", step))
    return Note("vote.refused", fields)


def _is_of_chain(stored: SignState, chain_id: str) -> bool:
    if not stored.sign_bytes:
        return True
    named = msgspec.msgpack.decode(stored.sign_bytes)
    return isinstance(named, list) and bool(named) and named[0] == chain_id
