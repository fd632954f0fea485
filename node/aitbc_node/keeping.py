"""Who writes a snapshot, or reads one for a peer, while the node goes on?

A thread of its own, one thing at a time: neither the loop nor the barrier waits for it. What a
snapshot is worth is `resuming.py`'s question.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aitbc_node.codes import Code, Refusal
from aitbc_node.errors import DiskError
from aitbc_node.events import (
    Effect,
    Event,
    ForgetGathered,
    GatherPiece,
    JudgeSnapshot,
    ReadOffer,
    ReadPiece,
    SaveSnapshot,
    Snapshotted,
)
from aitbc_node.resuming import Lending, carried_out
from aitbc_node.storage.snapshots import Snapshots
from aitbc_node.storage.store import Store

log = logging.getLogger(__name__)


class Keeper:
    """Write snapshots; `answer` is told the request and what came of it.

    What the machine wants of them otherwise is answered by an event, which `feed` takes.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        store: Store,
        *,
        answer: Callable[[int, Snapshotted | Refusal], None],
        feed: Callable[[Event], None],
        wall_ms: Callable[[], int],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._snapshots = snapshots
        self._store = store
        self._answer = answer
        self._feed = feed
        self._wall_ms = wall_ms
        self._thread = ThreadPoolExecutor(1, "keeping")
        self._is_busy = False

    def take(self, effect: Effect) -> bool:
        """Do one thing with the files, behind everything else; False when it is not about them."""
        match effect:
            case SaveSnapshot():
                self._keep(effect)
            case ReadOffer() | ReadPiece() | GatherPiece() | ForgetGathered() | JudgeSnapshot():
                self._lend(effect)
            case _:
                return False
        return True

    def close(self) -> None:
        """Begin nothing more; what is under way appears whole or not at all."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _keep(self, wanted: SaveSnapshot) -> None:
        """Begin to write one, or refuse while another is being written."""
        if self._is_busy:
            self._answer(wanted.request, Refusal(Code.E_CONFLICT, "", "one is being written"))
            return
        self._is_busy = True
        job = self._loop.run_in_executor(self._thread, self._snapshots.save, wanted)
        job.add_done_callback(lambda done: self._kept(wanted, done))

    def _lend(self, effect: Lending) -> None:
        job = self._loop.run_in_executor(
            self._thread,
            lambda: carried_out(effect, self._snapshots, self._store, wall_ms=self._wall_ms),
        )
        job.add_done_callback(self._lent)

    def _lent(self, job: asyncio.Future[Event | None]) -> None:
        if not job.cancelled() and (event := job.result()) is not None:
            self._feed(event)

    def _kept(self, wanted: SaveSnapshot, job: asyncio.Future[int]) -> None:
        self._is_busy = False
        if job.cancelled():
            return
        match job.exception():
            case None:
                log.info("snapshot.kept", extra={"height": wanted.height, "bytes": job.result()})
                self._answer(wanted.request, Snapshotted(wanted.height, job.result()))
            case DiskError(message=message):
                # The log has everything, so a snapshot that fails ends nothing.
                log.warning("snapshot.failed", extra={"height": wanted.height, "reason": message})
                self._answer(wanted.request, Refusal(Code.E_UNAVAILABLE, "", message))
            case BaseException() as error:
                raise error
