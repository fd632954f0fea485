"""A node far behind goes on from a state that peers have kept, past whoever lies."""

import sys
from collections import Counter
from collections.abc import Callable, Collection

import pytest
from msgspec.structs import replace

from aitbc_node.arriving import _Offered
from aitbc_node.canonical import encode
from aitbc_node.crypto import sha256
from aitbc_node.errors import DiskError
from aitbc_node.gossip.messages import Message, OfferFound, Piece, Pong, Status, decode_message
from aitbc_node.gossip.pieces import Pieces
from aitbc_node.ledger.audit import audit
from aitbc_node.limits import PIECE_BYTES
from aitbc_node.lineage import Contents, Known, Offer
from aitbc_node.machine import MachineConfig
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.snapshots import GATHERED, SLOTS
from aitbc_node.trusting import Trusted
from aitbc_node.types import BlockId, Hash, Height, PeerId
from aitbc_sim.citizens import a_payment
from aitbc_sim.pump import Pump

FRESH = 6
"""Four validators and two followers have the chain; the last node has nothing."""
OTHERS = range(FRESH)
HEIGHT = 60
CONFIG = MachineConfig(snapshot_blocks=20, snapshot_distance=30)

Falsify = Callable[[Message], Message | None]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut states so small that each has many pieces."""
    for module in ("limits", "lineage", "gossip.pieces", "storage.snapshots"):
        monkeypatch.setattr(f"aitbc_node.{module}.PIECE_BYTES", 500)
    assert PIECE_BYTES > 500


def a_mesh(config: MachineConfig = CONFIG) -> Pump:
    """Run a mesh without the fresh node until its states have been kept, payments in them."""
    pump = Pump(followers=3, config=config)
    pump.start(*OTHERS)
    pump.run_to(5)
    for nonce in range(4):
        assert pump.outcomes(1, a_payment("alice", "bob", 5, nonce=nonce)) == ["ok"]
    pump.run_to(HEIGHT, limit_ms=200_000)
    return pump


def join(pump: Pump, *, limit_ms: int = 60_000) -> None:
    """Start the fresh node, and wait until it is where the others are."""
    top = max(pump.heights())
    pump.start(FRESH)
    fresh = pump.nodes[FRESH]

    def is_there() -> bool:
        return fresh.machine is not None and fresh.machine.view.height > top + 3

    assert pump.run(is_there, limit_ms=limit_ms)
    pump.settle()
    assert len(pump.roots()) == 1
    assert audit(pump.machine(FRESH).view.state) == []


def begins_at(pump: Pump) -> int:
    """Return the height of the first block that the fresh node has."""
    store = pump.nodes[FRESH].store
    assert store is not None
    return store.first_height


def lie(pump: Pump, falsify: Falsify, *, liars: Collection[int]) -> Counter[int]:
    """Let some nodes say something else to the fresh one; count how often each did."""
    told: Counter[int] = Counter()

    def tamper(source: int, target: int, payload: bytes) -> bytes:
        if target != FRESH or source not in liars:
            return payload
        false = falsify(decode_message(payload))
        if false is None:
            return payload
        told[source] += 1
        return encode(false)

    pump.tamper = tamper
    return told


def is_banned(pump: Pump, index: int) -> bool:
    """Tell whether the fresh node has no link with a node any more, though it knows it."""
    linked = {peer.id for peer in pump.machine(FRESH).view.peers()}
    return pump.nodes[index].id not in linked


@pytest.mark.proves("E10")
def test_a_fresh_node_goes_on_from_a_kept_state() -> None:
    """It fetches the state of block 60 from several peers, and the few blocks behind it."""
    pump = a_mesh()
    served: Counter[int] = Counter()

    def count(source: int, target: int, payload: bytes) -> bytes:
        message = decode_message(payload)
        served[source] += target == FRESH and isinstance(message, Piece)
        return payload

    pump.tamper = count
    join(pump)

    assert begins_at(pump) == HEIGHT
    assert sum(bool(pieces) for pieces in served.values()) > 2
    assert pump.nodes[FRESH].notes["snapshot.arrived"] == 1

    pump.restart(FRESH)
    assert pump.nodes[FRESH].resumed_at == HEIGHT, "what came from peers is there after a restart"
    pump.run_to(max(pump.heights()) + 3)


def test_a_node_that_is_not_far_behind_takes_the_blocks() -> None:
    """Below the distance every block is executed."""
    pump = a_mesh(replace(CONFIG, snapshot_distance=1_000))

    join(pump)

    assert begins_at(pump) == 1


def test_where_nobody_has_kept_a_state_there_are_still_the_blocks() -> None:
    """The question costs a moment."""
    pump = a_mesh(replace(CONFIG, snapshot_blocks=0))

    join(pump)

    assert begins_at(pump) == 1


def test_a_node_that_was_away_goes_on_from_a_kept_state() -> None:
    """What it had is replaced, and it votes again once it has listened."""
    pump = Pump(config=CONFIG).start()
    pump.run_to(3)
    pump.crash(0)
    assert pump.run(lambda: pump.machine(1).view.height >= HEIGHT, limit_ms=400_000)

    pump.restart(0)

    assert pump.run(lambda: pump.machine(0).view.last_voted_height > HEIGHT, limit_ms=60_000)
    store = pump.nodes[0].store
    assert store is not None
    assert store.first_height >= HEIGHT - 20
    pump.settle()
    assert len(pump.roots()) == 1


def another_piece(message: Message) -> Message | None:
    """Send other bytes than were promised."""
    return replace(message, data=b"?" + message.data[1:]) if isinstance(message, Piece) else None


def endless(message: Message) -> Message | None:
    """Send the right bytes, and more of them."""
    return replace(message, data=message.data + b"more") if isinstance(message, Piece) else None


class FalseState:
    """Promise other bytes from the beginning, and keep that promise."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def __call__(self, message: Message) -> Message | None:
        """Falsify an offer and each piece."""
        if isinstance(message, OfferFound) and message.offer is not None:
            contents, whole = message.offer.contents, b"\0\0\1\0" * message.offer.contents.size
            ends = [min(start + 500, contents.size) for start in range(0, contents.size, 500)]
            self._pieces = [whole[index * 500 : end] for index, end in enumerate(ends)]
            lie = replace(contents, pieces=tuple(map(sha256, self._pieces)))
            return replace(message, offer=replace(message.offer, contents=lie))
        if isinstance(message, Piece):
            return replace(message, data=self._pieces[message.index])
        return None


