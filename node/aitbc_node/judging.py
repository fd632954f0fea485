"""How signatures are judged without keeping anybody waiting: a few milliseconds at a time.

Verifying inline in slices is the fastest that one process of several on a host can do: a thread
would have to fight for the interpreter, because the verifier does not let go of it. Do not add
rules of verification: those are `crypto.verify`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from aitbc_node.crypto import Verifier
from aitbc_node.events import SignatureCheck, Verify

SLICE_NS = 4_000_000
AT_ONCE = 16
"""So many are judged between two looks at the clock, 0.6 ms: one by one costs 0.13 us more each."""


class _Job(msgspec.Struct):
    """Be a batch on its way; `verdicts` grow slice by slice."""

    batch: Verify
    verdicts: list[bool]


class Judge:
    """Work off batches of signatures, urgent ones first, then oldest first.

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
        self._urgent: deque[_Job] = deque()
        self._patient: deque[_Job] = deque()
        self._slice_is_due = False

    def add(self, batch: Verify) -> None:
        """Judge a batch when there is time for it."""
        (self._urgent if batch.urgent else self._patient).append(_Job(batch, []))
        self._plan()

    def close(self) -> None:
        """Judge nothing more."""
        self._urgent.clear()
        self._patient.clear()

    def _plan(self) -> None:
        if (self._urgent or self._patient) and not self._slice_is_due:
            self._slice_is_due = True
            self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        self._slice_is_due = False
        self._before_slice()
        deadline_ns = time.monotonic_ns() + SLICE_NS
        while jobs := self._urgent or self._patient:
            job = jobs[0]
            checks, verdicts = job.batch.checks, job.verdicts
            if len(verdicts) == len(checks):
                jobs.popleft()
                self._answer(job.batch.batch, tuple(verdicts))
            elif time.monotonic_ns() < deadline_ns:
                verdicts += self._judged(checks[len(verdicts) : len(verdicts) + AT_ONCE])
            else:
                break
        self._plan()

    def _judged(self, checks: Sequence[SignatureCheck]) -> list[bool]:
        self.judged += len(checks)
        verify = self._verify
        return [verify(check.key, check.message, check.signature) for check in checks]
