"""How signatures are judged without keeping anybody waiting: a few milliseconds at a time.

Verifying inline in slices is the fastest that one process of several on a host can do: a thread
would have to fight for the interpreter, because the verifier does not let go of it. Do not add
rules of verification: those are `crypto.verify`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from aitbc_node.crypto import Verifier
from aitbc_node.events import SignatureCheck, Verify

SLICE_NS = 4_000_000


class Judge:
    """Work off batches of signatures, oldest first.

    `before_slice` lets what arrived meanwhile go first; `answer` takes a batch and its verdicts.
    """

    def __init__(
        self,
        verify: Verifier,
        *,
        before_slice: Callable[[], None],
        answer: Callable[[int, tuple[bool, ...]], None],
    ) -> None:
        self.judged = 0
        self._loop = asyncio.get_running_loop()
        self._verify = verify
        self._before_slice = before_slice
        self._answer = answer
        self._batches: deque[Verify] = deque()
        self._verdicts: list[bool] = []  # of the oldest batch, as far as it is judged
        self._slice_is_due = False

    def add(self, batch: Verify) -> None:
        """Judge a batch when there is time for it."""
        self._batches.append(batch)
        self._plan()

    def close(self) -> None:
        """Judge nothing more."""
        self._batches.clear()

    def _plan(self) -> None:
        if self._batches and not self._slice_is_due:
            self._slice_is_due = True
            self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        self._slice_is_due = False
        self._before_slice()
        deadline_ns = time.monotonic_ns() + SLICE_NS
        while self._batches:
            batch = self._batches[0]
            if len(self._verdicts) == len(batch.checks):
                self._batches.popleft()
                verdicts, self._verdicts = tuple(self._verdicts), []
                self._answer(batch.batch, verdicts)
            elif time.monotonic_ns() < deadline_ns:
                self._verdicts.append(self._holds(batch.checks[len(self._verdicts)]))
            else:
                break
        self._plan()

    def _holds(self, check: SignatureCheck) -> bool:
        self.judged += 1
        return self._verify(check.key, check.message, check.signature)
