"""How does one node live in a simulation?

Does what the driver does on a real host: feeds the machine, carries out its effects in order with
each `Persist` as a barrier, keeps timers and links; and dies and comes back. The store and its log
are the node's own code, on a disk that forgets. Do not add faults: `world.py` decides when.
"""

import random
from collections import deque

import msgspec

from aitbc_node.crypto import Signer
from aitbc_node.events import (
    AppendBase,
    AppendCertificate,
    AppendTransactions,
    BlocksRead,
    Committed,
    Dial,
    Disconnect,
    DiskFailed,
    DiskHealed,
    Effect,
    Event,
    FrameReceived,
    Halt,
    Note,
    PeerDown,
    PeerUp,
    Persist,
    ReadBlocks,
    Reply,
    SaveSignState,
    SaveSnapshot,
    Send,
    SetTimer,
    SignState,
    Submitted,
    TimerFired,
    Verified,
    Verify,
)
from aitbc_node.ledger.genesis import Genesis
from aitbc_node.machine import Machine, MachineConfig
from aitbc_node.resuming import Lending
from aitbc_node.storage.disk import DiskUnavailableError
from aitbc_node.storage.store import Recovered, Store
from aitbc_node.types import Height, PeerId
from aitbc_sim import states
from aitbc_sim.byzantine import Tongue, mind_of
from aitbc_sim.clocks import WallClock
from aitbc_sim.disk import PowerCutError, SimDisk
from aitbc_sim.founding import GENESIS_MS
from aitbc_sim.host import Host
from aitbc_sim.names import index_of, peer_of
from aitbc_sim.testing import fake_verify

DISK_RETRY_MS = 200

Asked = Verify | ReadBlocks | SaveSnapshot | Lending
_ASKED = (Verify, ReadBlocks, *states.WANTED)


