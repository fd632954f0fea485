"""How does one run go? Accounts, money, signatures; then the schedule; then it is all drained.

Locust is the engine: its runner starts the one user that owns the schedule, its events are told of
every hand-in, and what went wrong inside of it is counted. Do not add judgement: `concluding.py`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gevent
from gevent.event import Event
from locust import User, log, task
from locust.env import Environment
from locust.exception import StopUser

from aitbc_load.arrivals import Arrivals
from aitbc_load.books import EXPIRED, Books
from aitbc_load.identities import Identity, identities
from aitbc_load.orders import Funds, Order, Terms
from aitbc_load.rings import Rings, accounts_for, each_for
from aitbc_load.signing import Opening, cost_max, transfers
from aitbc_load.store import Store
from aitbc_load.swarm.dispatching import Dispatcher
from aitbc_load.swarm.listening import Listener
from aitbc_load.swarm.reading import Account, Reader
from aitbc_load.swarm.wire import Wires

WORKER = 0
_LISTEN_S = 30.0
_POLL_S = 0.05


class SwarmError(Exception):
    """A run could not begin, or go on; the sentence is for the operator."""


@dataclass(slots=True)
class Ready:
    """Hold what is there before a run begins."""

    accounts: list[Identity]
    payee: Identity
    before: dict[str, Account]
    """What a quorum says of each of them, by address."""
    terms: Terms
    store: Store
    rings: Rings
    signing_s: float


@dataclass(slots=True)
class Spent:
    """Hold what a run took. Units: seconds; the processor's are of this process, while it sent."""

    sending_s: float = 0.0
    sending_cpu_s: float = 0.0
    took_s: float = 0.0
    is_stopped: bool = False
    first_height: int = 0
    last_height: int = 0


class Run:
    """Be one run of one worker."""

    def __init__(self, order: Order, money: Callable[[Funds], Terms]) -> None:
        plan = order.plan
        self.order = order
        self.arrivals = Arrivals(plan.rate, plan.for_s, plan.batch)
        self.books = Books()
        self.wires = Wires()
        self.reader = Reader(self.wires, order.nodes)
        self.spent = Spent()
        self.engine_faults = 0
        self.accounts = accounts_for(plan.rate, len(order.nodes), batch=plan.batch)
        self._money = money
        self._environment = Environment()
        self._stop = False
        gevent.get_hub().handle_error = self._note_fault

    def prepare(self) -> Ready:
        """Make the accounts, see to their money, and sign everything.

        Raises: SwarmError.
        """
        order, plan = self.order, self.order.plan
        *accounts, payee = identities(plan.seed, WORKER, self.accounts + 1)
        nodes = len(order.nodes)
        each = each_for(self.arrivals.count, plan.batch, nodes, self.accounts)
        amount = each * cost_max(order.terms)
        terms = self._money(Funds(amounts={row.account.hex(): amount for row in accounts}))
        names = [row.address(terms.hrp) for row in (*accounts, payee)]
        told = self.reader.accounts(names)
        before = {name: row for name, row in zip(names, told, strict=True) if row is not None}
        if len(before) < len(names):
            raise SwarmError(f"no quorum told {len(names) - len(before)} of the swarm's accounts")
        began = time.monotonic()
        openings = [Opening(before[n].nonce, is_new=before[n].is_new) for n in names[:-1]]
        raws = transfers(accounts, openings, terms, payee=payee.account, each=each)
        store = Store.write(Path(order.folder) / "signed", raws)
        signing_s = time.monotonic() - began
        rings = Rings(nodes, self.accounts, each=each)
        return Ready(accounts, payee, before, terms, store, rings, signing_s)

    def perform(self, ready: Ready, tell: Callable[[Dispatcher, Listener], None]) -> Dispatcher:
        """Go through the schedule, then wait for the end of all that is open.

        `tell` is called each second. Raises: SwarmError.
        """
        nodes = self.order.nodes
        dispatcher = Dispatcher(
            self._environment, nodes, ready.store, ready.rings, self.books, self.wires
        )
        listener = Listener(nodes, self.wires, self.reader, self.books, dispatcher.now_s)
        listening = gevent.spawn(listener.run)
        if not listener.is_listening.wait(_LISTEN_S):
            raise SwarmError("no node opened a stream of events")
        self.spent.first_height = max(1, *map(self.reader.height_of, nodes))
        helping = [
            gevent.spawn(dispatcher.again),
            gevent.spawn(_each_second, tell, dispatcher, listener),
        ]
        began, cpu = time.monotonic(), time.process_time()
        self._dispatch(dispatcher)
        self.spent.sending_s = time.monotonic() - began
        self.spent.sending_cpu_s = time.process_time() - cpu
        self._drain(dispatcher, listener, ready.terms)
        self.spent.took_s = time.monotonic() - began
        self.spent.last_height = max(listener.height, self.spent.first_height)
        gevent.killall([*helping, listening])
        self.engine_faults += log.unhandled_greenlet_exception
        self.engine_faults += self._environment.stats.num_requests != self._answered(dispatcher)
        return dispatcher

    def stop(self) -> None:
        """Begin nothing more; what has begun comes to its end."""
        self._stop = self.spent.is_stopped = True

    def _dispatch(self, dispatcher: Dispatcher) -> None:
        """Let Locust run the user that owns the schedule, until it has begun everything."""
        over = Event()

        def work() -> None:
            watch = gevent.spawn(self._watch, dispatcher)
            try:
                dispatcher.run(self.arrivals, self.order.plan.in_flight_max)
            finally:
                watch.kill()
                over.set()

        self._environment.user_classes = [_user(work)]
        self._environment.stop_timeout = 1
        runner = self._environment.create_local_runner()
        runner.start(user_count=1, spawn_rate=1)
        over.wait()
        runner.quit()

    def _watch(self, dispatcher: Dispatcher) -> None:
        while not self._stop:
            gevent.sleep(_POLL_S)
        dispatcher.is_stopped = True

    def _drain(self, dispatcher: Dispatcher, listener: Listener, terms: Terms) -> None:
        """Wait until nothing is open, or for too long; what no block can hold now is expired."""
        until = time.monotonic() + self.order.plan.drain_s
        while (self.books.open or dispatcher.taken.in_flight) and time.monotonic() < until:
            gevent.sleep(_POLL_S)
        if self.books.open:
            for node in self.order.nodes:
                listener.catch_up(node, since=self.spent.first_height)
        if listener.height >= terms.height + terms.ttl_blocks:
            for name in self.books.open_ids():
                self.books.fate(name, EXPIRED, at_s=dispatcher.now_s())

    def _answered(self, dispatcher: Dispatcher) -> int:
        """Count the hand-ins that Locust must have been told of."""
        taken = dispatcher.taken
        return (taken.offered - taken.in_flight) // self.order.plan.batch

    def _note_fault(self, context: object, kind: object, value: object, trace: object) -> None:
        """Count what a greenlet died of, and leave it to be written down as always."""
        if isinstance(value, Exception):
            self.engine_faults += 1
        type(gevent.get_hub()).handle_error(gevent.get_hub(), context, kind, value, trace)


def _user(work: Callable[[], None]) -> type[User]:
    """Make the class of the one user; Locust makes users out of classes only."""

    class Owner(User):
        """Own the schedule of this worker."""

        @task
        def own(self) -> None:
            work()
            raise StopUser

    return Owner


def _each_second(
    tell: Callable[[Dispatcher, Listener], None], dispatcher: Dispatcher, listener: Listener
) -> None:
    while True:
        gevent.sleep(1.0)
        tell(dispatcher, listener)
