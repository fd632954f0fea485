"""Random stakes, offences and rewards keep every promise, and a replay has the same roots."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitbc_node.blocks import PRECOMMIT
from aitbc_node.canonical import encode
from aitbc_node.crypto import sha256
from aitbc_node.ledger.apply import build
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.motions import (
    AdmitValidator,
    ChangeParameter,
    EndEpoch,
    Motion,
    RemoveValidator,
    ScheduleUpgrade,
    ShareFees,
)
from aitbc_node.ledger.objects import OFFENCE, PROPOSAL
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.types import Amount, BlockId, Height, Round, Signature
from aitbc_node.validators import Validator
from aitbc_sim.town import CHAIN_ID, VALIDATOR_NAMES, Town, a_genesis, address, key_of

COIN = 1_000_000
PEOPLE = ("alice", *VALIDATOR_NAMES)
PARAMS = Params(
    epoch_blocks=3,
    unbonding_blocks=10,
    evidence_max_age_blocks=6,
    jail_blocks=4,
    absence_window_blocks=7,
    absence_missed_bps=5_000,
    unjail_by_itself=1,
    proposal_blocks=4,
    reward_per_block=7_777_777,
)
GENESIS = a_genesis(rich=PEOPLE, params=PARAMS, powers=(9, 10, 11, 12), pool=100 * COIN)
LOW, HIGH = sorted((BlockId(sha256(b"one")), BlockId(sha256(b"two"))))


def message(name: str, block_id: BlockId, *, height: int, kind: int) -> SignedMessage:
    """Have a validator's key sign a vote."""
    bare = SignedMessage(
        kind, Height(height), Round(0), Round(-1), block_id, 7, Signature(bytes(64))
    )
    signature = key_of(f"{name} votes").sign(bare.sign_bytes(CHAIN_ID))
    return msgspec.structs.replace(bare, signature=signature)


def evidence(name: str, height: int, kind: int) -> EvidenceSubmit:
    """Show that a validator voted twice."""
    first, second = (message(name, each, height=height, kind=kind) for each in (LOW, HIGH))
    return EvidenceSubmit(key_of(f"{name} votes").public_key, first, second)


def key_change(name: str, number: int) -> ValidatorPut:
    """Bring a key along, perhaps one that is known already."""
    signer = key_of(f"{name} votes {number}" if number else f"{name} votes")
    proof = possession_proof(CHAIN_ID, address(name), signer)
    return ValidatorPut(key=signer.public_key, proof=proof, commission_bps=100 + number)


NAMES = st.sampled_from(("alice", "alice", "north", "east", "south"))
VALIDATORS = st.sampled_from(("north", "north", "east", "alice"))
AMOUNTS = st.sampled_from([COIN, COIN + 1, 4 * COIN + 333_333, 9 * COIN, 20 * COIN])
BONDS = st.builds(lambda who, sum_: StakeBond(address(who), Amount(sum_)), VALIDATORS, AMOUNTS)
UNBONDS = st.builds(lambda who, sum_: StakeUnbond(address(who), Amount(sum_)), VALIDATORS, AMOUNTS)
CLAIMS = st.builds(lambda who: RewardClaim(who and address(who)), VALIDATORS | st.none())
PROOFS = st.builds(
    evidence, st.sampled_from(["north", "north", "east"]), st.integers(1, 6), st.just(PRECOMMIT)
)
STATUSES = st.sampled_from(["leaving", "joining"]).map(lambda word: ValidatorPut(status=word))
MOTIONS = st.sampled_from(
    [
        AdmitValidator(address("alice")),
        RemoveValidator(address("east")),
        ShareFees(1, 2, 9_997),
        ChangeParameter("double_sign_slash_bps", 10_000),
        ScheduleUpgrade(Height(12), APP_VERSION + 1),
        EndEpoch(),
    ]
)
PROPOSALS = MOTIONS.map(ProposalSubmit)
ANY = bytes(20)
"""Stands for the first of the proposals that are open."""
VOTES = st.booleans().map(lambda yes: ProposalVote(ANY, yes=yes))
BODIES = st.one_of(
    BONDS, BONDS, BONDS, UNBONDS, UNBONDS, CLAIMS, PROOFS, STATUSES, PROPOSALS, VOTES, VOTES, VOTES
)
SIGN_UPS = st.builds(
    lambda name, number: (name, key_change(name, number)), NAMES, st.integers(1, 9)
)
ASKS = st.one_of(*[st.tuples(NAMES, BODIES)] * 5, SIGN_UPS)
BLOCKS = st.lists(st.lists(ASKS, min_size=1, max_size=4), min_size=5, max_size=14)


