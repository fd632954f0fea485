"""How does one worker hand in what is due, whatever became of what was due before?

One greenlet for each arrival, none waits for another; beyond a cap in flight an arrival is dropped
and counted. What a node did not take, or did not answer, is handed in again as the same bytes, at
the next node, until it has ended; its latency goes on from its intended start. Do not add reading
of blocks or verdicts.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

import gevent
import msgspec
from locust.env import Environment

from aitbc_load.arrivals import Arrivals
from aitbc_load.books import Books
from aitbc_load.histograms import Latencies
from aitbc_load.orders import Place
from aitbc_load.rings import Rings
from aitbc_load.store import Store
from aitbc_load.swarm.wire import Answer, Silent, Wires, post
from aitbc_node.codes import Code
from aitbc_node.rpc import schema

AGAIN_REFUSED_S = (0.5, 1.0, 2.0, 4.0)
AGAIN_ACCEPTED_S = 10.0
"""What a node took may have been in its memory only, when it was killed."""
AGAIN_BATCH = 50
_AGAIN_POLL_S = 0.1
_BEHIND_YIELD = 8
_ACCEPTED = frozenset({200, 202})

_LATER = frozenset(
    {Code.E_RATE, Code.E_QUEUE_FULL, Code.E_POOL_FULL, Code.E_NO_QUORUM, Code.E_UNAVAILABLE}
)
"""A node that says this may take the same bytes later, or another one now."""

_results = msgspec.json.Decoder(schema.BatchResult)
_fault = msgspec.json.Decoder(schema.ErrorAnswer)


@dataclass(slots=True)
class Taken:
    """Hold what is measured while handing in. Units: counts of transactions."""

    offered: int = 0
    dropped: int = 0
    refused: int = 0
    in_flight: int = 0
    in_flight_max: int = 0
    submit: Latencies = field(default_factory=Latencies)
    service: Latencies = field(default_factory=Latencies)
    lag: Latencies = field(default_factory=Latencies)


class Dispatcher:
    """Own the schedule of one worker: `run` goes through it, `again` repeats what must be."""

    def __init__(
        self,
        environment: Environment,
        nodes: Sequence[Place],
        store: Store,
        rings: Rings,
        books: Books,
        wires: Wires,
    ) -> None:
        self.taken = Taken()
        self.is_stopped = False
        self._request = environment.events.request
        self._nodes = nodes
        self._store = store
        self._rings = rings
        self._books = books
        self._wires = wires
        self._began = time.monotonic()
        self._waiting: list[tuple[float, int, int]] = []
        """A heap: when to look at which transaction again, and how often it was handed in."""

    def now_s(self) -> float:
        """Return the seconds since the schedule began."""
        return time.monotonic() - self._began

    def run(self, arrivals: Arrivals, in_flight_max: int) -> None:
        """Begin each hand-in when it is due; return when the last has begun."""
        taken, batch = self.taken, arrivals.batch
        self._began = time.monotonic()
        for number in range(arrivals.count):
            due_s = arrivals.due_s(number)
            wait_s = due_s - self.now_s()
            if wait_s > 0:
                gevent.sleep(wait_s)
            elif number % _BEHIND_YIELD == 0:
                gevent.sleep(0)  # those that have begun go on, or all of them would be late
            if self.is_stopped:
                return
            if taken.in_flight >= in_flight_max:
                taken.dropped += batch
                continue
            taken.in_flight += batch
            taken.in_flight_max = max(taken.in_flight_max, taken.in_flight)
            gevent.spawn(self._arrive, due_s, batch)

    def again(self) -> None:
        """Hand in again for ever what a node did not take, or took and did not make final."""
        while True:
            for due in self._due().values():
                for first in range(0, len(due), AGAIN_BATCH):
                    gevent.spawn(self._hand_in_again, due[first : first + AGAIN_BATCH])
            gevent.sleep(_AGAIN_POLL_S)

    def _due(self) -> dict[int, list[tuple[int, int]]]:
        """Take what is to be looked at now and has not ended, by the node that is next for it."""
        now_s = self.now_s()
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        while self._waiting and self._waiting[0][0] <= now_s:
            _, number, tries = heappop(self._waiting)
            if self._books.is_open(self._store.id(number)):
                found[self._node_of(number, tries)].append((number, tries))
        return found

    def _node_of(self, number: int, tries: int) -> int:
        return (self._rings.home_of(number) + tries) % len(self._nodes)

    def _arrive(self, due_s: float, batch: int) -> None:
        """Hand in one arrival for the first time."""
        place, numbers = self._rings.deal(batch)
        store, books, taken = self._store, self._books, self.taken
        for number in numbers:
            books.send(store.id(number), number, due_s=due_s)
        request = post(self._nodes[place], [store.piece(number) for number in numbers])
        sent_s = self.now_s()
        taken.offered += batch
        taken.lag.record_us(round(1_000_000 * (sent_s - due_s)), count=batch)
        refusal = self._hand_in(self._nodes[place], request, [(number, 0) for number in numbers])
        done_s = self.now_s()
        taken.in_flight -= batch
        taken.service.record_us(round(1_000_000 * (done_s - sent_s)), count=batch)
        taken.submit.record_us(round(1_000_000 * (done_s - due_s)), count=batch)
        self._request.fire(
            request_type="POST",
            name="tx",
            response_time=1000 * (done_s - due_s),
            response_length=0,
            exception=refusal,
            context={},
        )

    def _hand_in_again(self, due: list[tuple[int, int]]) -> None:
        node = self._nodes[self._node_of(*due[0])]
        request = post(node, [self._store.piece(number) for number, _ in due])
        self._hand_in(node, request, due)

    def _hand_in(
        self, node: Place, request: bytes, rows: list[tuple[int, int]]
    ) -> Exception | None:
        """Give transactions to a node and write down what it says of each."""
        try:
            answer = self._wires.ask(node, request)
            results = self._read(answer, len(rows))
        except Silent as silent:
            for number, tries in rows:
                self._books.doubt(self._store.id(number), "silent")
                self._put_off(number, tries)
            return silent
        refusal: Exception | None = None
        for (number, tries), result in zip(rows, results, strict=True):
            name = self._store.id(number)
            if result.code == Code.OK:
                self._books.accept(name)
                self._look_again(number, tries, AGAIN_ACCEPTED_S)
                continue
            refusal = refusal or Refused(result.code)
            for_good = result.code not in _LATER
            if self._books.refuse(name, result.code, for_good=for_good):
                self.taken.refused += 1
            else:
                self._put_off(number, tries)
        return refusal

    def _read(self, answer: Answer, count: int) -> list[schema.TxResult]:
        """Read what a node says of each transaction. Raises: Silent where it says nothing."""
        try:
            if answer.status in _ACCEPTED:
                results = _results.decode(answer.body).results
                if len(results) != count:
                    raise Silent(f"{len(results)} results for {count} transactions")
                return results
            code = _fault.decode(answer.body).error.code
        except msgspec.MsgspecError as wrong:
            raise Silent(f"status {answer.status} and no answer of a node") from wrong
        return [schema.TxResult(id="", status="rejected", code=code)] * count

    def _put_off(self, number: int, tries: int) -> None:
        self.taken.refused += 1
        self._look_again(number, tries, AGAIN_REFUSED_S[min(tries, len(AGAIN_REFUSED_S) - 1)])

    def _look_again(self, number: int, tries: int, pause_s: float) -> None:
        heappush(self._waiting, (self.now_s() + pause_s, number, tries + 1))


class Refused(Exception):  # noqa: N818 - what Locust counts as a failure, named as it is
    """A node did not take a transaction; its words are the code."""
