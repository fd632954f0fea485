"""Be one worker of the swarm: an order comes in as a JSON line, answers go out as JSON lines.

Always a process of its own: locust patches everything that knows of sockets or time.
"""

import os
import sys
from typing import Any, BinaryIO

import gevent
import locust  # noqa: F401 - before everything else, or its patches come too late
import msgspec
from gevent.fileobject import FileObjectPosix

from aitbc_load.judging import PASS, judge
from aitbc_load.orders import Funded, Funds, Order, Second, Terms
from aitbc_load.results import Result
from aitbc_load.swarm.concluding import conclude, facts_of, recent_ms
from aitbc_load.swarm.dispatching import Dispatcher
from aitbc_load.swarm.listening import Listener
from aitbc_load.swarm.running import Run, SwarmError

STOP = b"stop"


class Talk:
    """Speak with whoever started this process."""

    def __init__(self, words: BinaryIO, answers: BinaryIO) -> None:
        self._words = words
        self._answers = answers

    def hear(self) -> bytes:
        """Wait for a line; nothing at the end."""
        return self._words.readline()

    def tell(self, **named: Any) -> None:
        """Say one thing by its name."""
        self._answers.write(msgspec.json.encode(named) + b"\n")
        self._answers.flush()

    def money(self, asked: Funds) -> Terms:
        """Ask for money and wait until it is there. Raises: SwarmError when nobody gives any."""
        self.tell(funds=asked)
        line = self.hear()
        if not line.startswith(b"{"):
            raise SwarmError("it was stopped before it began")
        return msgspec.json.decode(line, type=Funded).terms


class View:
    """Tell each second what happened in it."""

    def __init__(self, run: Run, talk: Talk) -> None:
        self._run = run
        self._talk = talk
        self._before = (0, 0, 0, 0)

    def tell(self, dispatcher: Dispatcher, listener: Listener) -> None:
        """Tell one second."""
        books, taken = self._run.books, dispatcher.taken
        sums = books.sums()
        now = (taken.offered, sums.accepted, sums.final, taken.refused)
        offered, accepted, final, refused = (n - b for n, b in zip(now, self._before, strict=True))
        self._before = now
        p50, p95, p99 = recent_ms(books.take_recent())
        lag_us = taken.lag.percentile_us(99)
        second = Second(
            at_s=round(dispatcher.now_s(), 3),
            offered=offered,
            accepted=accepted,
            final=final,
            refused=refused,
            pending=sums.pending,
            height=listener.height,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            lag_p99_ms=None if lag_us is None else lag_us / 1000,
            verdict=_so_far(self._run, dispatcher),
        )
        self._talk.tell(second=second)


def main() -> int:
    """Do what the first line orders; its end, or a line that says so, stops the run early."""
    words = FileObjectPosix(0, "rb")
    answers = os.fdopen(os.dup(1), "wb")
    line = words.readline()
    if not line:
        return 0  # nobody has anything to be done
    order = msgspec.json.decode(line, type=Order)
    # Whatever a library prints must not stand between our answers.
    log = os.open(f"{order.folder}/swarm.log", os.O_WRONLY | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    talk = Talk(words, answers)
    try:
        talk.tell(result=_run(order, talk))
    except SwarmError as wrong:
        talk.tell(error=str(wrong))
        return 1
    return 0


def _run(order: Order, talk: Talk) -> Result:
    run = Run(order, talk.money)
    ready = run.prepare()
    talk.tell(signed={"count": len(ready.store), "took_s": round(ready.signing_s, 3)})
    ear = gevent.spawn(_listen_for_stop, talk, run)
    dispatcher = run.perform(ready, View(run, talk).tell)
    ear.kill()
    return conclude(run, ready, dispatcher)


def _listen_for_stop(talk: Talk, run: Run) -> None:
    while (line := talk.hear()) and line.strip() != STOP:
        pass
    run.stop()


def _so_far(run: Run, dispatcher: Dispatcher) -> str:
    judgement = judge(facts_of(run, dispatcher))
    return judgement.verdict if judgement.verdict == PASS else judgement.why[0]


if __name__ == "__main__":
    sys.exit(main())
