"""How does one worker hand in what is due, whatever became of what was due before?

No arrival waits for another: each has a request of its own under way, written before the run, and
what waits for the answer is a record, not a greenlet. Beyond a cap in flight an arrival is dropped
and counted. What a node did not take, or did not answer, is handed in again as the same bytes, at
the next node, until it has ended; its latency goes on from its intended start. Do not add reading
of blocks or verdicts.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

import gevent
import msgspec
from locust.env import Environment

from aitbc_load.arrivals import Course
from aitbc_load.books import Books, Line
from aitbc_load.histograms import Latencies
from aitbc_load.names import names_in
from aitbc_load.orders import Cover, Place
from aitbc_load.rings import Rings
from aitbc_load.sharing import hand_ins
from aitbc_load.store import Store
from aitbc_load.swarm.answers import LATER, Refused, codes_of
from aitbc_load.swarm.lanes import Lanes
from aitbc_load.swarm.wire import Answer, Silent, Wires, post
from aitbc_node.codes import Code

AGAIN_REFUSED_S = (0.5, 1.0, 2.0, 4.0)
AGAIN_ACCEPTED_S = 10.0
"""What a node took may have been in its memory only, when it was killed."""
AGAIN_BATCH = 50
_AGAIN_POLL_S = 0.1
_BEHIND_YIELD = 8
_NAP_S = 0.0005
"""Nobody sleeps for less: 49,500 hand-ins a CPU-second, not 37,000, at 20,000 a second.

