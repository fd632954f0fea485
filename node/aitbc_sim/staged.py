"""What is a run like in which somebody else says what breaks, and when?

Nothing goes wrong by itself: links, deaths and returns come from outside, between stretches of
virtual time. The same nodes, network, clients and checkers as in every run. What each node says is
kept for judges that know nothing of the simulator. Do not add drawn mishaps: `mishaps.py`.
"""

from collections import defaultdict
from collections.abc import Sequence

from aitbc_node.events import Committed, Reply, TxReceipt
from aitbc_node.ledger import objects
from aitbc_node.ledger.audit import audit
from aitbc_node.machine import Machine
from aitbc_node.rpc.schema import AuditAnswer
from aitbc_node.types import Address, Height, PublicKey, Round, TxId
from aitbc_sim.edges import Edges
from aitbc_sim.founding import account_of, operator
from aitbc_sim.history import History
from aitbc_sim.nodes import Process
from aitbc_sim.options import Options
from aitbc_sim.world import World

SETTLE_MS = 60_000
HEIGHT_BYTES = 8
"""Behind the operator, in the name of an offence."""


class Staged(World):
    """Be a run that goes as far as it is told to."""

    def __init__(self, seed: int, options: Options, history: History) -> None:
        super().__init__(seed, options, history)
        self.told: dict[int, dict[int, Committed]] = defaultdict(dict)
        """What each node has called final, by height, over all its lives."""
        self.told_ms: dict[int, dict[int, int]] = defaultdict(dict)
        """When it did so first."""
        self.answers: dict[TxId, str] = {}
        """What a node has said last of each transaction that was handed in."""
        self.receipts: dict[TxId, tuple[Height, int, TxReceipt]] = {}
        """Where each transaction is, and what it did there, as who had the block first told."""
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

    def fill(self, index: int, refusal: str) -> None:
        """Let a node's disks refuse every write, and say why; take them again with nothing."""
        process = self.nodes[index]
        process.data.refusal = process.keys.refusal = refusal

    def submit(self, index: int, raws: Sequence[bytes]) -> None:
        """Hand in what somebody has signed; who is down takes nothing and says nothing."""
        self._requests += 1
        self.nodes[index].submit(self._requests, tuple(raws))

    def teach(self, index: int, more: int) -> None:
        """Let a node's build, when it begins again, know so many newer rules."""
        self.nodes[index].knows += more

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

    def turns(self) -> list[int]:
        """Return whose turn it is to propose, and whose it is next, by the most advanced node.

        Nobody while none runs; who has no node of its own is left out.
        """
        first = self.first()
        if first is None:
            return []
        view = first.view
        keys = [view.validators.proposer(Round(view.round + more)).key for more in range(2)]
        return [index for key in keys if (index := self._index_of(key)) is not None]

    def punished(self) -> set[int]:
        """Return the validators of the genesis that the most advanced ledger calls offenders."""
        first = self.first()
        if first is None:
            return set()
        names = {name for kind, name in first.view.state.contents if kind == objects.OFFENCE}
        guilty = {Address(name[:-HEIGHT_BYTES]) for name in names}
        founders = range(len(self.options.powers))
        return {index for index in founders if account_of(operator(index)) in guilty}

    def powers(self) -> dict[int, int]:
        """Return which nodes vote on the next block, by the most advanced one, and what counts."""
        first = self.first()
        members = () if first is None else first.view.validators.members
        places = {each.key: int(each.power) for each in members}
        return {
            index: power
            for key, power in places.items()
            if (index := self._index_of(key)) is not None
        }

    def last_votes(self) -> dict[int, Height]:
        """Return the newest height with a vote of each node that runs, as its blocks show it."""
        return {
            process.index: process.machine.view.last_voted_height
            for process in self.nodes
            if process.machine is not None
        }

    def first(self) -> Machine | None:
        """Return the most advanced machine that runs and keeps the rules."""
        running = [p for p in self.honest if p.machine is not None]
        return max(running, key=lambda process: process.height).machine if running else None

    def _index_of(self, key: PublicKey) -> int | None:
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
        height = committed.final.block.header.height
        self.told[source.index][height] = committed
        self.told_ms[source.index].setdefault(height, self.now_ms)
        for place, receipt in enumerate(committed.receipts if source.is_honest else ()):
            self.receipts.setdefault(receipt.id, (height, place, receipt))
        super().announced(source, committed)

    def answered(self, reply: Reply) -> None:
        """Keep what was said to whoever handed something in."""
        self.answers.update((outcome.id, outcome.code) for outcome in reply.outcomes)
        super().answered(reply)

    def _boot(self, process: Process) -> None:
        if process.index not in self._kept_down:
            super()._boot(process)
