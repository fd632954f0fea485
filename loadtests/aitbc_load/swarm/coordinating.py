"""How do several workers make one run? Each is a process that speaks JSON lines with this one.

All get their money at once and begin at one moment by their own clocks, whose offsets are measured.
They hear a beat each second and answer it, so that neither side goes on when the other, or the way
to it, is gone or frozen. A worker that is lost makes the run INVALID. Nothing is listened on:
whatever starts a worker, here or over SSH, holds both ends. Do not add what the results mean
together.
"""

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gevent
import msgspec
from gevent.event import AsyncResult

from aitbc_load.orders import Begin, Cover, Funded, Funds, Kept, Order, Second, Way
from aitbc_load.results import Result
from aitbc_load.sharing import name, second, share, together
from aitbc_load.swarm.running import SwarmError
from aitbc_load.swarm.talking import BEAT, BEAT_S, Talk

PING = b"ping"
STOP = b"stop"
_BEGIN_IN_S = 0.5
_PINGS = 9
_END_S = 10.0
_MS = 1000
SILENT_S = 4.0
"""A worker that sends answers every beat; a frozen one is known before five seconds are over."""
BUSY_S = 600.0
"""One that signs, or reads the chain at its end, may be deaf meanwhile, but not for ever."""
_LOOK_S = 0.25
_CATCH_UP_S = 0.1
_SSH_FAILED = 255
_LAST_WORDS = "said.log"
_SHOWN = 80


class LostError(Exception):
    """A worker has ended, or is silent, or said something that it must not say."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(why)
        self.number = number


class Worker:
    """Be one worker, as its coordinator sees it."""

    def __init__(self, number: int, way: Way, folder: Path) -> None:
        self.number = number
        self.seconds: list[Second] = []
        self.lost: AsyncResult = AsyncResult()
        self._way = way
        self._folder = folder
        self._heard_at = time.monotonic()
        self._said: dict[str, AsyncResult] = defaultdict(AsyncResult)
        folder.mkdir(exist_ok=True)
        with (folder / _LAST_WORDS).open("wb") as last_words:
            # Ctrl-C reaches the whole foreground group: who coordinates says when anybody stops.
            self._child = subprocess.Popen(  # noqa: S603 - this program, or SSH to a known host
                way.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=last_words,
                process_group=0,
            )
        self._ear = gevent.spawn(self._listen)

    def say(self, line: bytes) -> None:
        """Say one line; that nobody hears it is noticed elsewhere."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line + b"\n")
            self._child.stdin.flush()
        except OSError:
            self._lose("it does not listen")

    def expect(self, what: str) -> Any:
        """Wait until the worker has said this. Raises: LostError."""
        said = self._said[what]
        gevent.wait([said, self.lost], count=1)
        if not said.ready():
            raise LostError(self.number, self.lost.get())
        return said.get()

    def offset_s(self) -> float:
        """Measure how far its clock is ahead of ours, by the quickest of some answers.

        Raises: LostError.
        """
        rounds = []
        for _ in range(_PINGS):
            self._said.pop("clock", None)
            before = time.time()
            self.say(PING)
            told = float(self.expect("clock")["wall_s"])
            after = time.time()
            rounds.append((after - before, told - (before + after) / 2))
        return min(rounds)[1]

    def end(self) -> None:
        """Let go of it; one that does not end by itself is killed."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.close()
        except OSError:
            self._lose("it does not listen")
        try:
            self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._ear.kill()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        while (line := self._child.stdout.readline()).endswith(b"\n"):
            try:
                self._hear(line)
            except (msgspec.MsgspecError, ValueError, AttributeError):
                said = line[:_SHOWN].decode(errors="replace").strip()
                self._lose(f"it said what nobody understands: {said}")
                return
        self._lose(self._why_it_ended(self._child.wait()))

    def watch(self) -> None:
        """Take it for lost when it is silent for too long; what it said meanwhile is heard first.

        Between its first hand-in and its last it is never too busy to answer.
        """
        while not self.lost.ready():
            gevent.sleep(_LOOK_S)
            if self._is_silent():
                gevent.sleep(_CATCH_UP_S)
                if self._is_silent():
                    self._lose(f"it said nothing for {time.monotonic() - self._heard_at:.1f} s")

    def _is_silent(self) -> bool:
        if self._said["result"].ready():
            return False
        is_sending = bool(self.seconds) and not self._said["drained"].ready()
        silent_s = time.monotonic() - self._heard_at
        return silent_s > (SILENT_S if is_sending else BUSY_S)

    def _why_it_ended(self, status: int) -> str:
        said = (self._folder / _LAST_WORDS).read_text(errors="replace").splitlines()
        last = f": {said[-1][:_SHOWN]}" if said else ""
        if self._way.host and status == _SSH_FAILED:
            return f"SSH to it ended{last}"
        return f"it ended with status {status} and no result{last}"

    def _hear(self, line: bytes) -> None:
        self._heard_at = time.monotonic()
        ((what, told),) = msgspec.json.decode(line, type=dict[str, Any]).items()
        if what == "kept":
            kept = msgspec.convert(told, Kept)
            (self._folder / kept.name).write_text(kept.text, encoding="utf-8")
        elif what == "second":
            self.seconds.append(msgspec.convert(told, Second))
        elif what == "error":
            self._lose(str(told))
        else:
            self._said[what].set(told)

    def _lose(self, why: str) -> None:
        if not self.lost.ready() and not self._said["result"].ready():
            self.lost.set(why)


def coordinate(order: Order, talk: Talk) -> Result:
    """Let all workers make the run. Raises: SwarmError when it could not begin."""
    workers = [_worker(order, number) for number in range(order.plan.workers)]
    helping = [gevent.spawn(_beat, workers), *(gevent.spawn(each.watch) for each in workers)]
    try:
        offsets_s = _prepare(order, workers, talk)
        helping += [
            gevent.spawn(_pass_on_stop, workers, talk),
            gevent.spawn(_tell_seconds, workers, talk),
            gevent.spawn(_tell_drained, workers, talk),
        ]
        results, losses = _results(order, workers)
    finally:
        gevent.killall(helping)
        gevent.joinall([gevent.spawn(worker.end) for worker in workers])
    if not results:
        raise SwarmError(f"every worker was lost: {'; '.join(losses.values())}")
    offsets_ms = {number: _MS * offset for number, offset in offsets_s.items()}
    return together(order, results, losses, offsets_ms)


def _worker(order: Order, number: int) -> Worker:
    folder = Path(order.folder) / f"worker-{number}"
    beside = Way(host="", argv=(sys.executable, "-P", "-m", "aitbc_load"))
    try:
        worker = Worker(number, order.ways[number] if order.ways else beside, folder)
    except OSError as wrong:  # those that run already end with us
        raise SwarmError(f"{name(order, number)} cannot be started: {wrong}") from wrong
    worker.say(msgspec.json.encode(share(order, number, str(folder))))
    return worker


def _prepare(order: Order, workers: Sequence[Worker], talk: Talk) -> Mapping[int, float]:
    """See to money and signatures, then let all begin at once; return the clocks' offsets."""
    try:
        amounts: dict[str, int] = {}
        for worker in workers:
            amounts |= worker.expect("funds")["amounts"]
        terms = talk.money(Funds(amounts=amounts))
        for worker in workers:
            worker.say(msgspec.json.encode(Funded(terms=terms)))
        signed = [worker.expect("signed") for worker in workers]
        count = sum(each["count"] for each in signed)
        talk.tell(signed={"count": count, "took_s": max(each["took_s"] for each in signed)})
        for worker in workers:
            worker.expect("ready")
        offsets_s = {worker.number: worker.offset_s() for worker in workers}
    except LostError as lost:
        raise SwarmError(f"{name(order, lost.number)} was lost: {lost}") from lost
    begin = time.time() + _BEGIN_IN_S
    apart_s = order.plan.batch / order.plan.rate
    for worker in workers:
        own = begin + offsets_s[worker.number] + worker.number * apart_s
        worker.say(msgspec.json.encode(Begin(begin=own)))
    return offsets_s


