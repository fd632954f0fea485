"""How fast links are taken for, and what is sent on them: on virtual wires of four rates."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import pytest

from aitbc_node.gossip.lane import LANE_MAX
from aitbc_node.gossip.messages import (
    READS_HANDED,
    Transactions,
    TransactionsHanded,
    decode_message,
)
from aitbc_node.gossip.relay import FLUSH_MS, TxRelay
from aitbc_node.gossip.speed import (
    BEGIN,
    CALM_IN_A_ROW,
    CALM_IN_A_ROW_MAX,
    LEAST,
    Kind,
    Speed,
    Speeds,
    kind_of,
)
from aitbc_node.gossip.topology import Topology
from aitbc_node.limits import PING_MS
from aitbc_node.transport.kernel import LOOK_MS, Mark, Reading
from aitbc_node.types import PeerId, TxId

A = PeerId(b"a" * 20)
TX_BYTES, VOTE_BYTES = 2_000, 200
ABLE = "0.1.0" + READS_HANDED
MEASURED = 40_000


class Unmeasured(Speeds):
    """Take every link for a fast one, as before anything was measured."""

    def ping(self, peer: PeerId, number: int, now_ms: int) -> None:
        """Measure nothing."""


@dataclass
class Wire:
    """Be one link that carries so many bytes a second, and everything in order."""

    rate: int
    delay_ms: int = 20
    free_ms: float = 0
    bytes_sent: int = 0

    def carry(self, size: int, now_ms: float) -> float:
        """Return when the last byte of what is sent now arrives."""
        self.free_ms = max(self.free_ms, now_ms) + 1_000 * size / self.rate
        self.bytes_sent += size
        return self.free_ms + self.delay_ms

    def reading(self, now_ms: int) -> Reading:
        """Say what a kernel would say: what has not arrived is still here."""
        waiting = int(max(0.0, self.free_ms + 2 * self.delay_ms - now_ms) * self.rate / 1_000)
        return Reading(
            arrived=max(0, self.bytes_sent - waiting),
            waiting=min(waiting, self.bytes_sent),
            shut_us=0,
            quickest_ms=2 * self.delay_ms,
        )


@dataclass
class Run:
    """Be a node that relays transactions to one peer over a wire, and votes twice a second."""

    wire: Wire
    speeds: Speeds
    votes_ms: list[float] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)
    now_ms: int = 0
    sent: int = 0
    ping_every_ms: int = PING_MS
    late_ms: Callable[[int], int] = lambda _: 0
    """How long after a ping the other process answers."""

    def __post_init__(self) -> None:
        self.relay = TxRelay(Topology(), self.speeds)
        self.relay.peer_up(A)
        self.speeds.begin(A)
        self.pongs: list[tuple[float, int]] = []
        self.mark = Mark()

    def go(self, for_ms: int, *, load: int) -> "Run":
        """Let time pass under a load of so many bytes of transactions a second."""
        until_ms, owed = self.now_ms + for_ms, 0.0
        while self.now_ms < until_ms:
            self.now_ms += FLUSH_MS
            owed += load * FLUSH_MS / 1_000
            while owed >= TX_BYTES:
                owed -= TX_BYTES
                self.sent += 1
                self.relay.add(TxId(self.sent.to_bytes(32)), bytes(TX_BYTES), source=None)
            for effect in self.relay.flush((A,), self.now_ms):
                self.wire.carry(len(effect.payload), self.now_ms)
            if self.now_ms % LOOK_MS < FLUSH_MS and self.mark.is_full(
                self.wire.reading(self.now_ms), self.now_ms
            ):
                self.speeds.full(A, self.now_ms)
            if self.now_ms % self.ping_every_ms == 0:
                arrival_ms = self.wire.carry(VOTE_BYTES, self.now_ms)
                self.votes_ms.append(arrival_ms - self.now_ms)
                number = self.now_ms // self.ping_every_ms
                self.speeds.ping(A, number, self.now_ms)
                pong_ms = arrival_ms + self.late_ms(self.now_ms) + self.wire.delay_ms
                heappush(self.pongs, (pong_ms, number))
            while self.pongs and self.pongs[0][0] <= self.now_ms:
                _, number = heappop(self.pongs)
                self.speeds.pong(A, number, self.now_ms)
            if not self.kinds or self.kinds[-1] is not self.speeds.kind(A):
                self.kinds.append(self.speeds.kind(A))
        return self


@pytest.mark.parametrize(
    ("rate", "kind"),
    [
        (0, Kind.SLOW),
        (LEAST[Kind.HOME] - 1, Kind.SLOW),
        (LEAST[Kind.HOME], Kind.HOME),
        (LEAST[Kind.GIGABIT], Kind.GIGABIT),
        (10**9, Kind.FAST),
    ],
)
def test_a_rate_has_one_kind(rate: int, kind: Kind) -> None:
    """The bounds are in bytes a second, and each belongs to the quicker kind."""
    assert kind_of(rate) is kind


@pytest.mark.parametrize(
    ("rate", "load", "kind"),
    [
        (20_000, 200_000, Kind.SLOW),
        (60_000, 200_000, Kind.SLOW),
        (600_000, 2_000_000, Kind.HOME),
        (50_000_000, 2_000_000, Kind.GIGABIT),
    ],
    ids=["a modem", "slow", "home", "gigabit"],
)
def test_a_vote_does_not_wait_behind_transactions_however_slow_the_link(
    rate: int, load: int, kind: Kind
) -> None:
    """Once measured, votes arrive in a second; unmeasured, they come later with every second.

    What the link carries is still used, and the kind is found soon and kept.
    """
    before = Run(Wire(rate), Unmeasured()).go(60_000, load=load)
    after = Run(Wire(rate), Speeds()).go(60_000, load=load)

    late_before, late = (sorted(run.votes_ms[-40:]) for run in (before, after))
    share = after.wire.bytes_sent / (60 * min(rate, load))
    assert after.kinds[-1] is kind
    assert len(after.kinds) <= 4
    assert late[-1] <= 1_500
    assert share >= 0.5
    if rate < load:
        assert late_before[0] > 20_000
        assert after.relay.waiting <= LANE_MAX


def test_a_link_that_gets_better_is_found_out_again() -> None:
    """Its kind comes back step by step, and all that waits leaves."""
    run = Run(Wire(60_000), Speeds()).go(30_000, load=200_000)
    assert run.kinds[-1] is Kind.SLOW

    run.wire.rate = 50_000_000
    run.go(60_000, load=200_000)

    assert run.kinds[-1] is BEGIN
    assert run.relay.waiting == 0


def test_a_link_at_a_border_does_not_swing() -> None:
    """In ten minutes at exactly the rate between two kinds, it changes a few times at most."""
    run = Run(Wire(LEAST[Kind.HOME]), Speeds()).go(600_000, load=150_000)

    assert len(run.kinds) <= 10


@pytest.mark.parametrize("load", [100_000, 200_000, 1_000_000])
@pytest.mark.parametrize("is_paused", [False, True], ids=["always late", "one pause"])
@pytest.mark.parametrize("every_ms", [PING_MS, 1_000])
def test_a_busy_host_behind_a_quick_wire_gets_all_that_there_is_for_it(
    load: int, every_ms: int, *, is_paused: bool
) -> None:
    """Its answers come 300 to 800 ms late, or 1.7 s once: that says nothing about the wire."""
    run = Run(Wire(10**9, delay_ms=0), Speeds(), ping_every_ms=every_ms)
    run.go(5_000, load=load)
    if is_paused:
        run.late_ms = lambda now_ms: max(0, 8_700 - now_ms) if now_ms >= 7_000 else 0
    else:
        run.late_ms = lambda now_ms: 300 + 7_919 * now_ms // FLUSH_MS % 500

    for _ in range(60):
        run.go(1_000, load=load)
        assert not run.speeds.allowed(A)
    assert min(run.kinds) >= BEGIN
    assert run.relay.waiting == 0
    assert run.wire.bytes_sent >= 65 * load


def test_a_wire_that_was_full_makes_later_answers_no_slower() -> None:
    """What stood before the wire counts for the pings that stood there with it, not for others."""
    speed = Speed()
    speed.full(1_000)
    for number in range(20):
        now_ms = 2_000 + 500 * number
        speed.send(MEASURED, now_ms)
        speed.ping(number, now_ms)
        speed.pong(number, now_ms + 400)

    assert speed.kind is BEGIN


def test_a_ping_counts_once_however_long_it_is_away() -> None:
    """One alone makes no link slow, though the wire is full and many pings follow it."""
    speed = Speed()
    speed.send(MEASURED, 0)
    speed.ping(1, 0)
    for now_ms in (1_000, 1_250, 1_500):
        speed.full(now_ms)
        speed.ping(now_ms, now_ms)

    assert speed.bad == 1
    assert speed.kind is BEGIN


def test_each_fall_makes_the_way_back_longer_and_a_long_calm_forgives() -> None:
    """So a link that cannot carry more is tried more and more seldom."""
    speed, clock = Speed(), iter(range(10**9))

    def answer(*, size: int, after_ms: int) -> None:
        number = next(clock)
        at_ms = 5_000 * number
        speed.send(size, at_ms)
        speed.ping(number, at_ms)
        if after_ms >= LOOK_MS:
            speed.full(at_ms + after_ms)
        speed.pong(number, at_ms + after_ms)

    def calm_until_begin() -> int:
        for count in range(10 * CALM_IN_A_ROW_MAX):
            if speed.kind is BEGIN:
                return count
            answer(size=0, after_ms=10)
        raise AssertionError(speed)

    def fall() -> None:
        for _ in range(2):
            answer(size=MEASURED, after_ms=1_000)
        assert speed.kind < BEGIN

    waits = []
    for _ in range(3):
        fall()
        waits.append(calm_until_begin())
    assert waits[0] < waits[1] < waits[2]

    for _ in range(3 * CALM_IN_A_ROW_MAX):
        answer(size=0, after_ms=10)
    assert speed.patience == CALM_IN_A_ROW


def peers_of(count: int) -> tuple[PeerId, ...]:
    """Name some nodes."""
    return tuple(PeerId(bytes([number + 1]) * 20) for number in range(count))


def spread(count: int, kind: Kind) -> tuple[int, Counter[PeerId]]:
    """Let the first of a full mesh bring ten transactions; count its messages and all arrivals."""
    nodes = peers_of(count)
    arrivals: Counter[PeerId] = Counter()
    relays: dict[PeerId, TxRelay] = {}
    for node in nodes:
        speeds, topology = Speeds(), Topology()
        for peer in nodes:
            if peer != node:
                speeds.begin(peer)
                speeds._links[peer].kind = kind if nodes[0] in {node, peer} else BEGIN
                speeds._links[peer].carries = 10**9
                topology.told(peer, [other for other in nodes if other != peer])
        relays[node] = TxRelay(topology, speeds)
        for peer in nodes:
            if peer != node:
                relays[node].peer_up(peer, release=ABLE)
    for number in range(10):
        relays[nodes[0]].add(TxId(bytes([number]) * 32), bytes([number]) * 250, source=None)
    seen = {nodes[0]: set(range(10))}
    queue: list[tuple[PeerId, Any]] = []
    own = 0
    for turn in range(4):
        for node in nodes:
            others = tuple(peer for peer in nodes if peer != node)
            queue += [(node, each) for each in relays[node].flush(others, FLUSH_MS * (turn + 1))]
        for source, effect in queue:
            message = decode_message(effect.payload)
            assert isinstance(message, Transactions | TransactionsHanded)
            own += len(effect.peers) if source == nodes[0] else 0
            for peer in effect.peers:
                ids = [TxId(raw[:1] * 32) for raw in message.raws]
                arrivals[peer] += len(ids)
                relays[peer].peer_has(source, ids)
                if isinstance(message, TransactionsHanded):
                    relays[peer].handed(ids)
                for tx_id, raw in zip(ids, message.raws, strict=True):
                    if raw[0] not in seen.setdefault(peer, set()):
                        seen[peer].add(raw[0])
                        relays[peer].add(tx_id, raw, source=source)
        queue.clear()
    assert all(seen[node] == set(range(10)) for node in nodes), "somebody lacks a transaction"
    return own, arrivals


@pytest.mark.parametrize(
    ("kind", "messages", "copies_max"), [(BEGIN, 11, 1.0), (Kind.HOME, 6, 6.0), (Kind.SLOW, 3, 3.0)]
)
def test_a_node_with_slow_links_hands_to_a_few_which_pass_it_on_to_all(
    kind: Kind, messages: int, copies_max: float
) -> None:
    """Everybody of twelve has it; the price is paid in copies on the others' links, and bounded."""
    own, arrivals = spread(12, kind)

    assert own == messages
    assert arrivals.total() / (10 * 11) <= copies_max
