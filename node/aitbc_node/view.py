"""What may a reader see of the machine between two steps?

Satisfies the protocol that RPC declares for itself. Nothing here changes anything. Do not add
formats of answers.
"""

import msgspec

from aitbc_node.blocks import Header
from aitbc_node.broker import Broker
from aitbc_node.chain import Chain
from aitbc_node.consensus.inputs import Step
from aitbc_node.events import SignState
from aitbc_node.following import Following
from aitbc_node.gossip.links import PeerView
from aitbc_node.gossip.topology import Surroundings
from aitbc_node.ledger.state import State
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.mempool import Mempool
from aitbc_node.mesh import Mesh
from aitbc_node.tipping import TipPrices, Tips
from aitbc_node.types import BlockId, Height, PeerId, Power, PublicKey, Round
from aitbc_node.validators import ValidatorSet
from aitbc_node.voting import Voting


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Show the parts of one machine; a fresh one is taken after each step."""

    chain: Chain
    mempool: Mempool[Parsed]
    tips: Tips
    mesh: Mesh
    voting: Voting
    following: Following
    broker: Broker
    own_key: PublicKey | None
    last_voted_height: Height
    """The newest height whose commit holds the own precommit; 0 for none."""
    data_version: int
    skew_ms: int
    now_ms: int

    @property
    def height(self) -> Height:
        """Return the newest final height; 0 before the first block."""
        return self.chain.height

    @property
    def round(self) -> Round:
        """Return the round at the height above."""
        return self.voting.consensus.state.round if self.voting.is_at_work else Round(0)

    @property
    def step(self) -> str:
        """Return the step of that round; `idle` until the interval after a commit is over."""
        state = self.voting.consensus.state
        return (state.step if self.voting.is_at_work else Step.IDLE).name.lower()

    @property
    def syncing(self) -> bool:
        """Tell whether the node knows that it is behind and is catching up."""
        if self.following.is_busy or self._is_unsure:
            return True
        return self.mesh.catch_up.is_far_behind(self.height)

    @property
    def _is_unsure(self) -> bool:
        return self.chain.trusted.is_above(self.height)

    @property
    def last_block(self) -> tuple[BlockId, Header] | None:
        """Return the newest final block, None before the first."""
        return None if self.chain.tip is None else (self.chain.tip_id, self.chain.tip)

    @property
    def state(self) -> State:
        """Return the ledger after the newest final block."""
        return self.chain.state

    @property
    def validators(self) -> ValidatorSet:
        """Return who votes on the height above."""
        return self.chain.state.validators

    @property
    def sign_state(self) -> SignState | None:
        """Return what the own key has signed last."""
        return self.voting.consensus.sign_state

    @property
    def refusal(self) -> str:
        """Say why the own key signs nothing until an operator acts; empty when it may."""
        if self.own_key is not None and self._is_unsure:
            return "the block of sync.trusted_height is not here yet: nothing is signed before"
        return self.voting.consensus.refusal

    @property
    def diverged(self) -> str:
        """Say which final block is invalid here, so that the node stands still; empty when none."""
        return self.following.diverged

    @property
    def upgrade_needed(self) -> int:
        """Return the version of the chain's next rules if this build does not know it; else 0."""
        return self.chain.upgrade_needed

    @property
    def own_power(self) -> Power:
        """Return the own voting power."""
        return Power(0) if self.own_key is None else self.validators.power_of(self.own_key)

    @property
    def reachable_power(self) -> Power:
        """Return the voting power within reach, the own included."""
        return self.mesh.reach.power(self.validators, self.now_ms)

    @property
    def reachable(self) -> frozenset[PublicKey]:
        """Return the keys of the validators within reach, the own included."""
        return self.mesh.reach.keys(self.now_ms)

    @property
    def lacking_ms(self) -> int | None:
        """Return for how long voting power has been out of reach; None when all is within."""
        return self.mesh.reach.lacking_ms(self.now_ms)

    def proposer(self) -> PublicKey:
        """Return whose turn it is now."""
        return self.validators.proposer(self.round).key

    def tip_prices(self) -> TipPrices:
        """Return which tip gets a transaction into the next blocks."""
        return self.tips.prices(self.now_ms)

    def peers(self) -> tuple[PeerView, ...]:
        """Return the live links."""
        return self.mesh.peers.views(self.now_ms)

    def banned(self) -> tuple[tuple[PeerId, int], ...]:
        """Return who is banned, and for how many milliseconds more."""
        return self.mesh.peers.standing.banned(self.now_ms)

    def surroundings(self) -> Surroundings:
        """Return the live links with what lies behind them."""
        return self.mesh.surroundings()
