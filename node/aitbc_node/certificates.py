"""Does a certificate prove that a block is final, and when do its voters say it was made?

A certificate is judged against the validator set of its own height: more than two thirds of the
power, each vote signed by a member, none twice. Do not add consensus here: a certificate is what is
left when consensus is over.
"""

from aitbc_node.blocks import PRECOMMIT, Certificate, CommitVote, vote_sign_bytes
from aitbc_node.crypto import Verifier
from aitbc_node.limits import INT_MAX
from aitbc_node.types import BlockId, Height
from aitbc_node.validators import ValidatorSet


def fault_of(
    certificate: Certificate,
    *,
    chain_id: str,
    height: Height,
    block_id: BlockId,
    validators: ValidatorSet,
    verify: Verifier,
    proven: Certificate | None = None,
) -> str:
    """Say why this is no proof that the block is final at that height; empty when it is one.

    The votes of `proven`, a certificate of the same block, are not verified again.
    """
    if certificate.height != height or certificate.block_id != block_id:
        return "a certificate of another block"
    if not 0 <= certificate.round <= INT_MAX:
        return "a certificate of an impossible round"
    fault = _fault_of_votes(certificate, validators)
    if fault:
        return fault
    known: tuple[CommitVote, ...] = ()
    if proven is not None and (proven.round, proven.block_id) == (certificate.round, block_id):
        known = proven.votes
    for vote in certificate.votes:
        if vote in known:
            continue
        message = vote_sign_bytes(
            chain_id,
            PRECOMMIT,
            height=height,
            round_=certificate.round,
            block_id=block_id,
            time_ms=vote.time_ms,
        )
        if not verify(validators.members[vote.validator].key, message, vote.signature):
            return f"a certificate with a false signature of validator {vote.validator}"
    return ""


def median_time_ms(certificate: Certificate, validators: ValidatorSet) -> int:
    """Return the median of the votes' times, weighted by power; the certificate must be proven.

    Less than one third of the power lies, which is less than half of any certificate, so the median
    is never outside the times that honest voters gave. Source: rules 2.4.
    """
    rows = sorted(
        (vote.time_ms, validators.members[vote.validator].power) for vote in certificate.votes
    )
    total = sum(power for _, power in rows)
    passed = 0
    for time_ms, power in rows:
        passed += power
        if 2 * passed >= total:
            return time_ms
    raise AssertionError("a proven certificate has votes")


def _fault_of_votes(certificate: Certificate, validators: ValidatorSet) -> str:
    """Judge everything about the votes but their signatures, which cost the most."""
    last = -1
    power = 0
    for vote in certificate.votes:
        if not last < vote.validator < len(validators.members):
            return "a certificate whose voters are unknown, unordered or doubled"
        if not 0 <= vote.time_ms <= INT_MAX:
            return "a certificate with an impossible time"
        last = vote.validator
        power += validators.members[vote.validator].power
    if not validators.is_quorum(power):
        return f"a certificate of {power} of {validators.total_power} power"
    return ""
