"""How do several workers make one run? Each is a process that speaks JSON lines with this one.

All get their money at once and begin at one moment by their own clocks, whose offsets are measured.
They hear a beat each second and answer it, so that neither side goes on when the other, or the way
to it, is gone or frozen. A worker that is lost makes the run INVALID. Nothing is listened on:
whatever starts a worker, here or over SSH, holds both ends. Do not add what the results mean
together.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import gevent
import msgspec

from aitbc_load.letters import Letter, is_good, routes
from aitbc_load.orders import Begin, Cover, Funded, Funds, Order, Way
from aitbc_load.results import Result
from aitbc_load.sharing import Offset, name, second, share, together
from aitbc_load.swarm.minding import STOP, LostError, Worker
from aitbc_load.swarm.running import SwarmError
from aitbc_load.swarm.talking import BEAT, BEAT_S, Talk

_BEGIN_IN_S = 0.5


def coordinate(order: Order, talk: Talk) -> Result:
    """Let all workers make the run. Raises: SwarmError when it could not begin."""
    workers = [_worker(order, number) for number in range(order.plan.workers)]
    for worker in workers:
        worker.pass_letters_to(partial(_deliver, workers, worker.number))
    helping = [gevent.spawn(_beat, workers), *(gevent.spawn(each.watch) for each in workers)]
    try:
        offsets = _prepare(order, workers, talk)
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
    letters_lost = {worker.number: worker.letters_lost for worker in workers}
    return together(order, results, losses, offsets, letters_lost)


def _worker(order: Order, number: int) -> Worker:
    folder = Path(order.folder) / f"worker-{number}"
    beside = Way(host="", argv=(sys.executable, "-P", "-m", "aitbc_load"))
    try:
        worker = Worker(number, order.ways[number] if order.ways else beside, folder)
    except OSError as wrong:  # those that run already end with us
        raise SwarmError(f"{name(order, number)} cannot be started: {wrong}") from wrong
    worker.say(msgspec.json.encode(share(order, number, str(folder))))
    return worker


def _prepare(order: Order, workers: Sequence[Worker], talk: Talk) -> Mapping[int, Offset]:
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
        offsets = {worker.number: worker.offset() for worker in workers}
    except LostError as lost:
        raise SwarmError(f"{name(order, lost.number)} was lost: {lost}") from lost
    begin = time.time() + _BEGIN_IN_S
    apart_s = order.plan.batch / order.plan.rate
    for worker in workers:
        own = begin + offsets[worker.number].ahead_s + worker.number * apart_s
        worker.say(msgspec.json.encode(Begin(begin=own)))
    return offsets


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


def _deliver(workers: Sequence[Worker], sender: int, letter: Letter) -> None:
    """Bring a letter to the workers that it is for, in the name of its sender only."""
    if is_good(letter) and letter.sender.startswith(f"{sender}/"):
        for number in routes(letter, len(workers)):
            workers[number].bring(letter)


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
