"""How does one run go? Accounts, money, signatures; then the schedule; then it is all drained.

Locust is the engine: its runner starts the one user that owns the schedule, its events are told of
every hand-in, and what went wrong inside of it is counted. Do not add judgement: `concluding.py`.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

import gevent
from gevent.event import Event
from locust import log
from locust.runners import Runner

from aitbc_load.attacks import Attacker
from aitbc_load.books import EXPIRED, FINAL, Books
from aitbc_load.identities import Identity, ViewOnly, identities, identity
from aitbc_load.letters import Letter
from aitbc_load.mustering import (
    Member,
    attackers_of,
    course_of,
    phases_of,
    recruits_of,
    roles_of,
)
from aitbc_load.orders import Cover, Funds, Order, Terms
from aitbc_load.rings import Rings, accounts_for, each_for
from aitbc_load.signing import Opening, cost_max, transfers
from aitbc_load.store import Store
from aitbc_load.swarm.attacking import Attackers, Squad, squads
from aitbc_load.swarm.bots import Bots
from aitbc_load.swarm.crowding import Crowds, gather
from aitbc_load.swarm.dispatching import Dispatcher
from aitbc_load.swarm.listening import Listener
from aitbc_load.swarm.mailing import Post
from aitbc_load.swarm.owning import counting, user_of
from aitbc_load.swarm.reading import UNUSED, Account, Reader
from aitbc_load.swarm.wire import Wires, frame

_LISTEN_S = 30.0
_POLL_S = 0.05
_TRIES = 8


class SwarmError(Exception):
    """A run could not begin, or go on; the sentence is for the operator."""


@dataclass(slots=True)
class Ready:
    """Hold what is there before a run begins."""

    accounts: list[Identity]
    payee: ViewOnly
    before: dict[str, Account]
    """What a quorum says of each of them, by address."""
    terms: Terms
    store: Store
    rings: Rings
    signing_s: float
    squads: list[Squad] = field(default_factory=list)
    """Those who break the rules."""
    crowds: Crowds = field(default_factory=Crowds)
    """Those who wait for each answer."""
    minted: int | None = None
    """How much of the native asset was ever made; nobody makes any during a run."""


@dataclass(slots=True)
class Spent:
    """Hold what a run took. Units: seconds; the processor's are of this process, while it sent."""

    sending_s: float = 0.0
    sending_cpu_s: float = 0.0
    tracked_cpu_s: float = 0.0
    """From the first hand-in until all that was sent had ended."""
    took_s: float = 0.0
    is_stopped: bool = False
    out_of_files: int = 0
    """Connections of those who harm nodes that the system would not open."""
    first_height: int = 0
    last_height: int = 0