def another_root(message: Message) -> Message | None:
    """Change the header, so that the certificate is of another block."""
    if not isinstance(message, OfferFound) or message.offer is None:
        return None
    *links, last = message.offer.links
    header = replace(last.header, state_root=Hash(b"r" * 32))
    return replace(
        message, offer=replace(message.offer, links=(*links, replace(last, header=header)))
    )


def without_certificate(message: Message) -> Message | None:
    """Let nobody have signed the block."""
    if not isinstance(message, OfferFound) or message.offer is None:
        return None
    *links, last = message.offer.links
    bare = replace(last, certificate=replace(last.certificate, votes=()))
    return replace(message, offer=replace(message.offer, links=(*links, bare)))


def joins_past(pump: Pump, falsify: Falsify, *, liars: Collection[int]) -> set[int]:
    """Join although some lie; return of whom of them the fresh node wanted nothing any more."""
    told = lie(pump, falsify, liars=liars)
    gone: set[int] = set()
    pump.start(FRESH)

    def is_over() -> bool:
        gone.update(index for index in told if is_banned(pump, index))
        return pump.machine(FRESH).view.height > HEIGHT + 3

    assert pump.run(is_over, limit_ms=60_000)
    assert told, "somebody has lied"
    pump.tamper = lambda _from, _to, payload: payload
    pump.settle()
    assert len(pump.roots()) == 1
    return gone


@pytest.mark.parametrize("liars", [{5}, {0, 1, 2, 3, 4}], ids=["one liar", "five liars"])
@pytest.mark.parametrize("falsify", [another_piece, endless])
def test_whoever_sends_another_piece_is_banned(falsify: Falsify, liars: set[int]) -> None:
    """Each of them, and the pieces come from those who keep their word."""
    pump = a_mesh()

    assert joins_past(pump, falsify, liars=liars) == liars
    assert begins_at(pump) == HEIGHT


