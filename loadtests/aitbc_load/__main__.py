"""Be one worker of the swarm: an order comes in as a JSON line, answers go out as JSON lines.

Always a process of its own: locust patches everything that knows of sockets or time.
"""

import gc
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import gevent
import locust  # noqa: F401 - before everything else, or its patches come too late
import msgspec
from gevent.fileobject import FileObjectPosix

from aitbc_load.hdrlog import TO_FINAL, Log
from aitbc_load.histograms import Latencies
from aitbc_load.judging import PASS, judge
from aitbc_load.letters import LETTER, Letter, Passed
from aitbc_load.orders import KEPT, Begin, Clock, Cover, Kept, Order, Second
from aitbc_load.results import Result
from aitbc_load.swarm.concluding import conclude, facts_of, recent_ms
from aitbc_load.swarm.coordinating import coordinate
from aitbc_load.swarm.dispatching import Dispatcher
from aitbc_load.swarm.listening import Listener
from aitbc_load.swarm.minding import PING, STOP
from aitbc_load.swarm.running import Run, SwarmError
from aitbc_load.swarm.talking import Talk

KEPT_MAX = 8 * 1024 * 1024
"""Of a file that goes to the coordinator; what a worker of some hours writes is a tenth of it."""
LOG = "swarm.log"
NO_ORDER = 64
"""How a worker ends whose first line is none that it knows: somebody started it by hand."""


class View:
    """Tell each second what happened in it."""

    def __init__(self, run: Run, talk: Talk, log: Log) -> None:
        self._run = run
        self._talk = talk
        self._log = log
        self._before = (0, 0, 0, 0)
        self._handed_in: Counter[str] = Counter()
        self._at_s = 0.0
        self._began = self._told = time.monotonic()

    def tell(self, dispatcher: Dispatcher, listener: Listener) -> None:
        """Tell one second."""
        books, taken = self._run.books, dispatcher.taken
        sums = books.sums()
        now = (taken.offered, sums.accepted, sums.final, taken.refused)
        offered, accepted, final, refused = (n - b for n, b in zip(now, self._before, strict=True))
        self._before = now
        recent = books.take_recent()
        self._write(recent)
        p50, p95, p99 = recent_ms(recent)
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
            phase=self._phase(dispatcher.now_s()),
            endpoints=dict(taken.by_node - self._handed_in),
        )
        self._handed_in = taken.by_node.copy()
        self._talk.tell(second=second)

    def _phase(self, at_s: float) -> str:
        """Name the phase of the middle of the second that has passed."""
        before, self._at_s = self._at_s, at_s
        return self._run.phases[self._run.arrivals.phase_at((before + at_s) / 2)].name

    def end(self, dispatcher: Dispatcher) -> None:
        """Write what is known of the whole run only."""
        taken = dispatcher.taken
        kinds = {"submit": taken.submit, "service": taken.service, "send_lag": taken.lag}
        self._log.add_whole(kinds, until_s=time.monotonic() - self._began)

    def _write(self, recent: Latencies) -> None:
        before, self._told = self._told, time.monotonic()
        span = {"from_s": before - self._began, "until_s": self._told - self._began}
        self._log.add(TO_FINAL, recent, **span)


def main() -> int:
    """Do what the first line orders; its end, or a line that says so, stops the run early.

    A worker of another host is told the folder that it has there.
    """
    words, answers = FileObjectPosix(0, "rb"), FileObjectPosix(os.dup(1), "wb")
    line = words.readline()
    if not line:
        return 0  # nobody has anything to be done
    _raise_file_limit()
    try:
        order = msgspec.json.decode(line, type=Order)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        sys.stderr.write(f"error: the first line is no order for a worker: {wrong}\n")
        sys.stderr.write("hint: aitbc load master --worker 'ssh HOST aitbc load worker'\n")
        return NO_ORDER
    elsewhere = sys.argv[1] if sys.argv[1:] else ""
    if elsewhere:
        Path(elsewhere).mkdir(parents=True, exist_ok=True)
        order = msgspec.structs.replace(order, folder=elsewhere)
    # Whatever a library prints must not stand between our answers.
    log = os.open(f"{order.folder}/{LOG}", os.O_WRONLY | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    talk = Talk(words, answers)
    talk.begin(is_part=order.is_part)
    with _handed_over(Path(elsewhere), talk) if elsewhere else nullcontext():
        try:
            result = _run(order, talk)
        except SwarmError as wrong:
            talk.tell(error=str(wrong))
            return 1
    talk.tell(result=result)
    return 0


def _raise_file_limit() -> None:
    """Take as many file handles as may be had: a connection is one, and a shell gives 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _handed_over(folder: Path, talk: Talk) -> Iterator[None]:
    """Give what was written here to whoever coordinates: nothing stays on this host."""
    try:
        yield
    finally:
        for name in KEPT:
            path = folder / name
            text = path.read_bytes()[-KEPT_MAX:].decode(errors="replace") if path.exists() else ""
            talk.tell(kept=Kept(name=name, text=text))


def _run(order: Order, talk: Talk) -> Result:
    if (order.plan.workers > 1 or order.ways) and not order.is_part:
        return coordinate(order, talk)
    # Of a worker that is alone no letter goes anywhere, so none can be lost on its way.
    run = Run(order, talk.money, partial(_pass_on, talk) if order.plan.workers > 1 else None)
    ready = run.prepare()
    talk.tell(signed={"count": len(ready.store), "took_s": round(ready.signing_s, 3)})
    # What is there by now stays: looking through it for garbage was an eighth of what a run cost.
    gc.collect()
    gc.freeze()
    ears: list[gevent.Greenlet] = []

    def await_begin() -> None:
        if order.is_part:
            _await_begin(talk)
        ears.append(gevent.spawn(_listen_on, talk, run))

    with Log(order.folder, began=time.time()) as log:
        view = View(run, talk, log)
        dispatcher = run.perform(ready, view.tell, await_begin)
        view.end(dispatcher)
    # What is read of the chain from here on is our doing, and no part of what transactions cost.
    talk.tell(drained={"final": run.books.to_final.count})
    gevent.killall(ears)
    return conclude(run, ready, dispatcher)


def _await_begin(talk: Talk) -> None:
    """Answer for the clock until it is said when to begin, then wait until then.

    Raises: SwarmError when nobody says so.
    """
    talk.tell(ready={})
    while (line := talk.hear()).strip() == PING:
        talk.tell(clock=Clock(wall_s=time.time()))
    if not line.startswith(b"{"):
        raise SwarmError("it was stopped before it began")
    begin = msgspec.json.decode(line, type=Begin).begin
    gevent.sleep(max(0.0, begin - time.time()))


def _listen_on(talk: Talk, run: Run) -> None:
    """Hear that it is over, or that others are lost whose part is to be taken over."""
    while line := talk.hear():
        if line.strip() == STOP:
            run.stop()
            continue
        if line.startswith(LETTER):
            run.post.arrive(msgspec.json.decode(line, type=Passed).letter)
            continue
        for take_over in run.covering:
            take_over(msgspec.json.decode(line, type=Cover))
    run.stop()


def _pass_on(talk: Talk, letter: Letter) -> None:
    talk.tell(letter=letter)


def _so_far(run: Run, dispatcher: Dispatcher) -> str:
    judgement = judge(facts_of(run, dispatcher))
    return judgement.verdict if judgement.verdict == PASS else judgement.why[0]


if __name__ == "__main__":
    sys.exit(main())
