"""What does the machine do for its operator?

Drains, raises the data version, keeps the state, looks for peers, takes keys: each is asked for by
an event and owed an answer. When to stop is `draining.py`'s question. Do not add what clients may
ask.
"""

from aitbc_node.chain import Chain
from aitbc_node.codes import Code, Refusal
from aitbc_node.draining import Draining
from aitbc_node.events import (
    Answer,
    DiscoverAsked,
    DrainAsked,
    FinalizeAsked,
    Finalized,
    KeyMade,
    KeyTaken,
    OrderGiven,
    PeersSought,
    RecoverAsked,
    SaveDataVersion,
    SaveSnapshot,
    SnapshotAsked,
)
from aitbc_node.lineage import Link
from aitbc_node.mesh import Mesh
from aitbc_node.outbox import Outbox
from aitbc_node.storage.store import Recovered
from aitbc_node.storage.versions import DATA_VERSIONS
from aitbc_node.voting import Voting

NOBODY = 0
"""The request of what nobody asked for; those of operators begin at 1."""


class Operating:
    """Answer the operator inside the machine; `snapshot_blocks` is 0 for none by itself."""

    def __init__(
        self,
        outbox: Outbox,
        chain: Chain,
        mesh: Mesh,
        draining: Draining,
        *,
        voting: Voting,
        snapshot_blocks: int,
    ) -> None:
        self._out = outbox
        self._chain = chain
        self._mesh = mesh
        self.draining = draining
        self._voting = voting
        self._snapshot_blocks = snapshot_blocks
        self.data_version = self._data_version_max = DATA_VERSIONS.oldest

    def restore(self, recovered: Recovered) -> None:
        """Take over which data version is there, and up to which this build writes."""
        self.data_version = recovered.data_version
        self._data_version_max = recovered.data_version_max

    def take(self, event: OrderGiven) -> None:
        """Do what is asked; the answer may come later."""
        match event:
            case DrainAsked():
                self.draining.ask(event)
            case FinalizeAsked():
                self._finalize(event)
            case KeyMade(request=request, key=key):
                self._voting.consensus.guard.add(key)
                self._out.add(Answer(request, KeyTaken(key.signer.public_key)))
            case SnapshotAsked(request=request):
                self._keep_state(request)
            case DiscoverAsked(request=request):
                self._sought(request, self._mesh.discover())
            case RecoverAsked(request=request):
                self._sought(request, self._mesh.recover())
            case _:
                raise AssertionError(f"an order that nobody carries out: {event}")

    def block_is_final(self) -> None:
        """Keep the state now and then, so that a start need not execute what led to it."""
        if self._snapshot_blocks and self._chain.height % self._snapshot_blocks == 0:
            self._keep_state(NOBODY)

    def _finalize(self, event: FinalizeAsked) -> None:
        """Write a newer data version from now on; there is no way back. Source: rules 4.6."""
        wanted, now, newest = event.data_version, self.data_version, self._data_version_max
        if not now <= wanted <= newest:
            why = f"data version {wanted} is not one of {now} to {newest}: the present, the newest"
            self._out.add(Answer(event.request, Refusal(Code.E_CONFLICT, "data_version", why)))
            return
        if wanted > now:
            self.data_version = wanted
            self._out.add(SaveDataVersion(wanted))
            self._out.note("data_version.raised", before=now, now=wanted)
        self._out.add(Answer(event.request, Finalized(wanted)))

    def _sought(self, request: int, sought: int) -> None:
        linked, known = len(self._mesh.linked()), len(self._mesh.peers.book)
        self._out.add(Answer(request, PeersSought(sought, linked, known)))

    def _keep_state(self, request: int) -> None:
        chain = self._chain
        if chain.tip_block is None:
            refusal = Refusal(Code.E_CONFLICT, "", "there is no block yet, only the genesis")
            self._out.add(Answer(request, refusal))
            return
        contents = dict(chain.state.contents)
        header, certificate = chain.tip_block.header, chain.tip_certificate
        last = Link(header, certificate, chain.tip_validators)
        links = chain.lineage if last.changes_voters else (*chain.lineage, last)
        self._out.add(SaveSnapshot(request, chain.tip_block, links, contents))