@pytest.mark.parametrize("falsify", [another_root, without_certificate])
def test_a_header_that_nobody_signed_is_not_believed(falsify: Falsify) -> None:
    """Of equal offers each is judged before anything is fetched, until one is proved."""
    pump = a_mesh()
    first = max(OTHERS, key=lambda index: pump.nodes[index].id)

    assert joins_past(pump, falsify, liars={first}) == {first}
    assert begins_at(pump) == HEIGHT


def test_a_false_state_is_found_when_it_is_whole() -> None:
    """Five promise the same false bytes and keep that promise: the root of the header tells."""
    pump = a_mesh()

    assert joins_past(pump, FalseState(), liars=set(range(5))) == set(range(5))
    assert begins_at(pump) == HEIGHT
    assert pump.nodes[FRESH].notes["snapshot.false"] == 1


@pytest.mark.parametrize("effects", ["lie", "silence"])
def test_what_was_gathered_in_vain_takes_no_room(effects: str) -> None:
    """Nobody's junk stays on the disk, whether it was false or never became whole."""
    pump = a_mesh()
    told = lie(pump, FalseState() if effects == "lie" else a_few_only(), liars=OTHERS)
    pump.start(FRESH)
    fresh = pump.nodes[FRESH]
    note = "snapshot.false" if effects == "lie" else "snapshot.given_up"

    assert pump.run(lambda: fresh.notes[note] > 0, limit_ms=60_000)
    pump.wait(1)

    assert told
    assert not fresh.data.exists(GATHERED) or not fresh.data.read(GATHERED)


def a_few_only() -> Falsify:
    """Give the first pieces, then nothing."""
    given: list[int] = []

    def falsify(message: Message) -> Message | None:
        if not isinstance(message, Piece):
            return None
        given.append(message.index)
        return None if len(given) <= 2 else Pong(0)

    return falsify


def test_a_few_offers_are_enough_and_each_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many offer: what is held, and hashed, does not grow with their number."""
    monkeypatch.setattr("aitbc_node.arriving.OFFERS_MAX", 2)
    pump = a_mesh()
    named: Counter[str] = Counter()
    name = Contents.name

    def count(contents: Contents) -> Hash:
        named[sys._getframe(1).f_code.co_filename.rpartition("/")[2]] += 1
        return name(contents)

    monkeypatch.setattr(Contents, "name", count)
    join(pump)

    assert begins_at(pump) == HEIGHT
    assert named["arriving.py"] <= 3, "two that are held, and the one that is judged"


def test_numbers_count_before_heights_and_who_was_slow_comes_last() -> None:
    """One liar can always have the newest header; it needs company to be believed first."""
    arriving = a_mesh().machine(0)._arriving
    known = Known(Height(0), Hash(bytes(32)))
    liar, one, other = (PeerId(bytes([number]) * 20) for number in range(3))

    def offered(height: int) -> _Offered:
        name = Hash(bytes([height]) * 32)
        contents = Contents(name, Height(height), BlockId(name), 1, (name,))
        return _Offered(Offer(contents, ()), known, name)

    arriving._offered = {liar: offered(9), one: offered(7), other: offered(7)}

    def best() -> int:
        return arriving._offered[max(arriving._offered, key=arriving._worth)].offer.height

    assert best() == 7
    arriving._slow = {one: None}
    assert best() == 9
    arriving._slow = {liar: None, one: None}
    assert best() == 7
    arriving._slow = dict.fromkeys((liar, one, other))
    assert best() == 9


def test_who_is_too_slow_is_given_up_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks bring the node there, and then nothing is held against anybody."""
    monkeypatch.setattr(Pieces, "is_too_slow", lambda _pieces, _now_ms: True)
    pump = a_mesh()
    pump.start(FRESH)
    fresh = pump.nodes[FRESH]
    assert pump.run(lambda: fresh.notes["snapshot.given_up"] > 0, limit_ms=60_000)

    assert set(pump.machine(FRESH)._arriving._slow) == {pump.nodes[index].id for index in OTHERS}
    assert pump.run(lambda: pump.machine(FRESH).view.height > HEIGHT, limit_ms=60_000)
    assert begins_at(pump) == 1


