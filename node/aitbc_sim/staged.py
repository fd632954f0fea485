"""What is a run like in which somebody else says what breaks, and when?

Nothing goes wrong by itself: links, deaths and returns come from outside, between stretches of
virtual time. The same nodes, network, clients and checkers as in every run. What each node says is
kept for judges that know nothing of the simulator. Do not add drawn mishaps: `mishaps.py`.
"""

from collections import defaultdict

from aitbc_node.events import Committed
from aitbc_node.ledger.audit import audit
from aitbc_node.rpc.schema import AuditAnswer
from aitbc_node.types import Height
from aitbc_sim.edges import Edges
from aitbc_sim.history import History
from aitbc_sim.nodes import Process
from aitbc_sim.options import Options
from aitbc_sim.world import World

SETTLE_MS = 60_000


class Staged(World):
    """Be a run that goes as far as it is told to."""

    def __init__(self, seed: int, options: Options, history: History) -> None:
        super().__init__(seed, options, history)
        self.told: dict[int, dict[int, Committed]] = defaultdict(dict)
        """What each node has called final, by height, over all its lives."""
        self._kept_down: set[int] = set()

    def begin(self) -> None:
        """Start all nodes and the clients."""
        for process in self.nodes:
            process.prepare()
            self.later(self._dice.randrange(100), self._boot, process)
        self.later(200, self._submit)

    def advance(self, delay_ms: int) -> None:
        """Let so much virtual time pass. Raises: Violation at a breach."""
        self._run_until(lambda: False, delay_ms)

    def block(self, edges: Edges[int]) -> None:
        """Let these ways carry nothing, and all others again."""
        self._network.blocked = edges

    def kill(self, index: int, *, power: bool) -> None:
        """End a node at once, with its host's power or not; it stays down."""
        self._kept_down.add(index)
        process = self.nodes[index]
        if process.machine is not None:
            self._die(process, power=power)

    def revive(self, index: int) -> None:
        """Let a node come back."""
        self._kept_down.discard(index)
        self._boot(self.nodes[index])

    def settle(self) -> int:
        """Take no more from clients; return how many promises are left open after a while."""
        self._mishaps.are_over = True
        self._healed = list(self.nodes)
        self._run_until(lambda: not self._promises(), SETTLE_MS)
        return self._promises()

    def height(self, index: int) -> Height | None:
        """Return the height of a node that runs."""
        process = self.nodes[index]
        return None if process.machine is None else process.height

    def leader(self) -> int | None:
        """Return which node's turn it is to propose, by the most advanced that runs."""
        running = [process for process in self.nodes if process.machine is not None]
        if not running:
            return None
        first = max(running, key=lambda process: process.height)
        assert first.machine is not None, "only running nodes are asked"
        key = first.machine.view.proposer()
        return next(
            (p.index for p in self.nodes if p.signer is not None and p.signer.public_key == key),
            None,
        )

    def audits(self) -> dict[int, AuditAnswer]:
        """Judge the books of every node that runs, in full."""
        found = {}
        for process in self.nodes:
            if process.machine is not None:
                state = process.machine.view.state
                supply = {name: str(each.supply) for name, each in state.tally.assets.items()}
                found[process.index] = AuditAnswer(
                    height=process.height,
                    state_root=state.root.hex(),
                    supply=supply,
                    violations=[*audit(state), *state.tally.violations()],
                )
        return found

    def announced(self, source: Process, committed: Committed) -> None:
        """Keep what a node says, and judge it as in every run."""
        self.told[source.index][committed.final.block.header.height] = committed
        super().announced(source, committed)

    def _boot(self, process: Process) -> None:
        if process.index not in self._kept_down:
            super()._boot(process)
