"""How the machine's effects become files, frames and timers: the only event loop of the node.

Reads the clocks, feeds the machine one event at a time and carries out its effects strictly in
order. A `Persist` is a barrier: while the disk thread works, effects behind it wait, events do not.
Signatures are judged in short slices between everything else. Do not decide anything here.
"""

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import msgspec

from aitbc_node.announcing import Announcer
from aitbc_node.blocks import FinalBlock
from aitbc_node.codes import Code
from aitbc_node.crypto import Verifier
from aitbc_node.events import (
    AppendBlock,
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
    Expired,
    Note,
    Persist,
    ReadBlocks,
    Reply,
    SaveSignState,
    Send,
    SetTimer,
    Submitted,
    TimerFired,
    TxOutcome,
    Verified,
    Verify,
)
from aitbc_node.machine import Machine
from aitbc_node.metrics import Counters
from aitbc_node.storage.disk import DiskUnavailableError
from aitbc_node.storage.store import Storable, Store
from aitbc_node.types import Height, PeerId, TxId

VERIFY_SLICE_NS = 4_000_000
DISK_RETRY_S = 1.0
DRAIN_S = 2.0

_STORABLE = (SaveSignState, AppendBlock, AppendCertificate, AppendTransactions)


class Wire(Protocol):
    """Be the links, as far as the driver is concerned."""

    def send(self, peers: Iterable[PeerId], payload: bytes) -> None:
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


class _VerifyJob(msgspec.Struct):
    """Be a batch of signatures on its way; `good` grows slice by slice."""

    effect: Verify
    good: list[bool]


