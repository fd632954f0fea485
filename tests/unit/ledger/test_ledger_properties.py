"""Random blocks keep every promise of the ledger, and replaying them gives the same state."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.ledger.apply import Execution, build
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount
from aitbc_sim.town import CHAIN_ID, WEALTH, Town, a_genesis, address, key_of, supply

NAMES = ("alice", "bob", "carol", "mint", "north")
PARAMS = Params(
    max_block_gas=2_000_000, epoch_blocks=2, unbonding_blocks=10, evidence_max_age_blocks=6
)
GENESIS = a_genesis(rich=("alice", "bob", "north"), params=PARAMS)

AMOUNTS = st.sampled_from([1, 2, 99, WEALTH // 3, WEALTH - 210, WEALTH, limits.INT_MAX])
OUTPUTS = st.builds(
    lambda name, asset, amount: Output(address(name), asset, Amount(amount)),
    st.sampled_from(NAMES),
    st.sampled_from(["AIT", "mUSDA", "AAA", "NOPE"]),
    AMOUNTS,
)
TRANSFERS = st.lists(OUTPUTS, min_size=1, max_size=3).map(lambda outs: Transfer(tuple(outs)))
SUPPLIES = st.builds(
    lambda name, amount, sign, asset: supply(name, sign * amount, asset),
    st.sampled_from(NAMES),
    AMOUNTS,
    st.sampled_from([1, -1]),
    st.sampled_from(["AIT", "mUSDA", "AAA", "BBB"]),
)
POLICIES = st.builds(
    lambda threshold: AccountPolicy(
        threshold, tuple(sorted(key_of(name).public_key for name in NAMES))
    ),
    st.sampled_from([1, 1, 2]),
)
DEFINITIONS = st.builds(
    lambda ticker, name, least, most: AssetDefine(
        ticker, "coin", 0, name and address(name), Amount(min(least, most)), Amount(most)
    ),
    st.sampled_from(["AAA", "BBB"]),
    st.sampled_from([*NAMES, None]),
    AMOUNTS,
    AMOUNTS,
)
BONDS = st.builds(
    lambda name, amount: StakeBond(address(name), Amount(amount)),
    st.sampled_from(["north", "east", "bob"]),
    st.sampled_from([1_000_000, 1_500_001, WEALTH // 3, WEALTH]),
)
UNBONDS = st.builds(
    lambda name, amount: StakeUnbond(address(name), Amount(amount)),
    st.sampled_from(["north", "east"]),
    st.sampled_from([1, 500_000, 1_000_000, WEALTH // 3]),
)
SIGN_UPS = st.sampled_from(
    [
        ValidatorPut(
            key=key_of(f"{name} votes").public_key,
            proof=possession_proof(CHAIN_ID, address(name), key_of(f"{name} votes")),
        )
        for name in ("bob", "north")
    ]
    + [ValidatorPut(status="leaving"), ValidatorPut(status="joining")]
)
NOWHERE = Transfer((Output(address("bob"), "NOPE", Amount(1)),))
BODIES = st.lists(
    TRANSFERS | SUPPLIES | POLICIES | DEFINITIONS | BONDS | UNBONDS | SIGN_UPS,
    min_size=1,
    max_size=3,
)


class Ask(msgspec.Struct, frozen=True):
    """Say what somebody tries, good or bad."""

    sender: str
    bodies: list[Body]
    tip: int
    ahead: int
    max_gas_price: int


ASKS = st.builds(
    Ask,
    sender=st.sampled_from(NAMES),
    bodies=BODIES,
    tip=st.sampled_from([0, 0, 7, WEALTH]),
    ahead=st.sampled_from([0, 0, 0, 1, -1]),
    max_gas_price=st.sampled_from([10**9, 10**9, 9_999]),
)
BLOCKS = st.lists(st.lists(ASKS, max_size=6), min_size=1, max_size=4)


def transactions(town: Town, asks: list[Ask]) -> list[Parsed]:
    """Sign what is asked, counting each sender's nonces on from the state."""
    used = dict.fromkeys(NAMES, 0)
    txs = []
    for ask in asks:
        draft = town.draft(ask.sender, *ask.bodies)
        nonce = max(0, draft.nonce + used[ask.sender] + ask.ahead)
        changes = {"nonce": nonce, "tip": Amount(ask.tip), "max_gas_price": ask.max_gas_price}
        txs.append(town.tx(ask.sender, *ask.bodies, **changes))
        used[ask.sender] += ask.ahead == 0
    return txs


@pytest.mark.proves("M12")
@given(blocks=BLOCKS)
@settings(max_examples=60)
def test_random_blocks_keep_the_invariants(blocks: list[list[Ask]]) -> None:
    """I1, I2, I5, I6 and I9 hold after every block; a replay from genesis has the same roots.

    The audit recomputes them, the tally follows them, and both are asked after each block.
    """
    town = Town(GENESIS)
    history: list[tuple[Parsed, ...]] = []
    roots = []
    seen: set[bytes] = set()

    for asks in blocks:
        built = build(town.state, town.context(), transactions(town, asks))
        execution = town.apply(*built.txs)
        assert execution.state_root == built.execution.state_root
        ids = {tx.id for tx in built.txs}
        assert len(ids) == len(built.txs)
        assert seen.isdisjoint(ids)
        seen |= ids
        history.append(built.txs)
        roots.append(execution.state_root)

    # Until everything that was unbonded is paid, unless a vote still rests on it.
    for _ in range(PARAMS.unbonding_blocks + 5 * PARAMS.epoch_blocks):
        roots.append(town.apply().state_root)
        history.append(())

    for name in ("north", "east", "bob"):
        assert all(not row.counted_until for row in town.state.unbonding(address(name)).rows)
    replay = Town(GENESIS)
    assert [replay.apply(*txs).state_root for txs in history] == roots


@given(asks=st.lists(ASKS, max_size=6))
@settings(max_examples=60)
def test_a_failing_body_leaves_fee_and_nonce_only(asks: list[Ask]) -> None:
    """Whatever came before it in the bundle, a failing body takes everything back."""
    town = Town(GENESIS)
    doomed = [msgspec.structs.replace(ask, bodies=[*ask.bodies, NOWHERE]) for ask in asks]
    built = build(town.state, town.context(), transactions(town, doomed))
    left = {name: town.owns(name) for name in ("alice", "bob", "carol", "mint")}
    sent = dict.fromkeys(NAMES, 0)
    for tx, receipt in zip(built.txs, built.execution.receipts, strict=True):
        sender = next(name for name in NAMES if address(name) == tx.tx.sender)
        if sender in left:  # the operator also earns fees
            left[sender] -= receipt.fee
        sent[sender] += 1
        assert receipt.code != Code.OK

    town.apply(*built.txs)

    assert {name: town.owns(name) for name in left} == left
    assert all(town.owns(name, "mUSDA") == 0 for name in left)
    for name in ("alice", "bob", "mint"):
        assert town.state.account(address(name)).nonce == sent[name]


@given(asks=st.lists(ASKS, max_size=8))
@settings(max_examples=40)
def test_admission_never_takes_what_the_next_block_would_refuse(asks: list[Ask]) -> None:
    """With exactly the next nonce, admitted now means valid in the next block on its own."""
    town = Town(GENESIS)

    for tx in transactions(town, asks):
        account = town.state.account(tx.tx.sender)
        admitted = town.admit(tx, pending_nonce=account.nonce if account else 0) is None
        assert admitted == isinstance(town.judge(tx), Execution)
