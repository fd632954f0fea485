"""How effects are carried out strictly in order, although some of them have to wait for the disk.

Everything that is to be stored is written in the disk thread as far as it must be durable; effects
behind it wait, the event loop does not. A disk that takes nothing for a while is tried again; one
that fails ends the node. Do not add what effects mean: that is the driver's.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, get_args

from aitbc_node.events import AppendBase, Effect, Persist, Storable
from aitbc_node.storage.disk import DiskUnavailableError
from aitbc_node.storage.store import Store

RETRY_S = 1.0
FLUSH_S = 2.0

_STORABLE = frozenset(get_args(Storable))
"""Looked up for each effect: `isinstance` asks nine classes, 0.6 us for one that stores nothing."""


class Carrier(Protocol):
    """Do what is behind the barrier, and hear about the disk."""

    def carry_out(self, effect: Effect) -> None:
        """Carry out an effect that stores nothing."""

    def disk_failed(self, reason: str) -> None:
        """Hear that the disk takes nothing; it is being tried again."""

    def disk_healed(self) -> None:
        """Hear that the disk takes everything again."""

    def pending_raws(self) -> Sequence[bytes]:
        """Return every transaction that was accepted and is not final yet."""

    def fail(self, error: BaseException) -> None:
        """End the node."""


class Barrier:
    """Queue effects and carry them out; all calls come from the event loop."""

    def __init__(self, store: Store, carrier: Carrier) -> None:
        self.disk_failure = ""
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._carrier = carrier
        self._effects: deque[Effect] = deque()
        self._thread = ThreadPoolExecutor(1, "disk")
        self._is_waiting = False
        self._is_closed = False
        self._is_broken = False

    def __len__(self) -> int:
        return len(self._effects)

    def extend(self, effects: Sequence[Effect]) -> None:
        """Put effects behind those that are here; nothing is carried out yet."""
        self._effects.extend(effects)

    def pump(self) -> None:
        """Carry out effects until one has to wait for the disk."""
        while self._effects and not self._is_waiting and not self._is_closed:
            if type(self._effects[0]) in _STORABLE:
                self._store_next()
            else:
                self._carrier.carry_out(self._effects.popleft())
        # With effects behind it, what the machine knows might be ahead of what is written.
        is_idle = not (self._effects or self._is_waiting or self._is_closed)
        if is_idle and self._store.is_journal_long:
            raws = self._carrier.pending_raws()
            self._in_thread(lambda: self._rewrite_journal(raws))

    async def close(self) -> None:
        """Carry out nothing more; let the disk finish and make what is written durable."""
        self._is_closed = True
        # After a failed sync another one could succeed about nothing, so there is none.
        if not self.disk_failure and not self._is_broken:
            # The disk thread has one thing at a time, so this also waits for what it is doing.
            flushed = self._loop.run_in_executor(self._thread, self._store.flush)
            with contextlib.suppress(TimeoutError, DiskUnavailableError):
                async with asyncio.timeout(FLUSH_S):
                    await flushed
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _store_next(self) -> None:
        """Store all that comes next in one go; in the disk thread if it has to be synced."""
        batch: list[Storable] = []
        for effect in self._effects:
            is_base = isinstance(effect, AppendBase)
            if not isinstance(effect, Storable) or (is_base and batch):
                break
            batch.append(effect)
            if is_base:
                break  # alone, so that it is done in this thread, in which others read the log
        if any(isinstance(effect, Persist) for effect in batch):
            self._in_thread(lambda: self._write(batch))
        else:
            self._written(self._write(batch))

    def _in_thread(self, write: Callable[[], tuple[int, str]]) -> None:
        self._is_waiting = True
        self._loop.run_in_executor(self._thread, write).add_done_callback(self._on_written)

    def _write(self, batch: Sequence[Storable]) -> tuple[int, str]:
        """Write in order; return how many were written and why the next was not."""
        for count, effect in enumerate(batch):
            try:
                self._store.run(effect)
            except DiskUnavailableError as error:
                return count, error.message
        return len(batch), ""

    def _on_written(self, job: asyncio.Future[tuple[int, str]]) -> None:
        self._is_waiting = False
        if job.cancelled():
            return
        error = job.exception()
        if error is not None:
            self._is_broken = True
            self._carrier.fail(error)
            return
        self._written(job.result())
        self.pump()

    def _written(self, done: tuple[int, str]) -> None:
        count, failure = done
        for _ in range(count):
            effect = self._effects.popleft()
            assert isinstance(effect, Storable), "only what can be stored was stored"
        if failure:
            self._wait_for_disk(failure)
        elif self.disk_failure:
            self.disk_failure = ""
            self._carrier.disk_healed()

    def _rewrite_journal(self, raws: Sequence[bytes]) -> tuple[int, str]:
        # The old journal is as good as before, only longer, so a full disk fails nothing here.
        with contextlib.suppress(DiskUnavailableError):
            self._store.rewrite_journal(raws)
        return 0, ""

    def _wait_for_disk(self, failure: str) -> None:
        self._is_waiting = True
        is_news = not self.disk_failure
        self.disk_failure = failure
        if is_news:
            self._carrier.disk_failed(failure)
        self._loop.call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._is_waiting = False
        self.pump()