def _results(order: Order, workers: Sequence[Worker]) -> tuple[dict[int, Result], dict[int, str]]:
    """Wait for all ends; where one is lost, the others take over, or stop if they cannot."""
    results: dict[int, Result] = {}
    losses: dict[int, str] = {}

    def follow(worker: Worker) -> None:
        try:
            results[worker.number] = msgspec.convert(worker.expect("result"), Result)
        except (LostError, msgspec.ValidationError) as lost:
            losses[worker.number] = str(lost)
            worker.say(STOP)  # it may only be too slow for us
            living = [each for each in workers if each.number not in losses]
            for place, each in enumerate(living):
                cover = Cover(lost=tuple(losses), place=place, among=len(living))
                can_cover = len(losses) <= order.plan.losses_max
                each.say(msgspec.json.encode(cover) if can_cover else STOP)

    gevent.joinall([gevent.spawn(follow, worker) for worker in workers], raise_error=True)
    return results, losses


def _beat(workers: Sequence[Worker]) -> None:
    while True:
        for worker in workers:
            if not worker.lost.ready():  # what stands between might take nothing more
                worker.say(BEAT)
        gevent.sleep(BEAT_S)


def _pass_on_stop(workers: Sequence[Worker], talk: Talk) -> None:
    while (line := talk.hear()) and line.strip() != STOP:
        pass
    for worker in workers:
        worker.say(STOP)


def _tell_seconds(workers: Sequence[Worker], talk: Talk) -> None:
    told = 0
    while True:
        living = [each for each in workers if not each.lost.ready()]
        while living and min(len(each.seconds) for each in living) > told:
            talk.tell(second=second([each.seconds[told] for each in living]))
            told += 1
        gevent.sleep(0.1)


def _tell_drained(workers: Sequence[Worker], talk: Talk) -> None:
    final = 0
    for worker in workers:
        try:
            final += worker.expect("drained")["final"]
        except LostError:
            continue
    talk.tell(drained={"final": final})
