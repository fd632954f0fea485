"""Coins at stake: each guard has its teeth, shown by planting the bug that it is there for."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from aitbc_node.canonical import encode
from aitbc_node.ledger import boundary, evidence
from aitbc_node.ledger.at_stake import AtStake
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.objects import JAILED, Leaving, Membership, Unbonding
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Amount, BlockId, Height, Round, Signature
from aitbc_sim import false_books
from aitbc_sim.town import CHAIN_ID, VALIDATOR_NAMES, Town, a_genesis, address, key_of

COIN = 1_000_000
NORTH = address("north")


@pytest.fixture
def court() -> Town:
    """Found a town of ten coins a validator with short epochs."""
    params = Params(epoch_blocks=5, unbonding_blocks=14, evidence_max_age_blocks=8, jail_blocks=12)
    return Town(a_genesis(rich=("alice", *VALIDATOR_NAMES), params=params, powers=(10,) * 4))


def proof(height: int) -> bytes:
    """Prove that north voted for two blocks."""
    signer = key_of("north votes")
    bare = [
        SignedMessage(1, Height(height), Round(0), Round(-1), block, 0, Signature(bytes(64)))
        for block in (BlockId(b"\1" * 32), BlockId(b"\2" * 32))
    ]
    first, second = (replace(m, signature=signer.sign(m.sign_bytes(CHAIN_ID))) for m in bare)
    return encode(EvidenceSubmit(signer.public_key, first, second))


def punish(town: Town) -> None:
    """Let a block show the offence."""
    town.evidence = (proof(1),)
    town.apply()


def take_back_all(town: Town) -> None:
    """Bond and take back, wait until it is paid, and see every block judged on the way."""
    town.apply(town.tx("alice", StakeBond(NORTH, Amount(4 * COIN))))
    town.apply(town.tx("alice", StakeUnbond(NORTH, Amount(3 * COIN))))
    while town.height < 25:
        town.apply()
    assert town.state.unbonding(NORTH).rows == ()


def offend_while_leaving(town: Town) -> None:
    """Slash coins on their way back together with the bond."""
    town.apply(town.tx("alice", StakeBond(NORTH, Amount(4 * COIN))))
    town.apply(town.tx("alice", StakeUnbond(NORTH, Amount(3 * COIN))))
    punish(town)
    take_back_all(town)


@pytest.mark.parametrize("story", [punish, take_back_all, offend_while_leaving])
def test_what_the_rules_do_is_judged_as_kept(court: Town, story: Callable[[Town], None]) -> None:
    """The town asserts every invariant after each block."""
    story(court)


def slash_somebody_else(draft: Draft, operator: Address, height: Height) -> object:
    """Take the coins of whoever comes first, in the offender's name."""
    other = min(m.operator for m in draft.validators.members if m.operator != operator)
    return _slash(draft, other, height)


_slash = evidence._slash


@pytest.mark.parametrize(
    ("owner", "part", "bug", "story"),
    [
        (evidence, "_slash", slash_somebody_else, punish),
        (boundary, "end_block", false_books.pay_early, take_back_all),
        (evidence, "check", false_books.punish_again, lambda town: (punish(town), punish(town))),
    ],
    ids=["slash somebody else by I12", "pay unbonding early by I12", "slash twice by I12"],
)
def test_a_planted_bug_breaks_the_promise(
    court: Town,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    part: str,
    bug: object,
    story: Callable[[Town], object],
) -> None:
    """Slashing twice, slashing others and paying early: I12 names it in the same block."""
    monkeypatch.setattr(owner, part, bug)

    with pytest.raises(AssertionError):
        story(court)

    assert any(fault.startswith("I12") for fault in court.state.tally.violations())


# The judge alone.

A_BOND = Membership(key_of("north votes").public_key, None, 100, "", "", JAILED, Amount(9))
ROW = Leaving(address("alice"), Amount(5), Height(3), Height(20))


def left(after: Membership, rows: tuple[Leaving, ...], *, height: int) -> list[str]:
    """Judge a block that leaves a bond and a queue behind."""
    judge = AtStake()
    judge.replace(NORTH, A_BOND, after)
    judge.replace(NORTH, Unbonding((ROW,)), Unbonding(rows) if rows else None)
    return list(judge.faults((), Height(height)))


@pytest.mark.parametrize(
    ("bonded", "rows", "height", "is_fine"),
    [
        (9, (ROW,), 19, True),
        (9, (), 20, True),
        (9, (), 19, False),
        (8, (ROW,), 19, False),
        (4, (replace(ROW, amount=Amount(10)),), 19, True),
        (9, (replace(ROW, amount=Amount(6)),), 19, False),
    ],
)
def test_what_leaves_must_be_due(
    bonded: int, rows: tuple[Leaving, ...], height: int, *, is_fine: bool
) -> None:
    """Between bond and queue coins move freely; out of both only in time; in only by a bond."""
    faults = left(replace(A_BOND, bonded=Amount(bonded)), rows, height=height)

    assert (faults == []) == is_fine


def test_a_row_that_still_backs_a_vote_is_never_due() -> None:
    """However old it is."""
    judge = AtStake()
    judge.replace(NORTH, Unbonding((replace(ROW, counted_until=Height(0)),)), None)

    assert len(list(judge.faults((), Height(99)))) == 1
    judge.begin()
    assert list(judge.faults((), Height(99))) == []
