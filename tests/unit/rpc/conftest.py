"""A node made of plain values, for tests of its interface."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from aitbc_node.blocks import (
    NO_COMMIT,
    Block,
    Certificate,
    CommitVote,
    FinalBlock,
    Header,
    block_id,
    ids_root,
)
from aitbc_node.crypto import SigningKey
from aitbc_node.events import SignState
from aitbc_node.gossip.speed import SpeedName
from aitbc_node.gossip.topology import LinkSight, Surroundings
from aitbc_node.ledger import genesis
from aitbc_node.ledger.genesis import GenesisAccount, GenesisAsset, GenesisValidator
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.state import State
from aitbc_node.rpc.dispatch import dispatch
from aitbc_node.rpc.route import Subscription
from aitbc_node.rpc.submission import Submission
from aitbc_node.rpc.view import Facts, Request, Response
from aitbc_node.tipping import TipPrices
from aitbc_node.types import (
    Address,
    Amount,
    BlockId,
    Hash,
    Height,
    PeerId,
    Power,
    PublicKey,
    Round,
    Signature,
    TxId,
)
from aitbc_node.validators import ValidatorSet

CHAIN = "aitbc-dev-1"
KEYS = [SigningKey(bytes([place]) * 32) for place in range(1, 5)]
HOLDER = SigningKey(b"h" * 32)
FACTS = Facts(
    node="v1",
    role="validator",
    version="0.1.0",
    commit="8b1f3c2",
    genesis_hash=Hash(b"g" * 32),
    peer_id=PeerId(b"p" * 20),
    validator=KEYS[0].public_key,
)
NO_TIPS = TipPrices(slow=0, standard=0, fast=0, full=0, blocks=3)


def address_of_key(key: SigningKey) -> Address:
    """Name the ordinary account of a key."""
    return address_of(single_key(key.public_key))


def a_state() -> State:
    """Make the state of a chain with four validators, one funded account and a mock asset."""
    holder = address_of_key(HOLDER)
    founded = genesis.build(
        chain_id=CHAIN,
        hrp="aitd",
        genesis_time_ms=1_700_000_000_000,
        validators=[
            GenesisValidator(
                address_of_key(key),
                key.public_key,
                Power(1),
                "here",
                possession_proof(CHAIN, address_of_key(key), key),
            )
            for key in KEYS
        ],
        accounts=[
            GenesisAccount(
                holder,
                single_key(HOLDER.public_key),
                (("AIT", Amount(5_000_000)), ("mUSDA", Amount(1000))),
            )
        ],
        assets=[GenesisAsset("mUSDA", "Mock US dollar", 6, holder)],
    )
    return genesis.initial_state(founded)


@dataclass
class FakePeer:
    id: PeerId
    address: str = "10.0.0.2:8600"
    direction: str = "out"
    rtt_ms: float | None = 1.5
    availability: int | None = 99
    score: int = 100
    version: str = "0.1.0"
    speed: SpeedName = "gigabit"


@dataclass
class FakeMempool:
    waiting: set[TxId] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.waiting)

    def get(self, tx_id: TxId, /) -> object | None:
        return tx_id if tx_id in self.waiting else None

    def pending_nonce(self, _sender: Address, *, next_nonce: int) -> int:
        return next_nonce + len(self.waiting)


@dataclass
class FakeNode:
    """Be view and reader at once; every field may be changed by a test."""

    state: State
    finals: list[FinalBlock]
    round: int = 0
    step: str = "propose"
    syncing: bool = False
    mempool: FakeMempool = field(default_factory=FakeMempool)
    sign_state: SignState | None = None
    refusal: str = ""
    diverged: str = ""
    last_voted_height: int = 2
    own_key: PublicKey | None = None
    data_version: int = 1
    own_power: int = 1
    reachable_power: int = 4
    lacking_ms: int | None = None
    missing: frozenset[PublicKey] = frozenset()
    links: list[FakePeer] = field(default_factory=list)
    bans: list[tuple[PeerId, int]] = field(default_factory=list)
    fates: dict[TxId, tuple[object, ...]] = field(default_factory=dict)
    facts: Facts = FACTS
    tips: TipPrices = NO_TIPS

    @property
    def height(self) -> Height:
        return Height(len(self.finals))

    @property
    def last_block(self) -> tuple[BlockId, Header] | None:
        if not self.finals:
            return None
        return self.finals[-1].certificate.block_id, self.finals[-1].block.header

    @property
    def validators(self) -> ValidatorSet:
        return self.state.validators

    @property
    def reachable(self) -> frozenset[PublicKey]:
        return frozenset(member.key for member in self.validators.members) - self.missing

    def proposer(self) -> PublicKey:
        return self.validators.proposer(Round(self.round)).key

    def tip_prices(self) -> TipPrices:
        return self.tips

    def peers(self) -> Sequence[FakePeer]:
        return self.links

    def banned(self) -> Sequence[tuple[PeerId, int]]:
        return self.bans

    def surroundings(self) -> Surroundings:
        links = tuple(
            LinkSight(
                peer=link.id,
                address=link.address,
                outbound=link.direction == "out",
                rtt_ms=3,
                source="bootstrap",
                neighbours=frozenset({PeerId(b"n" * 20)}),
            )
            for link in self.links
        )
        return Surroundings(links=links, known=9, vouched=2, record=b"r")

    def block(self, height: Height, /) -> FinalBlock | None:
        return self.finals[height - 1] if height <= len(self.finals) else None

    def transaction(self, tx_id: TxId, /) -> tuple[object, ...] | None:
        return self.fates.get(tx_id)

    def metrics(self) -> bytes:
        return b"aitbc_height 3\n"

    def ask(self, target: str, **request: object) -> Response:
        """Answer a request that needs nothing but the view."""
        outcome = self.outcome(target, **request)
        assert isinstance(outcome, Response), outcome
        return outcome

    def outcome(self, target: str, **request: object) -> Response | Submission | Subscription:
        """Dispatch `/path?name=value`."""
        path, _, tail = target.partition("?")
        query: dict[str, list[str]] = {}
        for pair in filter(None, tail.split("&")):
            name, _, value = pair.partition("=")
            query.setdefault(name, []).append(value)
        asked = Request(
            **{
                "method": "GET",
                "path": path,
                "query": query,
                "request_id": "r-1",
                "wall_ms": 1_700_000_003_500,
                **request,
            }
        )
        return dispatch(asked, self.facts, self, self)  # type: ignore[arg-type]

    def read(self, target: str, **request: object) -> dict[str, object]:
        """Return the body of a good answer."""
        response = self.ask(target, **request)
        assert response.status == 200, response.body
        return msgspec.json.decode(response.body, type=dict[str, object])

    def fault(self, target: str, *, status: int, **request: object) -> dict[str, str]:
        """Return the error of a refused request."""
        response = self.ask(target, **request)
        assert response.status == status, response.body
        body = msgspec.json.decode(response.body)
        assert list(body) == ["error"]
        return dict(body["error"])


def a_final_block(state: State, *, height: int, txs: tuple[bytes, ...] = ()) -> FinalBlock:
    """Make a block that three of four validators signed."""
    digest = state.validators.digest()
    header = Header(
        version=1,
        chain_id=CHAIN,
        height=Height(height),
        parent_id=BlockId(bytes([height - 1]) * 32),
        time_ms=1_700_000_000_000 + 1000 * height,
        proposer=KEYS[0].public_key,
        tx_root=ids_root([hashlib.sha256(tx).digest() for tx in txs]),
        tx_count=len(txs),
        state_root=state.root,
        receipts_root=Hash(b"r" * 32),
        last_commit_hash=Hash(b"c" * 32),
        validators_hash=digest,
        next_validators_hash=digest,
        params_hash=state.params.digest(),
        app_version=1,
        evidence_root=Hash(b"e" * 32),
    )
    votes = tuple(CommitVote(place, header.time_ms, Signature(b"s" * 64)) for place in (0, 1, 3))
    certificate = Certificate(Height(height), Round(1), block_id(header), votes)
    before = Certificate(Height(height - 1), Round(0), header.parent_id, votes[1:])
    last_commit = NO_COMMIT if height == 1 else before
    return FinalBlock(Block(header, txs, last_commit, ()), certificate)


@pytest.fixture
def node() -> FakeNode:
    """A validator at height 3 that reaches everybody."""
    state = a_state()
    finals = [a_final_block(state, height=height, txs=(b"tx%d" % height,)) for height in (1, 2, 3)]
    return FakeNode(state, finals)