class Driver:
    """Run one machine. `wire` is set before the first effect is taken."""

    wire: Wire

    def __init__(
        self,
        machine: Machine,
        store: Store,
        announcer: Announcer,
        *,
        verify: Verifier,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._machine = machine
        self._store = store
        self._announcer = announcer
        self._verify = verify
        self._clock = clock
        self._counters = counters
        self._inbox: deque[Event] = deque()
        self._turn_is_due = False
        self._is_stopping = False
        self._effects: deque[Effect] = deque()
        self._disk_thread = ThreadPoolExecutor(1, "disk")
        self._reading_thread = ThreadPoolExecutor(1, "reading")
        self._is_storing = False
        self._disk_failure = ""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._jobs: deque[_VerifyJob] = deque()
        self._slice_is_due = False
        self._requests = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Sequence[TxOutcome]]] = {}

    # What the world calls.

    def begin(self, effects: Sequence[Effect]) -> None:
        """Carry out what the machine asked for at its start."""
        self._accept(effects)
        self._pump()

    def feed(self, event: Event) -> None:
        """Hand an event to the machine, soon and in order."""
        self._inbox.append(event)
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    async def submit(self, raws: tuple[bytes, ...]) -> Sequence[TxOutcome]:
        """Hand transactions to the machine and wait for what becomes of them."""
        if self._disk_failure:
            # The machine's answer would wait behind the write that the disk does not take.
            message = f"the disk of this node cannot be written: {self._disk_failure}"
            code = Code.E_UNAVAILABLE
            return [TxOutcome(TxId(b""), code, message=message) for _ in raws]
        request = next(self._requests)
        reply: asyncio.Future[Sequence[TxOutcome]] = self._loop.create_future()
        self._replies[request] = reply
        try:
            self.feed(Submitted(wall_ms=self._clock.wall_ms(), request=request, raws=raws))
            return await reply
        finally:
            del self._replies[request]

    def fail(self, error: BaseException) -> None:
        """End the process because of this; the first failure counts."""
        if not self.failed.done():
            self.failed.set_exception(error)

    async def stop(self) -> None:
        """Take no more events, let the disk finish what it has, and be durable."""
        self._is_stopping = True
        for timer in self._timers.values():
            timer.cancel()
        if not self._disk_failure:
            # The disk thread has one thing at a time, so this also waits for what it is doing.
            flushed = self._loop.run_in_executor(self._disk_thread, self._store.flush)
            with contextlib.suppress(TimeoutError, DiskUnavailableError):
                async with asyncio.timeout(DRAIN_S):
                    await flushed
        self._disk_thread.shutdown(wait=False, cancel_futures=True)
        self._reading_thread.shutdown(wait=False, cancel_futures=True)

    # Events in.

    def _turn(self) -> None:
        self._turn_is_due = False
        while self._inbox and not self._is_stopping:
            event = self._inbox.popleft()
            self._counters.events += 1
            self._accept(self._machine.step(event, now_ms=self._clock.now_ms()))
        self._pump()

    def _accept(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            # A reader must find what the machine already calls final, however slow the disk is.
            if isinstance(effect, Committed):
                self._announcer.foretell(effect)
            elif isinstance(effect, Expired):
                self._announcer.foretell_expired(effect)
        self._effects.extend(effects)

    # Effects out.

    def _pump(self) -> None:
        """Carry out effects until one has to wait for the disk."""
        effects = self._effects
        while effects and not self._is_storing:
            if isinstance(effects[0], _STORABLE):
                self._store_next()
            else:
                self._carry_out(effects.popleft())
        self._counters.effects_waiting = len(effects)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(peers=peers, payload=payload):
                self.wire.send(peers, payload)
            case SetTimer():
                self._set_timer(effect)
            case Verify():
                self._jobs.append(_VerifyJob(effect, []))
                self._plan_slice()
            case ReadBlocks():
                self._read_blocks(effect)
            case Reply(request=request, outcomes=outcomes):
                reply = self._replies.get(request)
                if reply is not None and not reply.done():
                    reply.set_result(outcomes)
            case Committed():
                self._announcer.committed(effect)
            case Expired():
                self._announcer.expired(effect)
            case Note():
                self._announcer.note(effect)
            case Dial(peer=peer, address=address):
                self.wire.dial(peer, address)
            case Disconnect(peer=peer, reason=reason):
                self.wire.disconnect(peer, reason)
            case _:
                raise AssertionError(f"an effect that nobody carries out: {effect}")

    # The disk.

    def _store_next(self) -> None:
        """Write everything that can be written now; in the disk thread if it has to be synced."""
        batch: list[Storable] = []
        for effect in self._effects:
            if not isinstance(effect, _STORABLE):
                break
            batch.append(effect)
        if not any(isinstance(effect, Persist) for effect in batch):
            self._stored(self._store_batch(batch))
            return
        self._is_storing = True
        job = self._loop.run_in_executor(self._disk_thread, self._store_batch, batch)
        job.add_done_callback(self._on_stored)

    def _store_batch(self, batch: Sequence[Storable]) -> tuple[int, str]:
        """Write in order; return how many were written and why the next was not."""
        for count, effect in enumerate(batch):
            try:
                self._store.run(effect)
            except DiskUnavailableError as error:
                return count, error.message
        return len(batch), ""

    def _on_stored(self, job: asyncio.Future[tuple[int, str]]) -> None:
        self._is_storing = False
        if job.cancelled():
            return
        error = job.exception()
        if error is not None:
            self.fail(error)
            return
        self._stored(job.result())
        self._pump()

    def _stored(self, done: tuple[int, str]) -> None:
        count, failure = done
        for _ in range(count):
            self._announcer.stored(self._effects.popleft())
        if failure:
            self._wait_for_disk(failure)
        elif self._disk_failure:
            self._disk_failure = ""
            self.feed(DiskHealed(wall_ms=self._clock.wall_ms()))
        elif self._store.is_journal_long:
            self._rewrite_journal()

    def _wait_for_disk(self, failure: str) -> None:
        self._is_storing = True
        if not self._disk_failure:
            self.feed(DiskFailed(wall_ms=self._clock.wall_ms(), reason=failure))
        self._disk_failure = failure
        self._loop.call_later(DISK_RETRY_S, self._retry_disk)

    def _retry_disk(self) -> None:
        self._is_storing = False
        if not self._is_stopping:
            self._pump()

    def _rewrite_journal(self) -> None:
        raws = [entry.content.raw for entry in self._machine.view.mempool.waiting()]
        self._is_storing = True
        job = self._loop.run_in_executor(self._disk_thread, self._try_rewrite, raws)
        job.add_done_callback(self._on_stored)

    def _try_rewrite(self, raws: Sequence[bytes]) -> tuple[int, str]:
        try:
            self._store.rewrite_journal(raws)
        except DiskUnavailableError as error:
            return 0, error.message
        return 0, ""

    def _read_blocks(self, effect: ReadBlocks) -> None:
        job = self._loop.run_in_executor(
            self._reading_thread, self._store.read_blocks, effect.first, effect.last
        )

        def answer(done: asyncio.Future[tuple[FinalBlock, ...]]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is not None:
                self.fail(error)
            else:
                wall_ms = self._clock.wall_ms()
                self.feed(BlocksRead(wall_ms=wall_ms, peer=effect.peer, blocks=done.result()))

        job.add_done_callback(answer)

    def block(self, height: Height) -> FinalBlock | None:
        """Return a final block, also one that is not on disk yet."""
        return self._announcer.unstored(height) or self._store.block(height)

    # Timers.

    def _set_timer(self, effect: SetTimer) -> None:
        old = self._timers.pop(effect.timer.name, None)
        if old is not None:
            old.cancel()
        if not self._is_stopping:
            self._timers[effect.timer.name] = self._loop.call_later(
                effect.delay_ms / 1000, self._fire, effect
            )

    def _fire(self, effect: SetTimer) -> None:
        del self._timers[effect.timer.name]
        self.feed(TimerFired(wall_ms=self._clock.wall_ms(), timer=effect.timer))

    # Signatures.

    def _plan_slice(self) -> None:
        if self._jobs and not self._slice_is_due and not self._is_stopping:
            self._slice_is_due = True
            self._loop.call_soon(self._verify_slice)

    def _verify_slice(self) -> None:
        """Judge signatures for a few milliseconds; what came from peers meanwhile goes first."""
        self._slice_is_due = False
        if self._turn_is_due:
            self._turn()
        deadline_ns = time.monotonic_ns() + VERIFY_SLICE_NS
        while self._jobs and time.monotonic_ns() < deadline_ns:
            job = self._jobs[0]
            for check in itertools.islice(job.effect.checks, len(job.good), None):
                job.good.append(self._verify(check.key, check.message, check.signature))
                self._counters.signatures_judged += 1
                if time.monotonic_ns() >= deadline_ns:
                    break
            if len(job.good) == len(job.effect.checks):
                self._jobs.popleft()
                wall_ms = self._clock.wall_ms()
                self.feed(Verified(wall_ms=wall_ms, batch=job.effect.batch, good=tuple(job.good)))
        self._plan_slice()
