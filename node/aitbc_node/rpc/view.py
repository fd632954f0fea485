"""What must a node show of itself so that requests can be answered?

Protocols only: the machine and the driver satisfy them, tests bring fakes. Everything here is read
between two steps of the machine, so that one answer never mixes two heights. Do not add ways to
change anything.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from aitbc_node.blocks import FinalBlock, Header
from aitbc_node.events import SignState
from aitbc_node.gossip.speed import SpeedName
from aitbc_node.gossip.topology import Surroundings
from aitbc_node.ledger.state import State
from aitbc_node.tipping import TipPrices
from aitbc_node.types import Address, BlockId, Hash, Height, PeerId, Power, PublicKey, Round, TxId
from aitbc_node.validators import ValidatorSet

TxFate = tuple[str, int | None, int | None, str, int | None, Sequence[Sequence[str]]]
"""What the index knows of a transaction: status, height, index, code, fee, events."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what does not change while the node runs; `validator` is its first consensus key."""

    node: str
    role: str
    version: str
    commit: str
    genesis_hash: Hash
    peer_id: PeerId
    validator: PublicKey | None


class PeerView(Protocol):
    """Show one live link."""

    @property
    def id(self) -> PeerId:
        """Return the peer's id."""

    @property
    def address(self) -> str:
        """Return where the peer is, as `host:port`."""

    @property
    def direction(self) -> str:
        """Return `in` or `out`: who dialled."""

    @property
    def rtt_ms(self) -> float | None:
        """Return the last round trip, or None before the first."""

    @property
    def availability(self) -> int | None:
        """Return which share of pings it answered lately, of 100; None before the first."""

    @property
    def score(self) -> int:
        """Return what is thought of the peer."""

    @property
    def version(self) -> str:
        """Return the software version that the peer told."""

    @property
    def speed(self) -> SpeedName:
        """Return how fast the link was measured to be."""


class MempoolView(Protocol):
    """Show which transactions wait."""

    def __len__(self) -> int: ...

    def get(self, tx_id: TxId, /) -> object | None:
        """Return something for a waiting transaction, None for any other."""

    def pending_nonce(self, sender: Address, *, next_nonce: int) -> int:
        """Return the first nonce that neither the chain nor a waiting transaction uses."""


class NodeView(Protocol):
    """Show the machine between two steps."""

    @property
    def height(self) -> Height:
        """Return the newest final height; 0 before the first block."""

    @property
    def round(self) -> Round:
        """Return the round at the height above."""

    @property
    def step(self) -> str:
        """Return the step of that round: `propose`, `prevote` or `precommit`."""

    @property
    def syncing(self) -> bool:
        """Tell whether the node knows that it is behind."""

    @property
    def last_block(self) -> tuple[BlockId, Header] | None:
        """Return the newest final block, None before the first."""

    @property
    def state(self) -> State:
        """Return the ledger after the newest final block."""

    @property
    def validators(self) -> ValidatorSet:
        """Return who votes on the height above."""

    @property
    def mempool(self) -> MempoolView:
        """Return what waits for a block."""

    @property
    def own_key(self) -> PublicKey | None:
        """Return the consensus key that signs now; None on a node that only follows."""

    @property
    def sign_state(self) -> SignState | None:
        """Return what the own key has signed last."""

    @property
    def refusal(self) -> str:
        """Say why the own key signs nothing until an operator acts; empty when it may."""

    @property
    def diverged(self) -> str:
        """Say which final block this node finds invalid, so that it stands still; else empty."""

    @property
    def last_voted_height(self) -> Height:
        """Return the newest height whose commit holds the own precommit; 0 for none."""

    @property
    def data_version(self) -> int:
        """Return the version in which the node writes its data folder."""

    @property
    def own_power(self) -> Power:
        """Return the own voting power."""

    @property
    def reachable_power(self) -> Power:
        """Return the voting power behind live links, the own included."""

    @property
    def reachable(self) -> frozenset[PublicKey]:
        """Return the keys of the validators within reach, the own included."""

    @property
    def lacking_ms(self) -> int | None:
        """Return for how long voting power has been out of reach; None when all is within."""

    def proposer(self) -> PublicKey:
        """Return whose turn it is now."""

    def tip_prices(self) -> TipPrices:
        """Return which tip gets a transaction into the next blocks."""

    def peers(self) -> Sequence[PeerView]:
        """Return the live links."""

    def banned(self) -> Sequence[tuple[PeerId, int]]:
        """Return who is banned, and for how many milliseconds more."""

    def surroundings(self) -> Surroundings:
        """Return the live links with what lies behind them."""


class Reader(Protocol):
    """Read what is on disk."""

    def block(self, height: Height, /) -> FinalBlock | None:
        """Return a final block, None above the tip or below what is kept."""

    def transaction(self, tx_id: TxId, /) -> TxFate | None:
        """Return the fate of a transaction in a final block or expired, None for any other."""

    def metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Be one HTTP request, body and all; `wall_ms` is when it arrived.

    With `is_brief` the client said `Prefer: return=minimal`; only some routes know a short form.
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = {}
    content_type: str = "application/json"
    body: bytes = b""
    request_id: str = ""
    wall_ms: int = 0
    is_brief: bool = False


class Response(msgspec.Struct, frozen=True):
    """Be one whole HTTP response."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class RequestFault(Exception):  # noqa: N818 - it is the client's fault, not our error
    """A request cannot be answered; it ends as an error body, never as a crash."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str = "",
        hint: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.hint = hint
        self.headers = headers
