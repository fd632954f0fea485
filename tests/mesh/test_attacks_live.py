"""Attacks on the economy of a chain of real processes: nothing is gained, and each is named.

Of the drivers E29a to E29e those that nodes can tell apart; what else an attack could win is shown
against the rules in `tests/unit/ledger/test_attacks.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from local_mesh import CHAIN_ID, FAUCET, HRP, Mesh, NodeProcess, local_mesh
from msgspec.structs import replace

from aitbc_node.crypto import SigningKey, sha256
from aitbc_node.incidents import REGISTRATIONS_MAX, STAKE_ACTS_MAX
from aitbc_node.keyfiles import CONSENSUS_KEY, OPERATOR_KEY
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount, BlockId, Height, Round, Signature
from aitbc_toolkit import keys
from aitbc_toolkit.wallet import ChainNow, Wallet

pytestmark = pytest.mark.mesh

COIN = 1_000_000
SPAM = 16
WAIT_S = 120.0
RULES = Params(
    epoch_blocks=5_000,
    unbonding_blocks=10_000,
    absence_window_blocks=0,
    max_block_gas=2_000_000,
    validators_open=0,
)
NOW = ChainNow(CHAIN_ID, HRP, valid_until=100_000, max_gas_price=RULES.gas_max_price)


class Actor:
    """Be somebody who signs: an account with its next nonce."""

    def __init__(self, key: SigningKey) -> None:
        self.key = key
        self.wallet = Wallet(key)
        self.nonce = 0

    @property
    def address(self) -> str:
        """Write the account as nodes read it."""
        return self.wallet.address(HRP)

    def signs(self, *bodies: Body) -> bytes:
        """Sign the account's next transaction."""
        raw = self.wallet.act(NOW, nonce=self.nonce, new=True, bodies=bodies)
        self.nonce += 1
        return raw


def named(name: str) -> Actor:
    """Be a stranger."""
    return Actor(SigningKey(sha256(name.encode())))


def hand_in(mesh: Mesh, raws: Sequence[bytes]) -> None:
    """Hand transactions in at one node until it has answered; whoever waits sees what they did."""

    def is_answered() -> bool:
        try:
            rows = mesh.nodes[0].post_txs(raws)
        except httpx.HTTPError:
            return False
        # Behind an answer that was lost they wait already, or are in a block.
        assert {row["code"] for row in rows} <= {"ok", "duplicate", "nonce"}, rows
        return True

    mesh.eventually("transactions that are handed in", is_answered, deadline_s=WAIT_S)


def are_used(mesh: Mesh, *actors: Actor) -> bool:
    """Tell whether blocks hold all that these have signed, on every node."""
    return all(
        (node.get(f"/state/accounts/{actor.address}") or {}).get("nonce") == actor.nonce
        for actor in actors
        for node in mesh.validators
    )


def until_used(mesh: Mesh, *actors: Actor) -> None:
    """Wait until that is so."""
    mesh.eventually(
        "transactions in final blocks", lambda: are_used(mesh, *actors), deadline_s=WAIT_S
    )


def told(node: NodeProcess, attack: str) -> float:
    """Count how often a node has named an attack."""
    try:
        return node.metric(f'aitbc_notes_total{{name="attack.{attack}"}}')
    except httpx.HTTPError:
        return -1


def until_told(mesh: Mesh, attack: str, nodes: Sequence[NodeProcess]) -> None:
    """Wait until all of these have named an attack."""
    mesh.eventually(
        f"attack.{attack} on every node",
        lambda: all(told(node, attack) >= 1 for node in nodes),
        deadline_s=WAIT_S,
    )


def until_spam_is_told(mesh: Mesh, spammer: Actor) -> None:
    """Fill block after block until every node names it: one in between may have come empty."""

    def is_told() -> bool:
        if all(told(node, "gas-manipulation") >= 1 for node in mesh.validators):
            return True
        if are_used(mesh, spammer):
            hand_in(mesh, [spammer.signs(*fills(spammer)) for _ in range(SPAM)])
        return False

    mesh.eventually("attack.gas-manipulation on every node", is_told, deadline_s=WAIT_S)


def wealth(mesh: Mesh, actor: Actor) -> int:
    """Sum what an account has at hand, bonded and on its way back."""
    node = mesh.nodes[0]
    held = mesh.read(node, f"/state/accounts/{actor.address}")["balances"]
    stakes = mesh.read(node, f"/state/accounts/{actor.address}/stakes")
    return int(held["AIT"]["balance"]) + int(stakes["bonded"]) + int(stakes["unbonding"])


