"""How do whole machines behave together when nothing but time stands between them?

A few machines on one virtual clock: links with a fixed delay that can be cut, a store in memory per
node, crashes that lose the process but not the disk. Deterministic, without any randomness, and
small enough for a unit test; torn disks, lossy links and faulty peers are `world.py`'s. Agreement
is checked at every commit.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from aitbc_node.canonical import decode
from aitbc_node.consensus.messages import Vote
from aitbc_node.crypto import Signer, peer_id
from aitbc_node.events import (
    Answer,
    AppendBase,
    AppendCertificate,
    AppendTransactions,
    BlocksRead,
    Committed,
    Dial,
    Disconnect,
    Effect,
    Event,
    Expired,
    ForgetGathered,
    FrameReceived,
    GatherPiece,
    Halt,
    JudgeSnapshot,
    KeyMade,
    Note,
    OwnKey,
    PeerDown,
    PeerUp,
    Persist,
    ReadBlocks,
    ReadOffer,
    ReadPiece,
    Reply,
    SaveSnapshot,
    Send,
    SetTimer,
    Snapshotted,
    Submitted,
    TimerFired,
    TxOutcome,
    Verified,
    Verify,
)
from aitbc_node.gossip.messages import READS_LETTERS, VotesSent, decode_message
from aitbc_node.machine import Machine, MachineConfig
from aitbc_node.posting import Delivered
from aitbc_node.resuming import Lending, carried_out, newest_base
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.sign_state import NOTHING_SIGNED, SignStateFile
from aitbc_node.storage.snapshots import Snapshots
from aitbc_node.storage.store import Store
from aitbc_node.storage.versions import DATA_VERSIONS, DataVersions
from aitbc_node.trusting import Trusted
from aitbc_node.types import BlockId, PeerId, TxId
from aitbc_sim.citizens import GENESIS_MS, a_genesis, signer_of
from aitbc_sim.frames import tag_of
from aitbc_sim.testing import fake_verify

START_WALL_MS = GENESIS_MS + 1_000
LATENCY_MS = 5
DIAL_TIMEOUT_MS = 1_000
VERIFY_MS = 1


@dataclass
class Node:
    """Hold one node: its disks stay, its machine comes and goes."""

    index: int
    id: PeerId
    votes: bool
    data: MemoryDisk = field(default_factory=MemoryDisk)
    keys: MemoryDisk = field(default_factory=MemoryDisk)
    machine: Machine | None = None
    store: Store | None = None
    life: int = 0
    timers: dict[str, TimerFired] = field(default_factory=dict)
    committed: dict[int, BlockId] = field(default_factory=dict)
    expired: list[TxId] = field(default_factory=list)
    replies: dict[int, tuple[TxOutcome, ...]] = field(default_factory=dict)
    resumed_at: int = 0
    answers: dict[int, object] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    persisted: list[Effect] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)
    halted: list[Halt] = field(default_factory=list)
    later: list[Signer] = field(default_factory=list)


class Pump:
    """Run validators first, then followers, on one clock."""

    def __init__(
        self,
        powers: Sequence[int] = (1, 1, 1, 1),
        *,
        followers: int = 0,
        rich: Sequence[str] = ("alice", "bob"),
        config: MachineConfig | None = None,
        knows: Callable[[int, int], bool] = lambda one, other: one != other,
        versions: DataVersions = DATA_VERSIONS,
    ) -> None:
        self.genesis = a_genesis(powers, rich)
        self._config = config or MachineConfig()
        self._knows = knows
        self._versions = versions
        self.now_ms = 0
        self.wall_skew_ms: dict[int, int] = {}
        self.knows_rules: dict[int, int] = {}
        """The newest rules of nodes whose build is another; a change counts from a restart on."""
        self.older: frozenset[int] = frozenset()
        """Nodes whose build reads no messages of accounts."""
        self._trusts: dict[int, Trusted] = {}
        self.blocks: dict[int, set[BlockId]] = defaultdict(set)
        self.frames: Counter[str] = Counter()
        """Frames delivered, by kind."""
        self.signed: dict[tuple[int, int, int, int], set[BlockId]] = defaultdict(set)
        """What each validator voted for on the wire, by (validator, height, round, kind)."""
        self.effects_done = 0
        self.crash_at: dict[int, int] = {}
        """Effects left until a node crashes; it is restarted by `crash_back_ms` later."""
        self.crash_back_ms = 300
        self.drop: Callable[[int, int, bytes], bool] = lambda _from, _to, _payload: False
        self.tamper: Callable[[int, int, bytes], bytes] = lambda _from, _to, payload: payload
        self._cut: set[frozenset[int]] = set()
        self._links: set[frozenset[int]] = set()
        self._queue: list[tuple[int, int, int, int, Event | str]] = []
        self._order = 0
        self._request = 0
        self.nodes = [
            Node(index, peer_id(signer_of(f"node {index}").public_key), index < len(powers))
            for index in range(len(powers) + followers)
        ]
        self._by_id = {node.id: node for node in self.nodes}

    # Verbs of a test.

    def start(self, *indices: int) -> "Pump":
        """Start these nodes, or all."""
        for index in indices or range(len(self.nodes)):
            self._start(self.nodes[index])
        return self

    def machine(self, index: int) -> Machine:
        """Return the machine of a node that runs."""
        machine = self.nodes[index].machine
        assert machine is not None, f"node {index} is down"
        return machine

    def roots(self) -> set[bytes]:
        """Return the state roots of all nodes that run; one when they agree."""
        machines = [node.machine for node in self.nodes if node.machine is not None]
        return {machine.view.state.root for machine in machines}

    def notes(self, name: str) -> int:
        """Count a note over all nodes, whatever became of them."""
        return sum(node.notes[name] for node in self.nodes)

    def settle(self) -> None:
        """Let every running node reach the height of the highest, at one moment."""
        same = self.run(lambda: len(set(self.heights())) == 1, limit_ms=10_000)
        assert same, f"heights stay apart: {self.heights()}"

    def heights(self) -> list[int]:
        """Return the newest final height of every node that runs."""
        return [node.machine.view.height for node in self.nodes if node.machine is not None]

    def run(self, until: Callable[[], bool], *, limit_ms: int = 20_000) -> bool:
        """Let time pass until something holds; tell whether it did within the limit."""
        end_ms = self.now_ms + limit_ms
        while not until():
            if not self._queue or self._queue[0][0] > end_ms:
                self.now_ms = end_ms
                return False
            self.now_ms, _, index, life, event = heapq.heappop(self._queue)
            node = self.nodes[index]
            if node.life != life:
                continue
            if isinstance(event, str):
                self._start(node)
            elif node.machine is not None:
                self._deliver(node, event)
        return True

    def run_to(self, height: int, *, limit_ms: int = 20_000) -> None:
        """Let all running nodes reach a height."""
        reached = self.run(lambda: min(self.heights()) >= height, limit_ms=limit_ms)
        assert reached, f"wanted height {height}, got {self.heights()} after {limit_ms} ms"

    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.run(lambda: False, limit_ms=milliseconds)

    def submit(self, index: int, *raws: bytes) -> int:
        """Hand transactions to a node like a client; return the request's number."""
        self._request += 1
        node = self.nodes[index]
        self._deliver(node, Submitted(wall_ms=self._wall(node), request=self._request, raws=raws))
        return self._request

    def order(self, index: int, kind: type[Event], **fields: object) -> int:
        """Ask something of a node like its operator; return the request's number."""
        self._request += 1
        node = self.nodes[index]
        event = kind(wall_ms=self._wall(node), request=self._request, **fields)  # type: ignore[call-arg]  # the kind has them
        self._deliver(node, event)
        return self._request

    def give_key(self, index: int, name: str) -> None:
        """Let a node that votes have one more key, which signs when the ledger says so."""
        node = self.nodes[index]
        node.later.append(signer_of(name))
        number = len(node.later) + 1
        SignStateFile(node.keys, number).create()
        key = OwnKey(number, node.later[-1], NOTHING_SIGNED)
        assert self.answer(index, self.order(index, KeyMade, key=key)) is not None

    def answer(self, index: int, request: int, *, limit_ms: int = 60_000) -> object:
        """Wait for what a node answers to its operator."""
        answers = self.nodes[index].answers
        assert self.run(lambda: request in answers, limit_ms=limit_ms), "every order is answered"
        return answers[request]

    def outcomes(self, index: int, *raws: bytes) -> list[str]:
        """Hand transactions in and wait for the codes of the reply."""
        request = self.submit(index, *raws)
        replies = self.nodes[index].replies
        assert self.run(lambda: request in replies, limit_ms=1_000), "every request is answered"
        return [str(outcome.code) for outcome in replies[request]]

    def trust(self, index: int, trusted: Trusted) -> None:
        """Let a node's operator know a block, from the node's next start on."""
        self._trusts[index] = trusted

    def snapshots_of(self, node: Node) -> Snapshots:
        """Return the states that a node has kept."""
        return Snapshots(node.data, chain=self.genesis.hash())

    def crash(self, index: int) -> None:
        """Kill a node; its disks stay, the others notice a closed link."""
        node = self.nodes[index]
        node.machine = None
        node.life += 1
        for link in [link for link in self._links if index in link]:
            self._unlink(link, "reset by peer")

    def restart(self, index: int) -> None:
        """Kill a node if it runs, and start it from its disks."""
        self.crash(index)
        self._start(self.nodes[index])

    def partition(self, *groups: Sequence[int]) -> None:
        """Drop every frame between nodes of different groups, silently, as a firewall does."""
        side = {index: number for number, group in enumerate(groups) for index in group}
        self._cut = {
            frozenset((one, other)) for one in side for other in side if side[one] != side[other]
        }

    def heal(self) -> None:
        """Let all frames through again."""
        self._cut = set()

    def inject(self, to: int, sender: int, payload: bytes) -> None:
        """Deliver a frame that no honest machine sent."""
        node = self.nodes[to]
        wall_ms = self._wall(node)
        frame = FrameReceived(wall_ms=wall_ms, peer=self.nodes[sender].id, payload=payload)
        self._deliver(node, frame)

    # The world.

    def _start(self, node: Node) -> None:
        config = self._config_of(node)
        signer = signer_of(f"v{node.index} votes") if node.votes else None
        keys = node.keys if node.votes else None
        node.store = Store(node.data, keys, versions=self._versions)
        recovered = node.store.recover()
        if node.votes and recovered.sign_state is None:
            node.store.create_sign_state()
            recovered = node.store.recover()
        states, numbered = node.store.sign_states, enumerate(node.later, start=2)
        later = tuple(OwnKey(number, key, states.load(number)) for number, key in numbered)
        recovered = replace(recovered, later_keys=later)
        node.machine = Machine(
            config, self.genesis, own_id=node.id, signer=signer, verify=fake_verify
        )
        kept = self.snapshots_of(node).load(height_max=recovered.last_height)
        base, _ = newest_base(node.store, kept)
        if base is not None:
            recovered = replace(recovered, finals=node.store.finals_above(base.height))
        node.resumed_at = 0 if base is None else base.height
        node.machine.restore(recovered, base=base)
        node.timers.clear()
        effects = node.machine.start(now_ms=self.now_ms, wall_ms=self._wall(node))
        self._carry_out(node, effects)

    def _config_of(self, node: Node) -> MachineConfig:
        known = tuple(
            (other.id, f"node{other.index}:1")
            for other in self.nodes
            if self._knows(node.index, other.index) and other is not node
        )
        old = self._config
        return MachineConfig(
            role="validator" if node.votes else "full",
            block_interval_ms=old.block_interval_ms,
            timeouts=old.timeouts,
            bootstrap=known,
            admission=old.admission,
            mempool=old.mempool,
            snapshot_blocks=old.snapshot_blocks,
            snapshot_distance=old.snapshot_distance,
            app_version_max=self.knows_rules.get(node.index, old.app_version_max),
            trusted=self._trusts.get(node.index, old.trusted),
        )

    def _wall(self, node: Node) -> int:
        return START_WALL_MS + self.now_ms + self.wall_skew_ms.get(node.index, 0)

    def _later(self, node: Node, delay_ms: int, event: Event) -> None:
        self._order += 1
        entry = (self.now_ms + delay_ms, self._order, node.index, node.life, event)
        heapq.heappush(self._queue, entry)

    def _deliver(self, node: Node, event: Event) -> None:
        assert node.machine is not None, "a dead node gets nothing"
        if isinstance(event, TimerFired):
            if node.timers.get(event.timer.name) is not event:
                return  # replaced since
            del node.timers[event.timer.name]
        self._carry_out(node, node.machine.step(event, now_ms=self.now_ms))

    def _carry_out(self, node: Node, effects: Iterable[Effect]) -> None:
        for effect in effects:
            left = self.crash_at.get(node.index)
            if left == 0:
                del self.crash_at[node.index]
                self.crash(node.index)
                self._revive(node)
                return
            if left is not None:
                self.crash_at[node.index] = left - 1
            self.effects_done += 1
            if isinstance(effect, Halt):
                node.halted.append(effect)
                self.crash(node.index)
                return
            self._carry_out_one(node, effect)

    def _revive(self, node: Node) -> None:
        self._order += 1
        at_ms = self.now_ms + self.crash_back_ms
        heapq.heappush(self._queue, (at_ms, self._order, node.index, node.life, "start"))

    def _carry_out_one(self, node: Node, effect: Effect) -> None:  # noqa: C901, PLR0912 - all effects
        wall_ms = self._wall(node)
        match effect:
            case Persist() | AppendBase() | AppendCertificate() | AppendTransactions():
                assert node.store is not None, "a node that runs has a store"
                node.persisted.append(effect)
                node.store.run(effect)  # type: ignore[arg-type]  # every Persist is storable
            case Send(peers=peers, payload=payload):
                for peer in peers:
                    self._send(node, self._by_id[peer], payload)
            case SetTimer(timer=timer, delay_ms=delay_ms):
                fired = node.timers[timer.name] = TimerFired(
                    wall_ms=wall_ms + delay_ms, timer=timer
                )
                self._later(node, delay_ms, fired)
            case Verify(batch=batch, checks=checks):
                good = tuple(fake_verify(row.key, row.message, row.signature) for row in checks)
                self._later(node, VERIFY_MS, Verified(wall_ms=wall_ms, batch=batch, good=good))
            case Dial(peer=peer):
                self._dial(node, self._by_id[peer])
            case Disconnect(peer=peer, reason=reason):
                self._unlink(frozenset((node.index, self._by_id[peer].index)), reason)
            case ReadBlocks(peer=peer, first=first, last=last):
                assert node.store is not None, "a node that runs has a store"
                blocks = node.store.read_blocks(first, last)
                self._later(node, 1, BlocksRead(wall_ms=wall_ms, peer=peer, blocks=blocks))
            case Committed(id=block_id, final=final):
                height = final.block.header.height
                self.blocks[height].add(block_id)
                assert len(self.blocks[height]) == 1, f"two final blocks at height {height}"
                node.committed[height] = block_id
            case Reply(request=request, outcomes=outcomes):
                assert request not in node.replies, "a request is answered once"
                node.replies[request] = outcomes
            case (
                SaveSnapshot()
                | ReadOffer()
                | ReadPiece()
                | GatherPiece()
                | ForgetGathered()
                | JudgeSnapshot()
            ):
                self._keep(node, effect)
            case Answer(request=request, answer=answer):
                assert request not in node.answers, "the operator is answered once"
                node.answers[request] = answer
            case Expired(ids=ids):
                node.expired.extend(ids)
            case Delivered():
                node.delivered.append(effect)
            case Note(name=name):
                node.notes[name] += 1
            case _:
                raise AssertionError(f"an unknown effect: {effect}")

    def _keep(self, node: Node, effect: SaveSnapshot | Lending) -> None:
        """Do what a node wants of the files that hold kept states."""
        assert node.store is not None, "a node that runs has a store"
        kept, wall_ms = self.snapshots_of(node), self._wall(node)
        if isinstance(effect, SaveSnapshot):
            node.answers[effect.request] = Snapshotted(effect.height, kept.save(effect))
            return
        answer = carried_out(effect, kept, node.store, wall_ms=lambda: wall_ms)
        if answer is not None:
            self._later(node, 1, answer)

    def _send(self, source: Node, target: Node, payload: bytes) -> None:
        link = frozenset((source.index, target.index))
        if link not in self._links or link in self._cut or target.machine is None:
            return
        if self.drop(source.index, target.index, payload):
            return
        self.frames[tag_of(payload).decode()] += 1
        self._watch(payload)
        payload = self.tamper(source.index, target.index, payload)
        wall_ms = self._wall(target) + LATENCY_MS
        frame = FrameReceived(wall_ms=wall_ms, peer=source.id, payload=payload)
        self._later(target, LATENCY_MS, frame)

    def _watch(self, payload: bytes) -> None:
        """Check that no validator ever votes for two things in one place."""
        message = decode_message(payload)
        if not isinstance(message, VotesSent):
            return
        for vote in (decode(raw, Vote) for raw in message.votes):
            ids = self.signed[vote.validator, vote.height, vote.round, vote.kind]
            ids.add(vote.block_id)
            assert len(ids) == 1, f"validator {vote.validator} voted twice: {vote}"

    def _dial(self, node: Node, target: Node) -> None:
        link = frozenset((node.index, target.index))
        if target.machine is None or link in self._cut:
            delay_ms = LATENCY_MS if target.machine is None else DIAL_TIMEOUT_MS
            self._down(node, target, "no answer", was_up=False, delay_ms=delay_ms)
            return
        if link in self._links:
            self._down(node, target, "linked already", was_up=False, delay_ms=LATENCY_MS)
            return
        self._links.add(link)
        for one, other, outbound in ((node, target, True), (target, node, False)):
            up = PeerUp(
                wall_ms=self._wall(one),
                peer=other.id,
                outbound=outbound,
                address=f"node{other.index}:1",
                version="test" if other.index in self.older else "test" + READS_LETTERS,
            )
            self._later(one, LATENCY_MS, up)

    def _unlink(self, link: frozenset[int], reason: str) -> None:
        if link not in self._links:
            return
        self._links.discard(link)
        one, other = (self.nodes[index] for index in sorted(link))
        self._down(one, other, reason, was_up=True, delay_ms=LATENCY_MS)
        self._down(other, one, reason, was_up=True, delay_ms=LATENCY_MS)

    def _down(self, node: Node, other: Node, reason: str, *, was_up: bool, delay_ms: int) -> None:
        if node.machine is not None:
            wall_ms = self._wall(node)
            event = PeerDown(wall_ms=wall_ms, peer=other.id, reason=reason, was_up=was_up)
            self._later(node, delay_ms, event)
