"""What do tests of the consensus start from?

Keys, sets and signed messages in one line each, and one core on a bench. Do not add checks here.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from aitbc_node.blocks import PRECOMMIT, Certificate
from aitbc_node.consensus.inputs import (
    ConsensusEffect,
    ConsensusEvent,
)
from aitbc_node.consensus.messages import NO_ROUND, Proposal, Vote
from aitbc_node.consensus.replica import Consensus
from aitbc_node.consensus.signing import NO_SIGNATURE
from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.crypto import Verifier
from aitbc_node.events import SignState
from aitbc_node.types import (
    Address,
    BlockId,
    Height,
    Power,
    PublicKey,
    Round,
    Signature,
)
from aitbc_node.validators import Validator, ValidatorSet, validator_set

CHAIN_ID = "aitbc-sim-1"


class FakeSigner:
    """Sign cheaply: anybody could forge it, nobody in a simulation does by accident."""

    def __init__(self, key: PublicKey) -> None:
        self.public_key = key

    def sign(self, message: bytes) -> Signature:
        """Return 64 bytes that only this key and message give."""
        return Signature(hashlib.blake2b(message, key=self.public_key).digest())


def fake_verify(key: PublicKey, message: bytes, signature: Signature) -> bool:
    """Judge a signature of `FakeSigner`."""
    return hashlib.blake2b(message, key=key).digest() == signature


def a_key(index: int) -> PublicKey:
    """Return the key of the validator at a place of `a_set`."""
    return PublicKey(bytes((index + 1,)) * 32)


def a_set(powers: Sequence[int]) -> ValidatorSet:
    """Return validators with these powers, in the order of their places."""
    return validator_set(
        Validator(Address(a_key(index)[:20]), a_key(index), Power(power))
        for index, power in enumerate(powers)
    )


def a_value(name: str) -> BlockId:
    """Return the id of a value that nothing is known of."""
    return BlockId(hashlib.sha256(name.encode()).digest())


def a_vote(
    kind: int,
    block_id: BlockId,
    *,
    by: int,
    round_: int = 0,
    height: int = 1,
    time_ms: int = 0,
) -> Vote:
    """Return a rightly signed vote."""
    unsigned = Vote(kind, Height(height), Round(round_), block_id, time_ms, by, NO_SIGNATURE)
    signature = FakeSigner(a_key(by)).sign(unsigned.sign_bytes(CHAIN_ID))
    return msgspec.structs.replace(unsigned, signature=signature)


def a_proposal(
    block_id: BlockId,
    *,
    by: int,
    round_: int = 0,
    valid_round: int = NO_ROUND,
    height: int = 1,
) -> Proposal:
    """Return a rightly signed proposal."""
    unsigned = Proposal(Height(height), Round(round_), Round(valid_round), block_id, NO_SIGNATURE)
    signature = FakeSigner(a_key(by)).sign(unsigned.sign_bytes(CHAIN_ID))
    return msgspec.structs.replace(unsigned, signature=signature)


class Bench:
    """Hold one core that a test feeds by hand; time stands still unless the test moves it."""

    def __init__(self, core: Consensus, validators: ValidatorSet) -> None:
        self.core = core
        self.validators = validators
        self.now_ms = 0
        self.wall_ms = 1_000

    def enter(self, height: int = 1) -> list[ConsensusEffect]:
        """Begin a height."""
        return self.core.enter_height(
            Height(height),
            self.validators,
            last_time_ms=0,
            now_ms=self.now_ms,
            wall_ms=self.wall_ms,
        )

    def feed(self, event: ConsensusEvent) -> list[ConsensusEffect]:
        """Hand in one event."""
        return self.core.step(event, now_ms=self.now_ms, wall_ms=self.wall_ms)


def a_core(
    powers: Sequence[int],
    *,
    own: int | None,
    sign_state: SignState | None = None,
    height: int | None = 1,
    verify: Verifier = fake_verify,
) -> Bench:
    """Return the core of the validator at a place, or of a follower, in round 0 of a height."""
    core = Consensus(
        chain_id=CHAIN_ID,
        signer=None if own is None else FakeSigner(a_key(own)),
        verify=verify,
        timeouts=Timeouts(),
        sign_state=sign_state,
    )
    bench = Bench(core, a_set(powers))
    if height is not None:
        bench.enter(height)
    return bench


def power_of(certificate: Certificate, validators: ValidatorSet) -> int:
    """Add up the power behind a certificate whose signatures hold; 0 when one does not."""
    signers: set[int] = set()
    for voter in certificate.votes:
        vote = Vote(
            PRECOMMIT,
            certificate.height,
            certificate.round,
            certificate.block_id,
            voter.time_ms,
            voter.validator,
            voter.signature,
        )
        member = validators.members[voter.validator]
        if not fake_verify(member.key, vote.sign_bytes(CHAIN_ID), vote.signature):
            return 0
        signers.add(voter.validator)
    return sum(validators.members[index].power for index in signers)
