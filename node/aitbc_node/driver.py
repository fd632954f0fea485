"""How the machine's effects become files, frames and timers: the only event loop of the node.

Reads the clocks, feeds the machine one event at a time and has its effects carried out strictly in
order: `barrier.py` holds them back behind the disk, `judging.py` verifies signatures between
everything else. Do not decide anything here.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from aitbc_node.announcing import Announcer
from aitbc_node.barrier import Barrier
from aitbc_node.blocks import FinalBlock
from aitbc_node.codes import Code
from aitbc_node.crypto import Verifier
from aitbc_node.errors import UpgradeNeededError
from aitbc_node.events import (
    Answer,
    BlocksRead,
    Committed,
    Dial,
    Disconnect,
    DiskFailed,
    DiskHealed,
    Effect,
    Event,
    Expired,
    Halt,
    Lane,
    Note,
    ReadBlocks,
    Reply,
    Send,
    SetTimer,
    Submitted,
    TimerFired,
    TxOutcome,
    Verified,
    Verify,
)
from aitbc_node.judging import Judge
from aitbc_node.keeping import Keeper
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.machine import Machine
from aitbc_node.posting import Delivered
from aitbc_node.storage.snapshots import Snapshots
from aitbc_node.storage.store import Store
from aitbc_node.types import Height, PeerId, TxId

SETTLE_S = 5.0
"""A disk that takes longer for one write is broken; until then it is better to wait than to lie."""

log = logging.getLogger(__name__)


class Wire(Protocol):
    """Be the links, as far as the driver is concerned."""

    def send(self, peers: Iterable[PeerId], payload: bytes, lane: Lane) -> None:
        """Queue one payload for each of these peers."""

    def dial(self, peer: PeerId, address: str) -> None:
        """Try to open a link."""

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """Close a link."""


class Clock:
    """Read both clocks, in milliseconds; `now_ms` begins at 0 and never goes back."""

    def __init__(self) -> None:
        self._started_ns = time.monotonic_ns()

    def now_ms(self) -> int:
        """Return the milliseconds since this object was made."""
        return (time.monotonic_ns() - self._started_ns) // 1_000_000

    def wall_ms(self) -> int:
        """Return Unix time, which may jump."""
        return time.time_ns() // 1_000_000


class Driver:
    """Run one machine. `wire` is set before the first effect is taken."""

    wire: Wire

    def __init__(
        self,
        machine: Machine,
        store: Store,
        announcer: Announcer,
        *,
        snapshots: Snapshots,
        verify: Verifier,
        clock: Clock,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self.events_taken = 0
        self.barrier = Barrier(store, self)
        self._keeper = Keeper(
            snapshots, store, answer=self._answer, feed=self.feed, wall_ms=clock.wall_ms
        )
        self.judge = Judge(verify, before_slice=self._turn, answer=self._verified)
        self._machine = machine
        self._store = store
        self._announcer = announcer
        self._clock = clock
        self._inbox: deque[Event] = deque()
        self._turn_is_due = False
        self._is_stopping = False
        self._unannounced = 0  # blocks that the machine calls final and nobody was told of
        self._announced = asyncio.Event()
        self._reading_thread = ThreadPoolExecutor(1, "reading")
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._requests = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Any]] = {}

    # What the world calls.

    def begin(self, effects: Sequence[Effect]) -> None:
        """Carry out what the machine asked for at its start."""
        self._accept(effects)
        self.barrier.pump()

    def feed(self, event: Event) -> None:
        """Hand an event to the machine, soon and in order."""
        self._inbox.append(event)
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    async def submit(self, raws: tuple[bytes, ...]) -> Sequence[TxOutcome]:
        """Hand transactions to the machine and wait for what becomes of them."""
        if self.barrier.disk_failure:
            # The machine's answer would wait behind the write that the disk does not take.
            message = f"the disk of this node cannot be written: {self.barrier.disk_failure}"
            return [TxOutcome(TxId(b""), Code.E_UNAVAILABLE, message=message) for _ in raws]
        outcomes: Sequence[TxOutcome] = await self.ask(
            lambda request, wall_ms: Submitted(wall_ms=wall_ms, request=request, raws=raws)
        )
        return outcomes

    def block(self, height: Height) -> FinalBlock | None:
        """Return a block that is final and written."""
        return self._store.block(height)

    async def settled(self) -> None:
        """Wait until what the machine calls final is written, so that readers see one height.

        Returns at once where it is, and while the disk takes nothing: reads go on then.
        """
        if self._unannounced and not self.barrier.disk_failure:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_S):
                    await self._announced.wait()

    async def ask(self, event_of: Callable[[int, int], Event]) -> Any:
        """Hand the machine an event that it owes an answer to, and wait for that."""
        request = next(self._requests)
        reply = self._replies[request] = self._loop.create_future()
        try:
            self.feed(event_of(request, self._clock.wall_ms()))
            return await reply
        finally:
            del self._replies[request]

    async def stop(self) -> None:
        """Take no more events, let the disk finish what it has, and be durable."""
        self._is_stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self.judge.close()
        self._keeper.close()
        self._reading_thread.shutdown(wait=False, cancel_futures=True)
        await self.barrier.close()

    # Events in.

    def _turn(self) -> None:
        """Let the machine take everything that has arrived."""
        self._turn_is_due = False
        while self._inbox and not self._is_stopping:
            event = self._inbox.popleft()
            self.events_taken += 1
            self._accept(self._machine.step(event, now_ms=self._clock.now_ms()))
            # After each event, so that what one peer asked for meets the bound of its queue.
            self.barrier.pump()

    def _accept(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Committed):
                self._announcer.foretell(effect)
                self._unannounced += 1
                self._announced.clear()
        self.barrier.extend(effects)

    # What the barrier calls.

    def carry_out(self, effect: Effect) -> None:
        """Carry out an effect that stores nothing."""
        match effect:
            case Send(peers=peers, payload=payload, lane=lane):
                self.wire.send(peers, payload, lane)
            case SetTimer():
                self._set_timer(effect)
            case Verify():
                self.judge.add(effect)
            case ReadBlocks():
                self._read_blocks(effect)
            case Reply(request=request, outcomes=outcomes):
                self._answer(request, outcomes)
            case Halt(app_version=version):
                self.fail(UpgradeNeededError(version, known=APP_VERSION))
            case Answer(request=request, answer=answer):
                self._answer(request, answer)
            case Committed():
                self._announcer.committed(effect)
                self._unannounced -= 1
                if not self._unannounced:
                    self._announced.set()
            case Delivered() | Expired() | Note():
                self._announcer.take(effect)
            case Dial(peer=peer, address=address):
                self.wire.dial(peer, address)
            case Disconnect(peer=peer, reason=reason):
                self.wire.disconnect(peer, reason)
            case _:
                is_kept = self._keeper.take(effect)
                assert is_kept, f"an effect that nobody carries out: {effect}"

    def disk_failed(self, reason: str) -> None:
        """Tell the machine that it cannot be made durable now."""
        # Logged here: the machine's own note waits behind the very write that fails.
        log.error("disk.unavailable", extra={"reason": reason})
        self._announced.set()
        self.feed(DiskFailed(wall_ms=self._clock.wall_ms(), reason=reason))

    def disk_healed(self) -> None:
        """Tell the machine that it can be made durable again."""
        log.info("disk.available")
        self.feed(DiskHealed(wall_ms=self._clock.wall_ms()))

    def pending_raws(self) -> Sequence[bytes]:
        """Return every transaction that was accepted and is not final yet."""
        return list(self._machine.pending_raws())

    def fail(self, error: BaseException) -> None:
        """End the process because of this; the first failure counts."""
        if not self.failed.done():
            self.failed.set_exception(error)

    # Single effects.

    def _answer(self, request: int, answer: object) -> None:
        reply = self._replies.get(request)
        if reply is not None and not reply.done():
            reply.set_result(answer)

    def _set_timer(self, effect: SetTimer) -> None:
        old = self._timers.pop(effect.timer.name, None)
        if old is not None:
            old.cancel()
        if not self._is_stopping:
            delay_s = effect.delay_ms / 1000
            self._timers[effect.timer.name] = self._loop.call_later(delay_s, self._fire, effect)

    def _fire(self, effect: SetTimer) -> None:
        del self._timers[effect.timer.name]
        self.feed(TimerFired(wall_ms=self._clock.wall_ms(), timer=effect.timer))

    def _verified(self, batch: int, good: tuple[bool, ...]) -> None:
        self.feed(Verified(wall_ms=self._clock.wall_ms(), batch=batch, good=good))

    def _read_blocks(self, effect: ReadBlocks) -> None:
        def answer(done: asyncio.Future[tuple[FinalBlock, ...]]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is not None:
                self.fail(error)
                return
            wall_ms = self._clock.wall_ms()
            self.feed(BlocksRead(wall_ms=wall_ms, peer=effect.peer, blocks=done.result()))

        if not self._is_stopping:
            read = self._store.read_blocks
            self._loop.run_in_executor(
                self._reading_thread, read, effect.first, effect.last
            ).add_done_callback(answer)
