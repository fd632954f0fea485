"""How does a node that fell behind apply the final blocks that others send it?

One block at a time: header and certificate are judged first, then the workshop verifies and
executes the bodies like those of any block, and only then the block is final here. Do not add whom
to ask: that is `gossip/catch_up.py`.
"""

from collections import deque
from collections.abc import Callable

from aitbc_node.blocks import Certificate, FinalBlock, as_proposed, check_form
from aitbc_node.blocks import block_id as block_id_of
from aitbc_node.chain import Candidate, Chain
from aitbc_node.errors import PeerFault
from aitbc_node.events import Halt
from aitbc_node.mesh import Mesh
from aitbc_node.outbox import Outbox
from aitbc_node.types import BlockId, PeerId
from aitbc_node.workshop import Workshop

PATIENCE_MS = 10_000
"""Verifying one block never takes this long; asking again is safe, waiting for ever is not."""

OnFinal = Callable[[Candidate, Certificate], None]


class Following:
    """Work off the final blocks of one answer."""

    def __init__(
        self, outbox: Outbox, chain: Chain, mesh: Mesh, *, workshop: Workshop, on_final: OnFinal
    ) -> None:
        self._out = outbox
        self._chain = chain
        self._mesh = mesh
        self._workshop = workshop
        self._on_final = on_final
        self.queue: deque[tuple[PeerId, FinalBlock]] = deque()
        """Blocks that wait to be applied, and who sent them."""
        self._supplied: BlockId | None = None
        self._supplied_ms = 0
        self.diverged = ""
        """Why this node stands still for good: it cannot go where the others go."""

    @property
    def is_busy(self) -> bool:
        """Tell whether blocks wait to be applied."""
        return bool(self.queue)

    @property
    def waiting(self) -> int:
        """Count the blocks that wait to be applied."""
        return len(self.queue)

    def on_finals(self, peer: PeerId, blocks: tuple[FinalBlock, ...]) -> None:
        """Take a peer's answer. Raises: PeerFault when it is not what was asked for."""
        fresh = self._mesh.catch_up.answered(peer, blocks, self._out.now_ms)
        self.queue.extend((peer, final) for final in fresh)

    def heed_rules(self) -> None:
        """Stop before the first block whose rules this build does not know. Source: rules 2.12."""
        version, height = self._chain.upgrade_needed, self._chain.next_height
        if version:
            self._stand_still(f"upgrade-needed {version}")
            self._out.note("upgrade.needed", app_version=version, height=height)
            self._out.add(Halt(version, height))

    def advance(self) -> None:
        """Apply what can be applied; a block whose bodies are being verified holds up the rest."""
        if self.queue:
            self._apply_queue()
            self.poll()

    def poll(self) -> None:
        """Ask for more when peers are ahead."""
        if self.diverged:
            return
        catch_up = self._mesh.catch_up
        now_ms = self._out.now_ms
        self._out.extend(catch_up.poll(self._chain.height, now_ms, busy=bool(self.queue)))

    def _apply_queue(self) -> None:
        while self.queue:
            peer, final = self.queue[0]
            if final.block.header.height <= self._chain.height:
                self.queue.popleft()
                continue
            try:
                candidate = self._candidate_of(peer, final)
            except PeerFault as fault:
                self._give_up(peer)
                self._mesh.fault(peer, fault.what, is_forgery=True)
                return
            if candidate is None:
                return
            self.queue.popleft()
            self._on_final(candidate, final.certificate)
            self._mesh.catch_up.applied(peer, self._out.now_ms)

    def _candidate_of(self, peer: PeerId, final: FinalBlock) -> Candidate | None:
        """Judge the block in front; None while that takes time, or when it can never be applied."""
        block_id = block_id_of(final.block.header)
        if block_id != self._supplied:
            proposed = as_proposed(final.block)
            check_form(proposed)
            fault = self._chain.fault_of_final(final)
            if fault:
                raise PeerFault(fault)
            self._supplied, self._supplied_ms = block_id, self._out.now_ms
            self._workshop.supply(final.block, proposed, peer)
        elif self._out.now_ms - self._supplied_ms > PATIENCE_MS:
            self._give_up(peer)
        fault = self._workshop.shelf.fault_of(block_id)
        if fault:
            self._stop(block_id, fault)
        return self._workshop.shelf.candidate(block_id)

    def _stop(self, block_id: BlockId, fault: str) -> None:
        """Stand still: more than two thirds made final what this build finds invalid.

        The peer only passed it on. Whoever is wrong, voting or asking on would not help, and the
        block stays in nobody's way: an operator has to compare the builds. Source: rules 4.7.
        """
        height = self._chain.next_height
        self._stand_still(f"block {block_id.hex()} of height {height} is final, but here: {fault}")
        self._out.note("chain.diverged", height=height, id=block_id.hex(), fault=fault)
        trusted = self._chain.trusted
        if height == trusted.height and block_id != trusted.block_id:
            self._out.note("attack.long-range", height=height, id=block_id.hex())

    def _stand_still(self, why: str) -> None:
        self.diverged = why
        self.queue.clear()

    def _give_up(self, peer: PeerId) -> None:
        self.queue.clear()
        self._supplied = None
        self._mesh.catch_up.failed(peer, self._out.now_ms)
