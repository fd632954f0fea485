"""What the HTTP interfaces see of a running node.

Everybody reads, and has two ways in: `submit` and `publish`. The operator has a few more. How
requests are answered is in `rpc`.
"""

from collections.abc import Sequence

import msgspec

from aitbc_node import crypto
from aitbc_node.announcing import Announcer
from aitbc_node.answering import outcome_of
from aitbc_node.blocks import FinalBlock
from aitbc_node.codes import Code, Refusal
from aitbc_node.config import Config
from aitbc_node.driver import Driver
from aitbc_node.events import (
    DiscoverAsked,
    DrainAsked,
    Drained,
    FinalizeAsked,
    Finalized,
    KeyMade,
    PeersSought,
    RecoverAsked,
    SnapshotAsked,
    Snapshotted,
    TxOutcome,
)
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.machine import Machine
from aitbc_node.metrics import NodeCollector
from aitbc_node.posting import Published
from aitbc_node.rpc.admin import MadeKey
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.view import Facts
from aitbc_node.startup import Identities
from aitbc_node.storage.fates import Fate
from aitbc_node.succession import Succession
from aitbc_node.types import Height, TxId
from aitbc_node.version import VERSION
from aitbc_node.view import View

_NO_SIGN_STATE = "the sign state of the consensus key is missing: see `run --not-before-height`"


class TroubledView(View, frozen=True, kw_only=True):
    """Show a machine that is kept from voting by something that it does not know itself."""

    trouble: str

    @property
    def refusal(self) -> str:
        """Say why nothing is signed."""
        return self.trouble


class NodePort:
    """Be what the HTTP interface sees of the node."""

    collector: NodeCollector | None = None

    def __init__(
        self,
        config: Config,
        identities: Identities,
        driver: Driver,
        *,
        machine: Machine,
        announcer: Announcer,
        hub: Hub,
        post: Post,
    ) -> None:
        self.hub = hub
        self.post = post
        self.reader = self
        self.submit = driver.submit
        self.settled = driver.settled
        self.facts = Facts(
            node=config.node.id,
            role=config.node.role,
            version=VERSION,
            commit=config.node.commit,
            genesis_hash=identities.genesis.hash(),
            peer_id=crypto.peer_id(identities.node.public_key),
            validator=None if identities.voter is None else identities.voter.public_key,
        )
        self._driver = driver
        self._announcer = announcer
        self._machine = machine

    @property
    def view(self) -> View:
        """Return the machine as it is between two steps."""
        view = self._machine.view
        trouble = self._driver.barrier.disk_failure
        if not trouble and self.facts.validator is not None and view.own_key is None:
            trouble = _NO_SIGN_STATE
        return TroubledView(**msgspec.structs.asdict(view), trouble=trouble) if trouble else view

    async def publish(self, raw: bytes) -> Sequence[TxOutcome]:
        """Hand a message of an account to the machine and wait for what it says."""
        if refusal := _unwritable(self._driver):
            return [outcome_of(TxId(b""), refusal)]
        outcomes: Sequence[TxOutcome] = await self._driver.ask(
            lambda request, wall_ms: Published(wall_ms=wall_ms, request=request, raw=raw)
        )
        return outcomes

    def block(self, height: Height, /) -> FinalBlock | None:
        """Return a final block."""
        return self._driver.block(height)

    def transaction(self, tx_id: TxId, /) -> Fate | None:
        """Return the fate of a transaction."""
        return self._announcer.fate(tx_id)

    def metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return b"" if self.collector is None else self.collector.text()


class OperatorPort:
    """Be what the operator's interface sees of the node."""

    def __init__(self, driver: Driver, machine: Machine, succession: Succession) -> None:
        self._driver = driver
        self._machine = machine
        self._succession = succession

    async def drain(self, deadline_ms: int) -> Drained | Refusal:
        """Wait for a good moment to stop this node."""
        drained: Drained | Refusal = self._refusal() or await self._driver.ask(
            lambda request, wall_ms: DrainAsked(
                wall_ms=wall_ms, request=request, deadline_ms=deadline_ms
            )
        )
        return drained

    async def finalize(self, data_version: int) -> Finalized | Refusal:
        """Write a newer data version from now on."""
        finalized: Finalized | Refusal = self._refusal() or await self._driver.ask(
            lambda request, wall_ms: FinalizeAsked(
                wall_ms=wall_ms, request=request, data_version=data_version
            )
        )
        return finalized

    async def next_key(self) -> MadeKey | Refusal:
        """Make the key that is to vote next, and hold it ready; the ledger says from when on."""
        if refusal := self._refusal():
            return refusal
        view = self._machine.view
        use = None if view.own_key is None else view.state.key_use(view.own_key)
        if use is None:
            return Refusal(Code.E_CONFLICT, "", "this node votes for nobody whom the ledger knows")
        key, made = await self._succession.next_key(
            lambda key: self._machine.view.state.key_use(key) is not None
        )
        # Also one that was made before: whoever asked for it may have gone meanwhile.
        await self._driver.ask(
            lambda request, wall_ms: KeyMade(wall_ms=wall_ms, request=request, key=key)
        )
        proof = possession_proof(view.chain.chain_id, use.operator, key.signer)
        return MadeKey(key.signer.public_key, proof, use.operator, made)

    async def snapshot(self) -> Snapshotted | Refusal:
        """Keep the state of the newest block."""
        kept: Snapshotted | Refusal = self._refusal() or await self._driver.ask(
            lambda request, wall_ms: SnapshotAsked(wall_ms=wall_ms, request=request)
        )
        return kept

    async def discover(self) -> PeersSought | Refusal:
        """Ask all peers which others there are."""
        return await self._sought(DiscoverAsked)

    async def recover(self) -> PeersSought | Refusal:
        """Dial everybody that is missing."""
        return await self._sought(RecoverAsked)

    async def _sought(self, order: type[DiscoverAsked | RecoverAsked]) -> PeersSought | Refusal:
        sought: PeersSought | Refusal = self._refusal() or await self._driver.ask(
            lambda request, wall_ms: order(wall_ms=wall_ms, request=request)
        )
        return sought

    def _refusal(self) -> Refusal | None:
        return _unwritable(self._driver)


def _unwritable(driver: Driver) -> Refusal | None:
    """Say why there is no answer now: it would wait behind a write that the disk refuses."""
    failure = driver.barrier.disk_failure
    return Refusal(Code.E_UNAVAILABLE, "", f"the disk: {failure}") if failure else None
