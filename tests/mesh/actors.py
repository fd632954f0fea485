"""Who acts on a chain of test processes: strangers who sign, what they do, what is told of it."""

from collections.abc import Sequence

import httpx
from local_mesh import CHAIN_ID, HRP, Mesh, NodeProcess
from msgspec.structs import replace

from aitbc_node.crypto import SigningKey, sha256
from aitbc_node.incidents import STAKE_ACTS_MAX
from aitbc_node.keyfiles import CONSENSUS_KEY, OPERATOR_KEY
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.types import Amount, BlockId, Height, Round, Signature
from aitbc_toolkit import keys
from aitbc_toolkit.wallet import ChainNow, Wallet

COIN = 1_000_000
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

    def signs(self, *bodies: Body, chain: ChainNow | None = None) -> bytes:
        """Sign the account's next transaction; whatever gas costs unless told otherwise."""
        raw = self.wallet.act(chain or NOW, nonce=self.nonce, new=True, bodies=bodies)
        self.nonce += 1
        return raw


def named(name: str) -> Actor:
    """Be a stranger."""
    return Actor(SigningKey(sha256(name.encode())))


def hand_in(mesh: Mesh, raws: Sequence[bytes], *, at: NodeProcess | None = None) -> None:
    """Hand transactions in at one node until it has answered; whoever waits sees what they did."""

    def is_answered() -> bool:
        try:
            rows = (at or mesh.nodes[0]).post_txs(raws)
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


def wealth(mesh: Mesh, actor: Actor) -> int:
    """Sum what an account has at hand, bonded and on its way back."""
    node = mesh.nodes[0]
    held = mesh.read(node, f"/state/accounts/{actor.address}")["balances"]
    stakes = mesh.read(node, f"/state/accounts/{actor.address}/stakes")
    return int(held["AIT"]["balance"]) + int(stakes["bonded"]) + int(stakes["unbonding"])


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
