"""Who writes a snapshot while the node goes on?

A thread of its own, one snapshot at a time: neither the loop nor the barrier waits for it. What a
snapshot is worth after a crash is `resuming.py`'s question.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aitbc_node.codes import Code, Refusal
from aitbc_node.errors import DiskError
from aitbc_node.events import SaveSnapshot, Snapshotted
from aitbc_node.storage.snapshots import Snapshots

log = logging.getLogger(__name__)


class Keeper:
    """Write snapshots; `answer` is told the request and what came of it."""

    def __init__(
        self, snapshots: Snapshots, answer: Callable[[int, Snapshotted | Refusal], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._snapshots = snapshots
        self._answer = answer
        self._thread = ThreadPoolExecutor(1, "keeping")
        self._is_busy = False

    def keep(self, wanted: SaveSnapshot) -> None:
        """Begin to write one, or refuse while another is being written."""
        if self._is_busy:
            self._answer(wanted.request, Refusal(Code.E_CONFLICT, "", "one is being written"))
            return
        self._is_busy = True
        job = self._loop.run_in_executor(self._thread, self._snapshots.save, wanted)
        job.add_done_callback(lambda done: self._kept(wanted, done))

    def close(self) -> None:
        """Begin nothing more; what is under way appears whole or not at all."""
        self._thread.shutdown(wait=False, cancel_futures=True)

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