class Run:
    """Be one run of one worker."""

    def __init__(
        self,
        order: Order,
        money: Callable[[Funds], Terms],
        pass_on: Callable[[Letter], None] | None,
    ) -> None:
        plan = order.plan
        self.post = Post(plan.worker, pass_on)
        self.order = order
        self.phases = phases_of(plan)
        self.arrivals = course_of(plan)
        self.books = Books(ends_s=self.arrivals.ends_s if plan.phases else ())
        self.wires = Wires()
        self.reader = Reader(self.wires, order.nodes)
        self.spent = Spent()
        self.engine_faults = 0
        self.accounts = accounts_for(plan.rate, len(order.nodes), batch=plan.batch)
        self._money = money
        self._environment = counting()
        self._stop = False
        self.covering: tuple[Callable[[Cover], None], ...] = ()
        self._bots = Bots(time.monotonic)
        gevent.get_hub().handle_error = self._note_fault

    def prepare(self) -> Ready:
        """Make the accounts, see to their money, and sign everything.

        Raises: SwarmError.
        """
        order, plan = self.order, self.order.plan
        turn = self._turn()
        *accounts, payee = identities(plan.seed, plan.worker, self.accounts + 1, turn=turn)
        foes = attackers_of(plan, plan.worker, order.terms, turn=turn)
        recruits = recruits_of(plan, plan.worker, order.terms, turn=turn)
        people = [(foe.who, foe.amount) for foe in foes]
        people += [(bot.who, bot.amount) for bot in recruits if bot.who is not None]
        nodes = len(order.nodes)
        most = plan.with_cover(self.arrivals.count)  # nothing is signed during the run
        each = each_for(most, plan.batch, nodes, self.accounts)
        amount = each * cost_max(order.terms)
        amounts = {row.account.hex(): amount for row in accounts}
        amounts |= {who.account.hex(): amount for who, amount in people if amount}
        terms = self._money(Funds(amounts=amounts))
        who = (*accounts, payee, *(row for row, _ in people))
        before = self._openings([row.address(terms.hrp) for row in who])
        began = time.monotonic()
        told = [before[row.address(terms.hrp)] for row in accounts]
        openings = [Opening(row.nonce, is_new=row.is_new) for row in told]
        rings = Rings(nodes, self.accounts, batch=plan.batch)
        owners = map(rings.owner_of, range(most * plan.batch))
        raws = transfers(accounts, openings, terms, payee=payee.account, owners=owners)
        hand_ins = (tuple(islice(raws, plan.batch)) for _ in range(most))
        store = Store.write(Path(order.folder) / "signed", hand_ins, partial(frame, order.nodes))
        signing_s = time.monotonic() - began
        ready = Ready(accounts, payee.view_only(), before, terms, store, rings, signing_s)
        crowds = gather(recruits, before, terms, order.nodes, self.wires, self.post, plan.workers)
        minted = self.reader.minted()
        return replace(ready, squads=self._arm(ready, foes), crowds=crowds, minted=minted)

    def _turn(self) -> int:
        """Find accounts that no run of this seed was paid for. Raises: SwarmError.

        The first of them stands for all: it is among the first that a run has money for.
        """
        plan, hrp, turn = self.order.plan, self.order.terms.hrp, 0
        while True:
            first = identity(plan.seed, plan.worker, 0, turn=turn).address(hrp)
            if self._openings([first])[first] == UNUSED:
                return turn
            turn += 1

    def _openings(self, names: list[str]) -> dict[str, Account]:
        """Return what a quorum says of every account. Raises: SwarmError."""
        told = self.reader.accounts(names)
        before = {name: row for name, row in zip(names, told, strict=True) if row is not None}
        if len(before) < len(names):
            raise SwarmError(f"no quorum told {len(names) - len(before)} of the swarm's accounts")
        return before

    def _arm(self, ready: Ready, foes: list[Member]) -> list[Squad]:
        """Make the attackers, each of whom is after an honest account."""
        terms, victim = ready.terms, ready.accounts[0]
        armed = [
            (foe, Attacker(foe.who, ready.before[foe.who.address(terms.hrp)].nonce, terms, victim))
            for foe in foes
        ]
        plan = self.order.plan
        dice = random.Random(f"{plan.seed} replayer")  # noqa: S311 - repeatable on purpose
        prey = partial(self._final, ready, dice)
        return squads(roles_of(plan), armed, prey, terms.hrp)

    def _final(self, ready: Ready, dice: random.Random) -> bytes | None:
        """Return a transaction that is final; None where none was found at once."""
        dealt = ready.rings.dealt * ready.rings.batch
        for _ in range(_TRIES if dealt else 0):
            number = dice.randrange(dealt)
            if self.books.ended.get(ready.store.id(number)) == FINAL:
                return ready.store.raw(number)
        return None

    def perform(
        self,
        ready: Ready,
        tell: Callable[[Dispatcher, Listener], None],
        await_begin: Callable[[], None],
    ) -> Dispatcher:
        """Go through the schedule, then wait for the end of all that is open.

        `await_begin` returns when it is time; `tell` is called each second, and at the end.
        Raises: SwarmError.
        """
        nodes = self.order.nodes
        dispatcher = Dispatcher(
            self._environment, nodes, ready.store, ready.rings, self.books, self.wires
        )
        self.covering = (dispatcher.cover, ready.crowds.cover)
        listener = Listener(nodes, self.wires, self.reader, self.books, dispatcher.now_s)
        listening = gevent.spawn(listener.run)
        if not listener.is_listening.wait(_LISTEN_S):
            raise SwarmError("no node opened a stream of events")
        await_begin()
        self.spent.first_height = max(1, *map(self.reader.height_of, nodes))
        helping = [
            gevent.spawn(dispatcher.again),
            gevent.spawn(listener.mind),
            gevent.spawn(_each_second, tell, dispatcher, listener),
        ]
        attackers = Attackers(nodes, ready.squads, dispatcher.now_s)
        began, cpu = time.monotonic(), time.process_time()
        runner = self._dispatch(dispatcher, attackers, ready.crowds)
        self.spent.sending_s = time.monotonic() - began
        self.spent.sending_cpu_s = time.process_time() - cpu
        self._bots.stop(self.order.plan.drain_s)
        attackers.stop(self.order.plan.drain_s)
        self.spent.out_of_files = attackers.out_of_files + ready.crowds.strange.out_of_files
        self._drain(dispatcher, listener, ready.terms)
        self.spent.tracked_cpu_s = time.process_time() - cpu
        self.spent.took_s = time.monotonic() - began
        # Not before: it reads the source of whoever asks, 20 ms in which no answer is read.
        runner.quit()
        self.spent.last_height = max(listener.height, self.spent.first_height)
        gevent.killall([*helping, listening])
        tell(dispatcher, listener)  # the last part of a second, so that all of them are the run
        self.engine_faults += log.unhandled_greenlet_exception
        self.engine_faults += self._environment.stats.num_requests != self._answered(dispatcher)
        return dispatcher

    def stop(self) -> None:
        """Begin nothing more; what has begun comes to its end."""
        self._stop = self.spent.is_stopped = True

    def _dispatch(self, dispatcher: Dispatcher, attackers: Attackers, crowds: Crowds) -> Runner:
        """Let Locust run the user that owns the schedule; return its runner once all has begun."""
        over = Event()

        def work() -> None:
            watch = gevent.spawn(self._watch, dispatcher)
            try:
                attackers.run(self.arrivals, self.phases)
                self._bots = crowds.begin(self.arrivals, dispatcher.now_s)
                dispatcher.run(self.arrivals, self.order.plan.in_flight_max)
            finally:
                watch.kill()
                over.set()

        self._environment.user_classes = [user_of(work)]
        self._environment.stop_timeout = 1
        runner = self._environment.create_local_runner()
        self.post.open(runner)
        runner.start(user_count=1, spawn_rate=1)
        over.wait()
        return runner

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
            self.books.fates(self.books.open_ids(), EXPIRED, at_s=dispatcher.now_s())

    def _answered(self, dispatcher: Dispatcher) -> int:
        """Count the hand-ins that Locust must have been told of."""
        taken = dispatcher.taken
        return (taken.offered - taken.in_flight) // self.order.plan.batch

    def _note_fault(self, context: object, kind: object, value: object, trace: object) -> None:
        """Count what a greenlet died of, and leave it to be written down as always."""
        if isinstance(value, Exception):
            self.engine_faults += 1
        type(gevent.get_hub()).handle_error(gevent.get_hub(), context, kind, value, trace)


def _each_second(
    tell: Callable[[Dispatcher, Listener], None], dispatcher: Dispatcher, listener: Listener
) -> None:
    while True:
        gevent.sleep(1.0)
        tell(dispatcher, listener)