class Process:
    """Be one node: a machine while it runs, two disks for good."""

    def __init__(
        self,
        host: Host["Process"],
        index: int,
        *,
        genesis: Genesis,
        config: MachineConfig,
        signer: Signer | None,
        dice: random.Random,
        clock: WallClock,
        liar: Tongue | None = None,
    ) -> None:
        self.index = index
        self.peer_id = peer_of(index)
        self.signer = signer
        self.machine: Machine | None = None
        self.life = 0
        self.data = SimDisk(dice)
        self.keys = SimDisk(dice)
        self.announced_height = Height(0)
        self.durable_height = Height(0)
        self.crash_after_persist = False
        self.sync_more_ms = 0
        """How much longer than on a sound disk it takes until a write is durable."""
        self.last_signed: SignState | None = None
        self.knows = config.app_version_max
        """The newest rules that the build on this host knows."""
        self._host = host
        self._genesis = genesis
        self._config = config
        self._dice = dice
        self.clock = clock
        self._liar = liar
        self.is_honest = liar is None
        """Whether this node keeps the rules."""
        self._store = self.new_store()
        self._queue: deque[Effect] = deque()
        self._syncing = False
        self._is_disk_failed = False
        self._timers: dict[str, int] = {}
        self._appended_height = Height(0)

    @property
    def height(self) -> Height:
        """Return the newest final height of a running node; 0 when it is down."""
        return Height(0) if self.machine is None else self.machine.view.height

    @property
    def wall_ms(self) -> int:
        """Return what this host's clock on the wall says."""
        return GENESIS_MS + self.clock.read(self._host.now_ms)

    def prepare(self) -> None:
        """Make the key folder as `aitbc-node init` does."""
        if self.signer is not None:
            self._store.create_sign_state()

    def boot(self) -> None:
        """Start from what is on disk."""
        assert self.machine is None, "a running node is not started again"
        self.life += 1
        self._store = self.new_store()
        recovered = self._store.recover()
        self.machine = self.new_machine()
        with mind_of(self._liar.kind if self._liar else None):
            self.restore(self.machine, recovered, self._store)
        self._appended_height = self.durable_height = recovered.last_height
        self._host.returned(self, recovered)
        effects = self.machine.start(now_ms=self._host.now_ms, wall_ms=self.wall_ms)
        self._take("boot", effects)

    def new_machine(self) -> Machine:
        """Return a machine as this node runs it, at height 0."""
        with mind_of(self._liar.kind if self._liar else None):
            return Machine(
                msgspec.structs.replace(self._config, app_version_max=self.knows),
                self._genesis,
                own_id=self.peer_id,
                signer=self.signer,
                verify=fake_verify,
            )

    def new_store(self) -> Store:
        """Return another look at this node's disks."""
        keys = None if self.signer is None else self.keys
        salt = (self.index + 1).to_bytes(16, "big")
        return Store(self.data, keys, chain=self._genesis.hash(), salt=salt)

    def restore(self, machine: Machine, recovered: Recovered, store: Store) -> None:
        """Let a machine begin at the newest state on this node's disk, and go on from there."""
        chain, height = self._genesis.hash(), store.last_height
        base = states.base_of(self.data, store, chain=chain, height=height)
        if base is not None:
            finals = store.finals_above(base.height)
            recovered = msgspec.structs.replace(recovered, finals=finals)
        machine.restore(recovered, base=base)

    def crash(self, *, power: bool) -> None:
        """Die at once; with the power, unsynced writes go too."""
        assert self.machine is not None, "only a running node dies"
        history = self._host.history
        if self._syncing and self._queue:
            history.met("crash between persist and send")
        self.machine = None
        self.life += 1
        self._queue.clear()
        self._syncing = self._is_disk_failed = False
        self._timers.clear()
        self.call_off()
        if power:
            harmed = [disk.lose_power() for disk in (self.data, self.keys)]
            history.counts["unsynced writes lost"] += any(harmed)
            self.announced_height = min(self.announced_height, self.durable_height)

    def call_off(self) -> None:
        """Forget about planned deaths, and make room on the disks."""
        self.crash_after_persist = False
        self.data.fuse = self.keys.fuse = None
        self.data.refusal = self.keys.refusal = ""

    def feed(self, event: Event, life: int | None = None) -> None:
        """Let the machine take an event; one that was meant for a certain life only in that."""
        machine = self.machine
        if machine is not None and (life is None or life == self.life):
            self._take(event, machine.step(event, now_ms=self._host.now_ms))

    def _take(self, event: Event | str, effects: list[Effect]) -> None:
        if self._liar is not None and self.machine is not None:
            effects = self._liar.bend(self.machine.view, effects)
        host = self._host
        host.history.add(host.now_ms, self.index, event, effects)
        if effects:
            host.observed(self, effects)
            self._queue.extend(effects)
            self._pump()

    def _pump(self) -> None:
        """Carry out what is queued, up to the next barrier."""
        life = self.life
        while self._queue and not self._syncing and life == self.life:
            effect = self._queue.popleft()
            try:
                self._carry_out(effect)
            except PowerCutError:
                self._host.history.met("power cut in a write")
                self._host.power_cut(self)
            except DiskUnavailableError as error:
                self._wait_for_disk(effect, error.message)

    def _carry_out(self, effect: Effect) -> None:
        if type(effect) is Send:  # to look whether it is a `Note` or the like costs more than that
            self._host.transmit(self, effect)
        elif type(effect) is SetTimer:
            name = effect.timer.name
            number = self._timers[name] = self._timers.get(name, 0) + 1
            self._host.later(effect.delay_ms, self._fire, self.life, effect, number)
        elif type(effect) is not Note:
            self._carry_out_seldom(effect)

    def _carry_out_seldom(self, effect: Effect) -> None:
        match effect:
            case Persist():
                self._persist(effect)
            case Committed():
                self.announced_height = effect.final.block.header.height
                self._host.announced(self, effect)
            case AppendCertificate() | AppendTransactions():
                self._store.run(effect)
                if isinstance(effect, AppendCertificate):
                    self._appended_height = effect.certificate.height
                self._stored()
            case Halt(app_version=app_version):
                self._host.halted(self, app_version)
            case AppendBase(final=final):
                self._store.run(effect)
                self._appended_height = self.durable_height = final.block.header.height
                self.announced_height = self.durable_height
                self._host.moved_on(self, final)
            case _ if isinstance(effect, _ASKED):
                told = self._answer_to(effect)
                if told is not None:
                    self._host.later(1, self.feed, told, self.life)
            case Dial(peer=peer):
                self._host.dial(self, peer)
            case Disconnect(peer=peer):
                self._host.hang_up(self, peer)
            case Reply():
                self._host.answered(effect)
            case _:
                pass  # expiries and the like are seen by the history

    def _answer_to(self, effect: Asked) -> Event | None:
        """Do what a machine wants to hear of later."""
        match effect:
            case Verify(batch=batch, checks=checks):
                good = tuple(fake_verify(c.key, c.message, c.signature) for c in checks)
                return Verified(wall_ms=self.wall_ms, batch=batch, good=good)
            case ReadBlocks(peer=peer, first=first, last=last):
                blocks = self._store.read_blocks(first, last)
                return BlocksRead(wall_ms=self.wall_ms, peer=peer, blocks=blocks)
            case _:
                chain, wall_ms = self._genesis.hash(), self.wall_ms
                return states.done(effect, self.data, self._store, chain=chain, wall_ms=wall_ms)

    def _persist(self, effect: Persist) -> None:
        self._store.run(effect)  # type: ignore[arg-type]  # every Persist is storable
        self.durable_height = self._appended_height
        if isinstance(effect, SaveSignState):
            self._host.history.signed(self.last_signed, effect.state)
            self.last_signed = effect.state
        self._syncing = True
        self._stored()
        if self.crash_after_persist:
            self._host.power_cut(self)
            return
        sync_ms = self._dice.randint(*self._host.options.sync_ms) + self.sync_more_ms
        self._host.later(sync_ms, self._synced, self.life)

    def _synced(self, life: int) -> None:
        if life == self.life:
            self._syncing = False
            self._pump()

    def _wait_for_disk(self, effect: Effect, reason: str) -> None:
        """Hold up everything behind a write that failed, and try it again. Source: rules 2.8."""
        self._queue.appendleft(effect)
        self._syncing = True
        self._host.later(DISK_RETRY_MS, self._synced, self.life)
        if not self._is_disk_failed:
            self._is_disk_failed = True
            self._host.history.met("disk full")
            self.feed(DiskFailed(wall_ms=self.wall_ms, reason=reason))

    def _stored(self) -> None:
        if self._is_disk_failed:
            self._is_disk_failed = False
            self.feed(DiskHealed(wall_ms=self.wall_ms))

    def _fire(self, life: int, effect: SetTimer, number: int) -> None:
        if life == self.life and self._timers.get(effect.timer.name) == number:
            self.feed(TimerFired(wall_ms=self.wall_ms, timer=effect.timer))

    # What others do to this node.

    def linked(self, peer: PeerId, *, outbound: bool) -> None:
        """Tell the machine of a new link."""
        self.feed(
            PeerUp(
                wall_ms=self.wall_ms,
                peer=peer,
                outbound=outbound,
                address=f"node{index_of(peer)}:8600",
                version="sim",
            )
        )

    def unlinked(self, peer: PeerId, reason: str, *, was_up: bool) -> None:
        """Tell the machine that a link is gone or could not be made."""
        self.feed(PeerDown(wall_ms=self.wall_ms, peer=peer, reason=reason, was_up=was_up))

    def receive(self, peer: PeerId, payload: bytes) -> None:
        """Hand over a frame."""
        if self._liar is not None:
            self._liar.hear(payload)
        machine = self.machine
        if machine is not None:
            now_ms = self._host.now_ms
            wall_ms = GENESIS_MS + self.clock.read(now_ms)
            event = FrameReceived(wall_ms=wall_ms, peer=peer, payload=payload)
            self._take(event, machine.step(event, now_ms=now_ms))

    def submit(self, request: int, raws: tuple[bytes, ...]) -> None:
        """Hand in a client's transactions."""
        self.feed(Submitted(wall_ms=self.wall_ms, request=request, raws=raws))
