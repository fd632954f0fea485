"""What happens when, to whom: one run on virtual time.

First a safety phase in which anything may crash or be cut off; then a liveness phase: a quorum and
the full nodes are healed, every other fault stays as it is, and the healed must go on together and
finish what was promised. Do not judge here: `checkers.py`.
"""

import random
from collections.abc import Callable

from aitbc_node.blocks import FinalBlock
from aitbc_node.events import Committed, Effect, Reply, Send
from aitbc_node.storage.store import Recovered
from aitbc_node.types import BlockId, Hash, Height, PeerId
from aitbc_sim.agenda import Agenda
from aitbc_sim.casting import cast
from aitbc_sim.checkers import Checkers, Violation
from aitbc_sim.founding import a_genesis, account_of, operator
from aitbc_sim.frames import FINALS, look_into
from aitbc_sim.healing import choose
from aitbc_sim.history import History
from aitbc_sim.mishaps import Mishaps
from aitbc_sim.names import index_of
from aitbc_sim.network import Network, Way
from aitbc_sim.nodes import Process
from aitbc_sim.options import Options
from aitbc_sim.sharing import alone
from aitbc_sim.workload import Workload

MORE_BLOCKS = 3
"""How many blocks past everybody's the healed nodes must make."""


class World:
    """Hold everything of one run."""

    def __init__(self, seed: int, options: Options, history: History) -> None:
        self.now_ms = 0
        self.history = history
        self.options = options
        self._dice = random.Random(f"run {seed}")  # noqa: S311 - repeatable on purpose
        self._agenda = Agenda()
        self._network = Network(options, self._dice)
        self._workload = Workload(self._dice, history, options)
        self._genesis = a_genesis(options)
        self._checkers = Checkers(
            self._genesis.validator_set(),
            epoch_blocks=options.epoch_blocks,
            liars=frozenset(account_of(operator(index)) for index in options.liars),
        )
        self._requests = 0
        self._healed: list[Process] = []
        self._has_news = True
        """Whether anything has happened that a phase may end with."""
        self._replayed: dict[BlockId, Hash] = {}
        self.top = 0
        """The highest height that anybody has called final."""
        self.nodes = cast(self, self._genesis, self._dice)
        self._place_of = {process.peer_id: process.index for process in self.nodes}.__getitem__
        self.honest = [process for process in self.nodes if process.is_honest]
        # Without votes a node does not know whether a quorum is there, and takes nothing.
        hears_votes = options.followers_hear_votes
        self._doors = [p for p in self.honest if hears_votes or p.signer is not None]
        self._mishaps = Mishaps(self, self._network, self._dice)

    # The course of a run.

    def run(self) -> None:
        """Run both phases. Raises: Violation at the first breach."""
        options = self.options
        for process in self.nodes:
            process.prepare()
            self.later(self._dice.randrange(100), self._boot, process)
        self._mishaps.begin()
        self.later(200, self._submit)
        self._run_until(lambda: self.top >= options.blocks, options.safety_ms_max)
        healed = self._heal()
        target = Height(max(self.top + MORE_BLOCKS, options.blocks))
        behind = list(healed)
        done = self._run_until(
            lambda: _have_reached(target, behind) and not self._promises(), options.liveness_ms_max
        )
        if not done:
            heights = [process.height for process in healed]
            what = f"heights {heights} of {target}, {self._promises()} promises after "
            raise Violation("liveness", f"{what}{options.liveness_ms_max} ms")
        for process in healed:
            self._check_replay(process)

    def _run_until(self, done: Callable[[], bool], limit_ms: int) -> bool:
        end_ms = self.now_ms + limit_ms
        if self._has_news and done():
            return True
        self._has_news = False
        for at_ms, row in self._agenda.until(end_ms):
            self.now_ms = at_ms
            while row:
                act, arguments = row.popleft()
                act(*arguments)
                if self._has_news:
                    if done():
                        return True
                    self._has_news = False
        self.now_ms = end_ms
        return False

    def _promises(self) -> int:
        """Count accepted transactions that are neither final nor expired."""
        return sum(waiting.accepted for waiting in self._workload.waiting.values())

    def _check_replay(self, process: Process) -> None:
        """Let a second machine replay a node's log from genesis. Source: feature M12.

        Logs that end with the same block are the same chain, which is replayed once.
        """
        assert process.machine is not None, "only running nodes are compared"
        view = process.machine.view
        store = process.new_store()
        recovered = store.recover()
        if recovered.last_height != view.height:
            height, least = recovered.last_height, process.announced_height
            self._checkers.restarted(process.index, height, least=least)
            return
        tip = view.chain.tip_id
        if tip not in self._replayed:
            with alone(self.options):
                again = process.new_machine()
                if store.first_height > 1:
                    process.restore(again, recovered, store)
                else:
                    again.restore(recovered)
            self._replayed[again.view.chain.tip_id] = again.view.state.root
        root = self._replayed.get(tip)
        self._checkers.replayed(process.index, view.height, root, expected=view.state.root)

    def later(self, delay_ms: int, act: Callable[..., None], *arguments: object) -> None:
        """Call something after a while; in the order of asking when at the same time."""
        self._agenda.plan(self.now_ms + delay_ms, act, *arguments)

    # Clients.

    def _submit(self) -> None:
        running = [p for p in self._doors if p.machine is not None]
        if running:
            process = self._dice.choice(running)
            raws = self._raws_for(process)
            if raws:
                self._requests += 1
                process.submit(self._requests, raws)
        self.later(self._dice.randrange(1, 2 * self.options.tx_every_ms), self._submit)

    def _raws_for(self, process: Process) -> tuple[bytes, ...]:
        assert process.machine is not None, "clients talk to running nodes"
        if not self._mishaps.are_over:
            return self._workload.next_raws(process.machine.view.state, self.now_ms)
        return self._workload.overdue_raws(self.now_ms)

    def answered(self, reply: Reply) -> None:
        """Hand an answer to the clients."""
        self._has_news = True
        self._workload.on_reply(reply)

    def announced(self, source: Process, committed: Committed) -> None:
        """Judge a block that a node calls final, and let the clients hear of it."""
        self._has_news = True
        if not source.is_honest:
            return
        if self._checkers.announced(source.index, committed, knows=source.knows):
            self.history.met("set changed")
        self.history.counts["epoch ended by decision"] = len(self._checkers.decided_ends)
        self._workload.on_committed(committed)
        certificate = committed.final.certificate
        if certificate.round > 0:
            self.history.met("round above zero")
        if certificate.height > self.top:
            self.top = certificate.height
            self._mishaps.on_first(source)

    # Death and return.

    def power_cut(self, process: Process) -> None:
        """Kill a node in the middle of what it does."""
        # When a write was cut short, it is the power that went.
        was_cut = any(disk.is_cut for disk in (process.data, process.keys))
        power = was_cut or self._dice.random() < self.options.power_loss
        self.history.met("crash")
        self._die(process, power=power)
        if not self._mishaps.are_over:
            self.later(self._dice.randint(*self.options.down_ms), self._boot, process)

    def halted(self, process: Process, app_version: int) -> None:
        """Hear that a node has ended before unknown rules; its operator replaces the build."""
        self.history.met("halted before unknown rules")
        self._die(process, power=False)
        process.knows = app_version
        self.later(self._dice.randint(*self.options.down_ms), self._boot, process)

    def _die(self, process: Process, *, power: bool) -> None:
        process.crash(power=power)
        if all(p.machine is None for p in self.nodes if p.signer is not None):
            self.history.met("all nodes down")
        for other in self._network.partners(process.index):
            self._network.cut(process.index, other)
            if not power:  # the kernel of a living host resets its connections
                self.later(5, self._unlink, self.nodes[other], process, "reset")

    def _boot(self, process: Process) -> None:
        may_run = not self._mishaps.are_over or process in self._healed
        if process.machine is None and may_run:
            process.boot()

    def returned(self, source: Process, recovered: Recovered) -> None:
        """Judge what a node comes back with."""
        height, stored = recovered.last_height, recovered.sign_state
        if recovered.bytes_cut:
            self.history.met("torn tail")
        if stored and stored.height == height + 1 and stored.locked_round >= 0:
            self.history.met("restart with a lock")
        if source.is_honest:
            self._checkers.restarted(source.index, height, least=source.announced_height)

    def moved_on(self, process: Process, final: FinalBlock) -> None:
        """Judge the state that a node has from its peers, in place of blocks."""
        self.history.met("state fetched")
        if process.is_honest:
            self._checkers.moved_on(process.index, final)

    def _heal(self) -> list[Process]:
        """Freeze all faults, and take a random quorum and the full nodes out of them."""
        self._mishaps.are_over = True
        voters, operators = self._checkers.voters, self._workload.operators
        self._healed = choose(self.honest, voters, operators, self._dice)
        sound = {process.index for process in self._healed}
        self._network.heal(sound)
        for process in self._healed:
            process.call_off()
            self._boot(process)
        return self._healed

    # Links.

    def dial(self, source: Process, target: PeerId) -> None:
        """Try to make a link; the answer comes after a round trip."""
        delay_ms = 2 + self._dice.randrange(2 * self.options.delay_ms[0] + 10)
        self.later(delay_ms, self._connect, source, source.life, self.nodes[index_of(target)])

    def _connect(self, source: Process, life: int, target: Process) -> None:
        if source.life != life:
            return
        if target.machine is None or not self._network.can_dial(source.index, target.index):
            source.unlinked(target.peer_id, "unreachable", was_up=False)
            return
        self._network.link(source.index, target.index)
        target.linked(source.peer_id, outbound=False)
        source.linked(target.peer_id, outbound=True)

    def hang_up(self, source: Process, target: PeerId) -> None:
        """Close a link; the other side hears of it when the way is open."""
        other = self.nodes[index_of(target)]
        was_up = self._network.cut(source.index, other.index)
        self.later(1, self._unlink, source, other, "closed here")
        if was_up and (source.index, other.index) not in self._network.blocked:
            self.later(self.options.delay_ms[0] + 1, self._unlink, other, source, "closed there")

    def _unlink(self, process: Process, other: Process, reason: str) -> None:
        if not self._network.is_linked(process.index, other.index):
            process.unlinked(other.peer_id, reason, was_up=True)

    def transmit(self, source: Process, effect: Send) -> None:
        """Put a frame on its way, and look at what the sender has signed."""
        kind, messages = look_into(effect.payload, closely=source.is_honest)
        if source.signer is not None and messages:
            self._checkers.sent(source.signer.public_key, messages)
        if kind == "proposal" and messages and messages[0].valid_round >= 0:  # type: ignore[union-attr]  # a proposal
            self.history.met("valid-round re-proposal")
        plan, peer, payload = self._agenda.plan, source.peer_id, effect.payload
        deliver = self._catch_up if payload.startswith(FINALS) else self._deliver
        receivers = map(self._place_of, effect.peers)
        for way, at_ms in self._network.ways(source.index, receivers, kind, self.now_ms):
            plan(at_ms, deliver, peer, way, way.number, payload)

    def _deliver(self, source: PeerId, way: Way, number: int, payload: bytes) -> None:
        if self._network.carries(way, number):
            self.nodes[way.edge[1]].receive(source, payload)

    def _catch_up(self, source: PeerId, way: Way, number: int, payload: bytes) -> None:
        if self._network.carries(way, number):
            self.history.met("catch-up")
            self.nodes[way.edge[1]].receive(source, payload)

    # What is seen.

    def observed(self, source: Process, effects: list[Effect]) -> None:
        """See what a node would do, before anything of it is carried out."""
        committed = None
        for effect in effects:
            if type(effect) is Committed:
                committed = effect
        if committed is not None and source.is_honest:
            assert source.machine is not None, "a dead node committed"
            self._checkers.executed(source.index, committed, source.machine.view.state)
            if self._checkers.offences:
                self.history.counts["double signer slashed"] = len(self._checkers.offences)


def _have_reached(target: Height, behind: list[Process]) -> bool:
    """Tell whether none is behind any more; who has arrived once is not looked at again."""
    while behind and behind[-1].height >= target:
        behind.pop()
    return not behind