@pytest.fixture
def mesh(tmp_path: Path, eventually: Callable[..., None]) -> Iterator[Mesh]:
    """Run four validators with one long epoch and small blocks; a follower is not started."""
    with local_mesh(tmp_path, eventually, full=1, start=False, params=RULES, rich=True) as made:
        for node in made.validators:
            node.start()
        made.until_reach(made.validators)
        made.until_heights(made.validators, 2)
        yield made


def test_attacks_gain_nothing_and_are_named(mesh: Mesh) -> None:
    """Names without stake, stake turned over, two votes at once, blocks filled, a false history."""
    faucet, mallory, spammer = Actor(FAUCET), named("mallory"), named("spammer")
    sybils = [named(f"sybil {place}") for place in range(REGISTRATIONS_MAX + 1)]
    outs = [Output(each.wallet.account, "AIT", Amount(3 * COIN)) for each in sybils]
    outs += [Output(each.wallet.account, "AIT", Amount(90 * COIN)) for each in (mallory, spammer)]
    hand_in(mesh, [faucet.signs(Transfer(tuple(outs)))])
    until_used(mesh, faucet)
    victim = mesh.validators[3]
    operator = mesh.read(mesh.nodes[0], f"/state/validators/{victim.public['operator_address']}")

    hand_in(mesh, [each.signs(*registers(each)) for each in sybils])
    until_told(mesh, "sybil", mesh.validators)
    hand_in(mesh, [mallory.signs(act) for act in turns_over(mesh)])
    until_told(mesh, "stake-grinding", mesh.validators)
    hand_in(mesh, [mallory.signs(offence(victim))])
    until_told(mesh, "nothing-at-stake", mesh.validators)
    until_spam_is_told(mesh, spammer)
    until_used(mesh, *sybils, mallory, spammer)

    rows = mesh.read(mesh.nodes[0], "/state/validators")["validators"]
    crowd = {each.address for each in sybils}
    assert {row["next_power"] for row in rows if row["address"] in crowd} <= {0}
    assert all(wealth(mesh, each) < 3 * COIN for each in sybils)
    reward = COIN // 2 * RULES.evidence_reporter_bps // 10_000
    assert wealth(mesh, mallory) < 90 * COIN + reward
    assert wealth(mesh, spammer) < 90 * COIN
    punished = mesh.read(mesh.nodes[0], f"/state/validators/{operator['address']}")
    assert (punished["status"], punished["next_power"]) == ("jailed", 0)
    assert int(punished["bonded"]) == int(operator["bonded"]) // 2
    mesh.common_root(mesh.validators)
    assert mesh.read(mesh.nodes[0], "/audit")["violations"] == []

    follower = mesh.nodes[-1]
    follower.write_config(
        mesh.nodes, more=f'[sync]\ntrusted_height = 2\ntrusted_hash = "{"ab" * 32}"\n'
    )
    follower.start()
    until_told(mesh, "long-range", [follower])
    assert mesh.read(follower, "/status")["height"] == 1


def registers(actor: Actor) -> list[Body]:
    """Register a name of its own, and bond the least that gives a vote."""
    account = actor.wallet.account
    consensus = SigningKey(sha256(actor.key.public_key))
    proof = possession_proof(CHAIN_ID, account, consensus)
    return [
        ValidatorPut(key=consensus.public_key, proof=proof),
        StakeBond(account, Amount(COIN)),
    ]


def turns_over(mesh: Mesh) -> list[Body]:
    """Bond and take back, as often as it takes to be seen."""
    validator = keys.read(mesh.nodes[0].folder / "keys" / OPERATOR_KEY)
    account = Wallet(validator).account
    acts: list[Body] = []
    while len(acts) <= STAKE_ACTS_MAX:
        acts += [StakeBond(account, Amount(COIN)), StakeUnbond(account, Amount(COIN))]
    return acts[: STAKE_ACTS_MAX + 1]


def offence(node: NodeProcess) -> EvidenceSubmit:
    """Vote for two blocks of one height with a validator's own key."""
    signer = keys.read(node.folder / "keys" / CONSENSUS_KEY)
    bare = [
        SignedMessage(1, Height(2), Round(7), Round(-1), BlockId(32 * name), 0, Signature(b""))
        for name in (b"\1", b"\2")
    ]
    two = [replace(each, signature=signer.sign(each.sign_bytes(CHAIN_ID))) for each in bare]
    return EvidenceSubmit(signer.public_key, *two)


def fills(actor: Actor) -> list[Body]:
    """Buy nearly all the gas of a block with payments to oneself."""
    outs = tuple(Output(actor.wallet.account, "AIT", Amount(1)) for _ in range(60))
    return [Transfer(outs)] * 6
