"""How does a worker speak with whoever started it? In lines of JSON, under a beat each second.

One that has a coordinator hears it beat from its first moment to its last: the beat is answered, so
that a frozen worker is told from a quiet one, and a worker that hears none for `DEAF_S` ends at
once: load that nobody hears of any more is nobody's. Do not add what is said.
"""

import os
import time
from typing import Any, BinaryIO

import gevent
import msgspec
from gevent.lock import Semaphore
from gevent.queue import Queue

from aitbc_load.orders import Funded, Funds, Terms
from aitbc_load.swarm.running import SwarmError

BEAT = b"beat"
BEAT_S = 1.0
DEAF_S = 5.0
DEAF = 3
"""How a worker ends that hears nobody."""
_LOOK_S = 0.5
_CATCH_UP_S = 0.2


class Talk:
    """Speak with whoever started this process."""

    def __init__(self, words: BinaryIO, answers: BinaryIO) -> None:
        self._words = words
        self._answers = answers
        self._turn = Semaphore()
        self._heard: Queue[bytes] = Queue()
        self._heard_at = time.monotonic()
        self._is_part = False
        self._ear: gevent.Greenlet | None = None

    def begin(self, *, is_part: bool) -> None:
        """Listen from now on; a part ends with its coordinator."""
        self._is_part = is_part
        self._heard_at = time.monotonic()
        self._ear = gevent.spawn(self._listen)
        if is_part:
            gevent.spawn(self._mind_the_beat)

    def hear(self) -> bytes:
        """Wait for a line that is no beat; nothing at the end."""
        line: bytes = self._heard.get()
        return line

    def tell(self, **named: Any) -> None:
        """Say one thing by its name."""
        with self._turn:  # a pipe that is full lets others go on meanwhile
            self._answers.write(msgspec.json.encode(named) + b"\n")
            self._answers.flush()

    def money(self, asked: Funds) -> Terms:
        """Ask for money and wait until it is there. Raises: SwarmError when nobody gives any."""
        self.tell(funds=asked)
        line = self.hear()
        if not line.startswith(b"{"):
            raise SwarmError("it was stopped before it began")
        return msgspec.json.decode(line, type=Funded).terms

    def _listen(self) -> None:
        while line := self._words.readline():
            self._heard_at = time.monotonic()
            if line.strip() != BEAT:
                self._heard.put(line)
            elif self._is_part:
                self.tell(alive={})
        if self._is_part:
            os._exit(DEAF)
        self._heard.put(b"")

    def _mind_the_beat(self) -> None:
        """End where nothing comes; what came while we were held up ourselves is read first."""
        while True:
            gevent.sleep(_LOOK_S)
            if self._is_late():
                gevent.sleep(_CATCH_UP_S)
                if self._is_late():
                    os._exit(DEAF)

    def _is_late(self) -> bool:
        return time.monotonic() - self._heard_at > DEAF_S