def transactions(town: Town, asks: list[tuple[str, Body]]) -> list[Parsed]:
    """Sign what is asked, each person's in order."""
    used = dict.fromkeys(PEOPLE, 0)
    txs = []
    opened = sorted(name for kind, name in town.state.contents if kind == PROPOSAL)
    for name, asked in asks:
        body = asked
        if isinstance(body, ProposalVote) and opened:
            body = msgspec.structs.replace(body, id=opened[0])
        nonce = town.draft(name, body).nonce + used[name]
        txs.append(town.tx(name, body, nonce=nonce))
        used[name] += 1
    return txs


def at_stake(town: Town, voter: Validator) -> bool:
    """Tell whether a vote rests on coins, be they on their way back, or was punished before."""
    known = [name for (kind, name), record in town.state.items() if kind == OFFENCE and record]
    if any(name.startswith(voter.operator) for name in known):
        return True
    rows = town.state.unbonding(voter.operator).rows
    counted = sum(row.amount for row in rows if not row.counted_until)
    return voter.power * COIN <= town.state.membership(voter.operator).bonded + counted


@pytest.mark.proves("M12")
@given(
    blocks=BLOCKS,
    absent=st.sampled_from(VALIDATOR_NAMES),
    shown=st.dictionaries(st.integers(2, 12), st.tuples(VALIDATORS, st.integers(1, 9)), max_size=3),
    decided=st.dictionaries(st.integers(1, 12), MOTIONS, max_size=3),
)
@settings(max_examples=40)
def test_random_stakes_keep_the_invariants(
    blocks: list[list[tuple[str, Body]]],
    absent: str,
    shown: dict[int, tuple[str, int]],
    decided: dict[int, Motion],
) -> None:
    """I1, I2, I5, I6, I9 and I12 hold after every block, whoever is slashed, leaves or is paid.

    One validator signs nothing, blocks show offences by themselves, decisions change the rules.
    Whoever was never punished has as much at stake as it has power; at the end everything that was
    unbonded has come back, unless a vote still rests on it.
    """
    town = Town(GENESIS)
    town.absent = {key_of(f"{absent} votes").public_key}
    history: list[tuple[tuple[Parsed, ...], tuple[bytes, ...]]] = []
    roots = []
    for drawn in [*blocks, *[[]] * (PARAMS.unbonding_blocks + 5 * PARAMS.epoch_blocks)]:
        asks = list(drawn)
        if town.height + 1 in shown:
            town.evidence = (encode(evidence(*shown[town.height + 1], PRECOMMIT)),)
        if town.height in decided:
            asks = [*((name, ProposalVote(ANY, yes=True)) for name in VALIDATOR_NAMES), *asks]
        if town.height + 1 in decided:
            asks = [*asks, ("south", ProposalSubmit(decided[town.height + 1]))]
        built = build(town.state, town.context(), transactions(town, asks))
        town.evidence = built.evidence
        history.append((built.txs, built.evidence))
        roots.append(town.apply(*built.txs).state_root)
        assert all(at_stake(town, voter) for voter in town.state.validators.members)

    for name in PEOPLE:
        for row in town.state.unbonding(address(name)).rows:
            assert not row.counted_until or row.matures > town.height
    replay = Town(GENESIS)
    replay.absent = town.absent
    for (txs, offences), root in zip(history, roots, strict=True):
        replay.evidence = offences
        assert replay.apply(*txs).state_root == root