The loop wakes by the millisecond all the same. The middle lag is 0.70 ms then, it was 0.26; below
2,000 a second it is as it was. It counts as lag and as latency.
"""


@dataclass(slots=True)
class Taken:
    """Hold what is measured while handing in. Units: counts of transactions."""

    offered: int = 0
    dropped: int = 0
    refused: int = 0
    in_flight: int = 0
    in_flight_max: int = 0
    by_node: Counter[str] = field(default_factory=Counter)
    """What was handed in at each node, the repeated ones, too."""
    by_phase: list[int] = field(default_factory=list)
    """What was offered, apart by phase."""
    covered: list[int] = field(default_factory=list)
    """What was to be offered for workers that are lost, apart by phase."""
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
        self._course: Course | None = None
        self._in_flight_max = 0
        self._covering: list[gevent.Greenlet] = []
        self._lanes = Lanes(wires)
        self._waiting: list[tuple[float, tuple[int, ...], int]] = []
        """A heap: when to look at which transactions again, and how often they were handed in."""
        self._promised: deque[tuple[float, Line, int]] = deque()
        """When to look at which line again that a node took, and which hand-in that is; in order,
        because all of them get as long."""

    def now_s(self) -> float:
        """Return the seconds since the schedule began."""
        return time.monotonic() - self._began

    def run(self, arrivals: Course, in_flight_max: int) -> None:
        """Begin each hand-in when it is due; return when the last has begun."""
        self.taken.by_phase = [0] * len(arrivals.phases)
        self.taken.covered = [0] * len(arrivals.phases)
        self._course, self._in_flight_max = arrivals, in_flight_max
        self._began = time.monotonic()
        for number in range(arrivals.count):
            due_s = arrivals.due_s(number)
            wait_s = due_s - self.now_s()
            if wait_s > 0:
                gevent.sleep(max(wait_s, _NAP_S))
            elif number % _BEHIND_YIELD == 0:
                gevent.sleep(0)  # those that have begun go on, or all of them would be late
            if self.is_stopped:
                return
            self._begin(due_s, arrivals.batch, arrivals.phase_at(due_s))
        gevent.joinall(self._covering)

    def cover(self, cover: Cover) -> None:
        """Take over a part of what lost workers had to begin; all have the same schedule.

        What was due before is not made up for: nobody knows what they did of it.
        """
        gevent.killall(self._covering)
        if self._course is not None:
            numbers = hand_ins(cover, self._course.count)
            self._covering = [gevent.spawn(self._cover, self._course, each) for each in numbers]

    def _cover(self, arrivals: Course, numbers: Sequence[int]) -> None:
        for number in numbers:
            due_s = arrivals.due_s(number)
            wait_s = due_s - self.now_s()
            if wait_s < 0:
                continue
            gevent.sleep(max(wait_s, _NAP_S))
            if self.is_stopped:
                return
            phase = arrivals.phase_at(due_s)
            self.taken.covered[phase] += arrivals.batch
            self._begin(due_s, arrivals.batch, phase)

    def _begin(self, due_s: float, batch: int, phase: int) -> None:
        """Begin one hand-in, unless too many are under way."""
        taken = self.taken
        if taken.in_flight >= self._in_flight_max:
            taken.dropped += batch
            return
        taken.in_flight += batch
        taken.in_flight_max = max(taken.in_flight_max, taken.in_flight)
        taken.offered += batch
        taken.by_phase[phase] += batch
        place = self._rings.deal()
        node = self._nodes[place % len(self._nodes)]
        taken.by_node[node.name] += batch
        request, ids = self._store.hand_in(place)
        line = self._books.send(ids, due_s=due_s)
        sent_s = self.now_s()
        taken.lag.record_us(round(1_000_000 * (sent_s - due_s)), count=batch)
        self._lanes.ask(_Arrival(self, node, request, place, batch, line, sent_s))

    def again(self) -> None:
        """Hand in again for ever what a node did not take, or took and did not make final."""
        gevent.spawn(self._lanes.mind_the_time)
        while True:
            for due in self._due().values():
                for first in range(0, len(due), AGAIN_BATCH):
                    gevent.spawn(self._hand_in_again, due[first : first + AGAIN_BATCH])
            gevent.sleep(_AGAIN_POLL_S)

    def _due(self) -> dict[int, list[tuple[int, int]]]:
        """Take what is to be looked at now and has not ended, by the node that is next for it."""
        now_s = self.now_s()
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        batch = self._rings.batch
        while self._promised and self._promised[0][0] <= now_s:
            _, line, place = self._promised.popleft()
            if line.open:
                self._look_again(range(place * batch, (place + 1) * batch), 0, 0.0)
        while self._waiting and self._waiting[0][0] <= now_s:
            _, numbers, tries = heappop(self._waiting)
            for number in numbers:
                if self._books.is_open(self._store.id(number)):
                    found[self._node_of(number, tries)].append((number, tries))
        return found

    def _node_of(self, number: int, tries: int) -> int:
        return (self._rings.home_of(number) + tries) % len(self._nodes)

    def answered(self, arrival: "_Arrival", answer: Answer) -> None:
        """Write down what a node says of an arrival."""
        try:
            codes = codes_of(answer, arrival.count)
        except Silent as silent:
            self.unanswered(arrival, silent)
            return
        refusal: Exception | None = None
        if codes.count(Code.OK) == len(codes):
            self._books.accept_all(arrival.line)
            self._promised.append((self.now_s() + AGAIN_ACCEPTED_S, arrival.line, arrival.place))
        else:
            refusal = self._judge(self._rows(arrival), codes)
        self._end(arrival, refusal)

    def unanswered(self, arrival: "_Arrival", silent: Silent) -> None:
        """Write down that a node said nothing of an arrival."""
        self._doubt(self._rows(arrival))
        self._end(arrival, silent)

    def _rows(self, arrival: "_Arrival") -> Iterable[tuple[int, int, str]]:
        first = arrival.place * arrival.count
        names = names_in(arrival.line.ids)
        return [(number, 0, name) for number, name in enumerate(names, first)]

    def _end(self, arrival: "_Arrival", refusal: Exception | None) -> None:
        """Measure an arrival that was answered, or was not."""
        taken, batch = self.taken, arrival.count
        done_s, due_s = self.now_s(), arrival.line.due_s
        taken.in_flight -= batch
        taken.service.record_us(round(1_000_000 * (done_s - arrival.sent_s)), count=batch)
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
        self.taken.by_node[node.name] += len(due)
        rows = [(number, tries, self._store.id(number)) for number, tries in due]
        request = post(node, [self._store.piece(number) for number, _ in due])
        try:
            codes = codes_of(self._wires.ask(node, request), len(rows))
        except Silent:
            self._doubt(rows)
        else:
            self._judge(rows, codes)

    def _judge(
        self, rows: Iterable[tuple[int, int, str]], codes: Sequence[str]
    ) -> Exception | None:
        """Write down what a node says of each transaction; return the first refusal.

        Shape: rows of a number, how often it was handed in before, and its id.
        """
        refusal: Exception | None = None
        accepted: dict[int, list[int]] = {}
        for (number, tries, name), code in zip(rows, codes, strict=True):
            if code == Code.OK:
                self._books.accept(name)
                accepted.setdefault(tries, []).append(number)
                continue
            refusal = refusal or Refused(code)
            if self._books.refuse(name, code, for_good=code not in LATER):
                self.taken.refused += 1
            else:
                self._put_off(number, tries)
        for tries, numbers in accepted.items():
            self._look_again(numbers, tries, AGAIN_ACCEPTED_S)
        return refusal

    def _doubt(self, rows: Iterable[tuple[int, int, str]]) -> None:
        for number, tries, name in rows:
            self._books.doubt(name, "silent")
            self._put_off(number, tries)

    def _put_off(self, number: int, tries: int) -> None:
        self.taken.refused += 1
        self._look_again([number], tries, AGAIN_REFUSED_S[min(tries, len(AGAIN_REFUSED_S) - 1)])

    def _look_again(self, numbers: Sequence[int], tries: int, pause_s: float) -> None:
        heappush(self._waiting, (self.now_s() + pause_s, tuple(numbers), tries + 1))


class _Arrival(msgspec.Struct, eq=False):
    """Be what waits for the answer to one hand-in."""

    owner: Dispatcher
    node: Place
    request: memoryview
    place: int
    count: int
    line: Line
    sent_s: float

    def answered(self, answer: Answer) -> None:
        """Take the answer."""
        self.owner.answered(self, answer)

    def unanswered(self, silent: Silent) -> None:
        """Hear that none comes."""
        self.owner.unanswered(self, silent)