def silence(message: Message) -> Message | None:
    """Promise, and send nothing."""
    return Pong(0) if isinstance(message, Piece) else None


def test_who_sends_nothing_is_asked_no_more() -> None:
    """A promise that is not kept costs ten seconds, once."""
    pump = a_mesh()

    joins_past(pump, silence, liars=set(range(5)))

    assert begins_at(pump) == HEIGHT


def test_where_all_lie_there_are_still_the_blocks() -> None:
    """After three tries nobody is asked for a state for a while, and blocks come from anybody."""
    pump = a_mesh()

    joins_past(pump, silence, liars=OTHERS)

    assert begins_at(pump) == 1


def test_who_boasts_of_a_height_keeps_nobody_from_voting() -> None:
    """A claim that nothing proves: validators make blocks as fast as before, and serve others."""
    pump = a_mesh()
    began_ms, height = pump.now_ms, max(pump.heights())
    pump.run_to(height + 20, limit_ms=60_000)
    usual_ms = pump.now_ms - began_ms
    everybody = [index for index in OTHERS if index != 5]

    began_ms = pump.now_ms
    while max(pump.heights()) < height + 40:
        for index in everybody:
            pump.inject(index, 5, encode(Status(Height(10**9))))
        pump.wait(100)

    assert pump.now_ms - began_ms <= usual_ms + 200
    assert all(pump.nodes[index].notes["snapshot.fetched"] == 0 for index in everybody)


class BrokenDisk(MemoryDisk):
    """Be a disk on which states cannot be read or gathered."""

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Fail for states."""
        if name in (*SLOTS, GATHERED):
            raise DiskError(f"{name}: cannot read at {offset}")
        return super().read(name, offset, length)


def test_a_disk_that_does_not_give_states_back_ends_no_node() -> None:
    """Peers are told that there is nothing; a node that cannot gather takes the blocks."""
    pump = a_mesh()
    for index in range(5):
        pump.nodes[index].data.__class__ = BrokenDisk
    join(pump)
    assert begins_at(pump) == HEIGHT, "from the one whose disk is sound"

    other = a_mesh()
    other.nodes[FRESH].data.__class__ = BrokenDisk
    other.start(FRESH)
    assert other.run(lambda: other.nodes[FRESH].notes["snapshot.failed"] > 0, limit_ms=20_000)
    other.nodes[FRESH].data.__class__ = MemoryDisk
    assert other.run(lambda: other.machine(FRESH).view.height > HEIGHT, limit_ms=200_000)
    assert {peer.id for peer in other.machine(FRESH).view.peers()} == {
        other.nodes[index].id for index in OTHERS
    }, "nobody was called a liar"


@pytest.mark.parametrize("effects", range(0, 60, 3))
def test_a_node_that_dies_in_the_middle_joins_all_the_same(effects: int) -> None:
    """Killed behind any of its effects, it starts from what is on its disk and gets there."""
    pump = a_mesh()
    pump.crash_at[FRESH] = 40 + effects

    join(pump)

    assert begins_at(pump) == HEIGHT


def a_trusted(pump: Pump, height: int, *, block_id: bytes = b"") -> Trusted:
    """Know a block from people."""
    store = pump.nodes[0].store
    assert store is not None
    final = store.block(Height(height))
    assert final is not None
    return Trusted(Height(height), BlockId(block_id) or final.certificate.block_id)


@pytest.mark.parametrize("height", [10, 59, HEIGHT])
def test_a_block_that_the_operator_knows_is_where_belief_begins(height: int) -> None:
    """Below the kept state its header is asked for; the one of the state itself proves all."""
    pump = a_mesh()
    pump.trust(FRESH, a_trusted(pump, height))

    join(pump)

    assert begins_at(pump) == HEIGHT


def test_a_state_of_another_history_is_not_taken() -> None:
    """The operator knows another block of that height than everybody shows."""
    pump = a_mesh()
    pump.trust(FRESH, a_trusted(pump, 10, block_id=b"?" * 32))
    pump.start(FRESH)

    pump.wait(20_000)

    assert pump.machine(FRESH).view.height < HEIGHT
    assert pump.nodes[FRESH].notes["snapshot.arrived"] == 0
