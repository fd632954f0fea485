"""How one event reaches many listeners, and what a slow one costs."""

from collections.abc import Callable

from aitbc_node.events import Expired
from aitbc_node.rpc.fanout import PAID_BYTES, SLICE, Fan, Listener, PaidWire
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.throttle import BYTES_PER_TOKEN, Throttle
from aitbc_node.types import TxId

Work = Callable[[], None]

BLOCK, PEER, TX = frozenset({"block"}), frozenset({"peer"}), frozenset({"tx"})


class FakeWire:
    """Keep what is written; it is full where a test says so, or at `room` pieces."""

    def __init__(self, *, room: int = 1_000_000) -> None:
        self.pushed: list[bytes] = []
        self.room = room

    @property
    def is_full(self) -> bool:
        return self.room <= 0

    def push(self, data: bytes) -> None:
        self.pushed.append(data)
        self.room -= 1

    @property
    def text(self) -> str:
        """Return what the client sees of the body."""
        return "".join(piece.decode().split("\r\n", 1)[1][:-2] for piece in self.pushed)

    @property
    def heights(self) -> list[int]:
        """List the blocks it was told of."""
        lines = self.text.splitlines()
        return [int(line[16:-1]) for line in lines if line.startswith('data: {"height":')]


class Scene:
    """Be a hub, its fan, and the work that waits for the loop."""

    def __init__(self, *, backlog: int = 1_024) -> None:
        self.hub = Hub(boot="b", backlog=backlog)
        self.work: list[Work] = []
        self.fan = Fan(self.hub, soon=self.work.append)
        self.height = 0

    def listener(self, wire: FakeWire, topics: frozenset[str] = BLOCK) -> Listener:
        """Let one more listen from now on."""
        joined = Listener(wire, place=self.hub.begin("")[0], topics=topics)
        self.fan.join(joined)
        return joined

    def publish(self, count: int = 1) -> None:
        """Publish the next blocks."""
        for _ in range(count):
            self.height += 1
            self.hub.publish("block", {"height": self.height})

    def turn(self) -> None:
        """Let the loop do what it was asked for, once."""
        work, self.work[:] = list(self.work), []
        for each in work:
            each()

    def settle(self) -> None:
        """Let the loop turn until nothing waits."""
        while self.work:
            self.turn()


def test_a_hundred_subscribers_each_get_it_once() -> None:
    """Every listener of the topic gets the event once, as the very same bytes; others do not."""
    scene = Scene()
    wires = [FakeWire() for _ in range(100)]
    other = FakeWire()
    for wire in wires:
        scene.listener(wire)
    scene.listener(other, PEER)

    scene.publish()
    scene.settle()

    assert [wire.heights for wire in wires] == [[1]] * 100
    assert len({id(wire.pushed[0]) for wire in wires}) == 1
    assert other.pushed == []


def test_listeners_at_one_place_hear_each_their_own_form() -> None:
    """Those who want the short form share its bytes, and nobody else gets them."""
    scene = Scene()
    wires = [FakeWire() for _ in range(4)]
    for place, wire in enumerate(wires):
        scene.fan.join(Listener(wire, place=1, topics=TX, is_brief=place % 2 == 1))

    scene.hub.expired(Expired((TxId(b"x" * 32),)))
    scene.settle()

    assert ['"txs":' in wire.text for wire in wires] == [True, False] * 2
    assert ['"runs":' in wire.text for wire in wires] == [False, True] * 2
    assert wires[1].pushed[0] is wires[3].pushed[0]


def test_what_comes_in_the_middle_of_a_round_reaches_everybody() -> None:
    """Those who were served before an event that came between two slices get it too, once."""
    scene = Scene()
    wires = [FakeWire() for _ in range(3 * SLICE)]
    for wire in wires:
        scene.listener(wire)

    scene.publish()
    scene.turn()
    scene.publish()
    scene.settle()

    assert all(wire.heights == [1, 2] for wire in wires)


def test_one_turn_serves_a_slice_and_no_more() -> None:
    """However many listen, the node goes on with other work after so many of them."""
    scene = Scene()
    wires = [FakeWire() for _ in range(2 * SLICE + 1)]
    for wire in wires:
        scene.listener(wire)

    scene.publish()
    scene.turn()

    assert sum(bool(wire.pushed) for wire in wires) == SLICE


def test_a_slow_listener_costs_its_place_only() -> None:
    """Nothing is kept for who has no room; with room it is told what it lost, then the rest."""
    scene = Scene(backlog=8)
    slow, quick = FakeWire(room=1), FakeWire()
    listener = scene.listener(slow)
    scene.listener(quick)

    for _ in range(20):
        scene.publish()
        scene.settle()
    assert len(slow.pushed) == 1
    slow.room = 10
    scene.fan.serve(listener)

    assert quick.heights == list(range(1, 21))
    assert slow.heights == [1, *range(13, 21)]
    assert 'event: gap\ndata: {"lost":11}' in slow.text


def test_a_quiet_stream_shows_life_and_a_busy_one_need_not() -> None:
    """Only those that were told nothing since the last look are."""
    scene = Scene()
    quiet, busy = FakeWire(), FakeWire()
    scene.listener(quiet, PEER)
    scene.listener(busy)

    scene.fan.show_life()
    scene.publish()
    scene.settle()
    scene.fan.show_life()

    assert quiet.text == ": still here\n\n"
    assert busy.heights == [1]
    assert "still here" not in busy.text


def test_one_look_shows_life_to_a_slice_and_no_more() -> None:
    """However many are quiet, the node goes on with other work after so many of them."""
    scene = Scene()
    wires = [FakeWire() for _ in range(2 * SLICE + 1)]
    for wire in wires:
        scene.listener(wire, PEER)
    scene.fan.show_life()
    scene.settle()

    scene.fan.show_life()
    assert sum(bool(wire.pushed) for wire in wires) == SLICE
    scene.settle()

    assert all(wire.text == ": still here\n\n" for wire in wires)


def test_a_listener_pays_for_what_it_is_told() -> None:
    """Who is in debt is passed over, as one that does not read; later it hears the rest."""
    scene, now = Scene(), [0]
    throttle = Throttle(rate=1, burst=PAID_BYTES // BYTES_PER_TOKEN)
    free, under = FakeWire(), FakeWire()
    paid = PaidWire(under, client="10.0.0.1", throttle=throttle, now_ms=lambda: now[0])
    scene.listener(free)
    scene.fan.join(Listener(paid, place=scene.hub.begin("")[0], topics=BLOCK))

    for _ in range(3):
        scene.hub.publish("block", {"much": "x" * PAID_BYTES})
        scene.settle()
    assert (len(free.pushed), len(under.pushed)) == (3, 1)
    assert throttle.wait_s("10.0.0.1", now_ms=now[0]) > 0

    now[0] += 60_000
    scene.fan.show_life()

    assert free.text.count("much") == under.text.count("much") == 3


def test_a_stream_ends_with_a_last_event() -> None:
    """Who listens when the node stops gets what there is, and is told that it was the last."""
    scene = Scene()
    wire = FakeWire()
    scene.listener(wire)

    scene.publish()
    scene.fan.close()

    assert wire.heights == [1]
    assert wire.text.endswith("event: closing\ndata: {}\n\n")


def test_who_left_is_served_no_more() -> None:
    """A listener that leaves in the middle of a round is left alone."""
    scene = Scene()
    wire = FakeWire()
    listener = scene.listener(wire)

    scene.publish()
    scene.fan.leave(listener)
    scene.settle()

    assert wire.pushed == []
    assert (len(scene.fan), scene.hub.listeners) == (0, 0)
