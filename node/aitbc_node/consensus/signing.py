"""May this node sign that, and what must be on disk before the signature leaves?

One guard stands between the algorithm and the key. It signs each step of each round at most once,
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
from aitbc_node.events import Note, SaveSignState, SignState
from aitbc_node.types import BlockId, Height, PublicKey, Round, Signature
from aitbc_node.validators import ValidatorSet

NO_SIGNATURE = Signature(b"")


class Signed(msgspec.Struct, frozen=True):
    """A message with its signature, and the barrier to pass before it leaves."""

    message: Proposal | Vote
    effects: tuple[SaveSignState, ...]
    """Empty when the stored signature is sent again: it is on disk already."""


class SignGuard:
    """Own the consensus key and the sign state."""

    def __init__(self, *, chain_id: str, signer: Signer | None, stored: SignState | None) -> None:
        self._chain_id = chain_id
        self._signer = signer
        self.stored = stored
        self.refusal = ""
        """Why nothing is signed any more until an operator acts; empty when all is well."""
        if stored is not None and not _is_of_chain(stored, chain_id):
            self.refusal = "sign state of another chain"

    @property
    def key(self) -> PublicKey | None:
        """Return the key that signs, or None on a node that only follows."""
        return None if self._signer is None else self._signer.public_key

    def enter(self, height: Height) -> None:
        """Refuse for good when a key comes to a chain past height 0 without its sign state.

        The key may have signed here before, on this host or on another.
        """
        if self._signer is not None and self.stored is None:
            if height > 1:
                self.refusal = "no sign state for a key on a running chain"
            else:
                self.stored = SignState(
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
        if self._signer is None:
            return Note("vote.follows")
        if self.refusal:
            return _refused(self.refusal, unsigned)
        stored = self.stored
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
        return self._sign_new(unsigned, lock, proof)

    def _sign_new(self, unsigned: Proposal | Vote, lock: State, proof: Proof) -> Signed:
        assert self._signer is not None, "a node without a key signs nothing"
        sign_bytes = unsigned.sign_bytes(self._chain_id)
        signature = self._signer.sign(sign_bytes)
        height, round_, step = place_of(unsigned)
        self.stored = SignState(
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
        return Signed(message, (SaveSignState(self.stored),))

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
        index = None if self.key is None else validators.index_of(self.key)
        own = next((vote for vote in certificate.votes if vote.validator == index), None)
        if index is None or own is None:
            return None
        height, round_, id_ = certificate.height, certificate.round, certificate.block_id
        vote = Vote(PRECOMMIT, height, round_, id_, own.time_ms, index, own.signature)
        return self.stop_for_twin(vote) if self.is_foreign(vote) else None

    def is_foreign(self, own: Proposal | Vote, *, known: Proposal | Vote | None = None) -> bool:
        """Tell whether a message of the own key, if truly signed, was signed by somebody else.

        An echo of something older is no news. A message beyond the sign state is, and one that
        says anything else than what was signed in its place, be it only another time. For the
        newest place the sign state has what was signed, for older ones the caller knows it or not.
        """
        stored = self.stored
        if stored is None or self._signer is None or self.refusal:
            return False
        place, newest = place_of(own), (stored.height, stored.round, stored.step)
        sign_bytes = own.sign_bytes(self._chain_id)
        is_other = place == newest and stored.sign_bytes not in {b"", sign_bytes}
        is_changed = known is not None and known.sign_bytes(self._chain_id) != sign_bytes
        return place > newest or is_other or is_changed

    def stop_for_twin(self, foreign: Proposal | Vote) -> Note:
        """Sign nothing more, because somebody else who holds the key has signed this."""
        self.refusal = "another node signs with this key"
        height, round_, step = place_of(foreign)
        place = (("height", height), ("round", round_), ("step", step))
        return Note("vote.twin", (("reason", self.refusal), *place))


_STEP_OF_KIND = {PROPOSAL: 1, PREVOTE: 2, PRECOMMIT: 3}


def place_of(message: Proposal | Vote) -> tuple[Height, Round, int]:
    """Return height, round and step: places are signed in ascending order, each once."""
    kind = message.kind if isinstance(message, Vote) else PROPOSAL
    return message.height, message.round, _STEP_OF_KIND[kind]


def _refused(reason: str, message: Proposal | Vote) -> Note:
    height, round_, step = place_of(message)
    fields = (("reason", reason), ("height", height), ("round", round_), ("step", step))
    return Note("vote.refused", fields)


def _is_of_chain(stored: SignState, chain_id: str) -> bool:
    if not stored.sign_bytes:
        return True
    named = msgspec.msgpack.decode(stored.sign_bytes)
    return isinstance(named, list) and bool(named) and named[0] == chain_id
