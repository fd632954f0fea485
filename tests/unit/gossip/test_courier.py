"""Messages of accounts between peers: who gets which, and how little a slow link is asked for."""

from collections import Counter

from aitbc_node import limits
from aitbc_node.crypto import sha256
from aitbc_node.events import Lane, Send
from aitbc_node.gossip.courier import PART, QUEUE_BYTES_MAX, QUEUE_MAX, Courier
from aitbc_node.gossip.messages import READS_LETTERS, Letters, decode_message
from aitbc_node.gossip.relay import FLUSH_MS
from aitbc_node.gossip.speed import Kind, Speeds
from aitbc_node.gossip.topology import Topology
from aitbc_node.types import Height, PeerId

PEERS = tuple(PeerId(bytes([number]) * 20) for number in range(4))
ABLE, OLDER = "0.1.0" + READS_LETTERS + "+handed", "0.1.0+handed"
LAST = Height(9)


class Node:
    """Be what passes messages on at one node, and what left to whom."""

    def __init__(self, *, able: int = len(PEERS), carries: int = 0) -> None:
        self.topology, speeds = Topology(), Speeds()
        self.courier = Courier(self.topology, speeds)
        self.now_ms = 10_000
        self.sent: dict[PeerId, Counter[bytes]] = {peer: Counter() for peer in PEERS}
        self.frames: list[Send] = []
        for number, peer in enumerate(PEERS):
            self.courier.peer_up(peer, release=ABLE if number < able else OLDER)
            speeds.begin(peer)
            if carries and not number:
                speeds._links[peer].kind, speeds._links[peer].carries = Kind.SLOW, carries

    def add(self, *raws: bytes, source: PeerId | None = None) -> None:
        """Queue some."""
        for raw in raws:
            self.courier.add(sha256(raw), raw, source=source)

    def flush(self) -> None:
        """Send what waits."""
        self.now_ms += FLUSH_MS
        self.take(*self.courier.flush(PEERS, self.now_ms))

    def greet(self, peer: PeerId) -> None:
        """Tell a new peer all that is held ready."""
        self.courier.greet(peer)
        while self.courier.mailbox.creditors:
            self.now_ms += 60_000
            self.take(*self.courier.tell(self.courier.creditors, self.now_ms))

    def take(self, *effects: Send) -> None:
        """Note what leaves."""
        for effect in effects:
            message = decode_message(effect.payload)
            assert isinstance(message, Letters)
            assert effect.lane is Lane.MESSAGES, "it waits for all that blocks need"
            self.frames.append(effect)
            for peer in effect.peers:
                self.sent[peer].update(message.raws)


def numbered(count: int, size: int = 100) -> list[bytes]:
    """Make different raw bytes."""
    return [number.to_bytes(size) for number in range(1, count + 1)]


def test_all_that_read_them_get_each_once_in_few_frames() -> None:
    """What came within a few milliseconds shares the bytes of one frame for all."""
    node = Node(able=3)
    raws = numbered(limits.LETTERS_COUNT_MAX + 1)
    node.add(*raws)
    node.flush()
    node.flush()

    assert [node.sent[peer] for peer in PEERS] == [Counter(raws)] * 3 + [Counter()]
    assert [frame.peers for frame in node.frames] == [PEERS[:3]] * 2
    assert not node.courier.waiting


def test_who_has_it_from_the_source_is_not_sent_it() -> None:
    """As with all that spreads: only to peers that are not linked with whom it came from."""
    node = Node()
    node.topology.told(PEERS[0], [PEERS[1]])
    node.topology.told(PEERS[1], [PEERS[0]])
    node.add(b"news", source=PEERS[0])
    node.flush()

    assert [bool(node.sent[peer]) for peer in PEERS] == [False, False, True, True]


def test_many_sources_are_few_frames_for_each_peer() -> None:
    """However many sets of peers lack something, so that nobody seems to flood."""
    node = Node()
    raws = numbered(60)
    for place, raw in enumerate(raws):
        node.add(raw, source=PEERS[place % len(PEERS)] if place % 5 else None)
    node.flush()

    frames = Counter(peer for frame in node.frames for peer in frame.peers)
    assert frames == dict.fromkeys(PEERS, 1)
    assert all(max(sent.values()) == 1 for sent in node.sent.values())
    assert set().union(*node.sent.values()) == set(raws)


def test_a_slow_link_gets_a_part_of_what_it_carries_and_the_others_all() -> None:
    """The rest is lost to it, so nothing piles up in front of votes."""
    node, seconds = Node(carries=80_000), 10
    raws = numbered(50 * seconds, 10_000)
    for place in range(0, len(raws), 1):
        node.add(raws[place])
        node.flush()

    carried = 10_000 * node.sent[PEERS[0]].total()
    assert 0 < carried <= 80_000 // PART * (seconds + 1) + 10_000
    assert all(node.sent[peer] == Counter(raws) for peer in PEERS[1:])
    assert node.courier.dropped == len(raws) - node.sent[PEERS[0]].total()


def test_nothing_that_leaves_for_a_slow_link_delays_signs_of_life_for_long() -> None:
    """A single message that would is lost to it, also of those that a new peer is told."""
    carries = 6_000
    node, large, small = Node(carries=carries), numbered(3, 10_000), numbered(200, 500)
    for raw in (*large, *small[:20]):
        node.courier.mailbox.keep(sha256(raw), raw, valid_until=LAST)
    node.greet(PEERS[0])
    assert node.sent[PEERS[0]] == Counter(small[:20])

    node.add(*small[20:], *large)
    node.now_ms += 60_000
    node.flush()
    slow = [frame for frame in node.frames if PEERS[0] in frame.peers]
    bearable = carries * limits.DEAD_AFTER_MS // 2_000
    assert max(len(frame.payload) for frame in slow) <= bearable + 500
    assert len(slow[-1].payload) > carries // 2, "it gets what it can bear"
    assert node.sent[PEERS[1]] == Counter(small[20:] + large)


def test_the_queue_and_what_is_held_ready_are_bounded() -> None:
    """The newest to accounts stay, by count and by bytes."""
    node = Node()
    node.add(*numbered(QUEUE_MAX + 5))
    assert (node.courier.waiting, node.courier.dropped) == (QUEUE_MAX, 5)

    node.flush()
    fit = QUEUE_BYTES_MAX // limits.LETTER_BYTES_MAX
    node.add(*numbered(fit + 5, limits.LETTER_BYTES_MAX))
    assert (node.courier.waiting, node.courier.dropped) == (fit, 10)
    node.flush()
    assert all(len(frame.payload) < limits.LETTERS_TOLD_BYTES + 1_000 for frame in node.frames)
    node.add(b"more")
    assert node.courier.waiting == 1

    for raws in (numbered(limits.LETTERS_KEPT_MAX + 5), numbered(90, limits.LETTER_BYTES_MAX)):
        for raw in raws:
            node.courier.mailbox.keep(sha256(raw), raw, valid_until=LAST)
        node.sent[PEERS[1]].clear()
        node.greet(PEERS[1])
        held = [raw for raw in raws if raw in node.sent[PEERS[1]]]
        assert held == raws[-len(held) :]
        assert len(held) <= limits.LETTERS_KEPT_MAX
        assert sum(map(len, held)) <= limits.LETTERS_KEPT_BYTES_MAX


def test_a_new_peer_is_told_what_has_not_ended_unless_it_is_older() -> None:
    """Behind the last height nobody hears of it any more."""
    node = Node(able=2)
    node.courier.mailbox.keep(sha256(b"one"), b"one", valid_until=Height(3))
    node.courier.mailbox.keep(sha256(b"two"), b"two", valid_until=Height(4))
    node.courier.mailbox.advance(Height(4))
    for peer in PEERS:
        node.greet(peer)

    assert [node.sent[peer] for peer in PEERS] == [Counter([b"two"])] * 2 + [Counter()] * 2


def test_a_peer_that_went_is_begun_anew() -> None:
    """It may come back as another build."""
    node = Node()
    node.courier.peer_down(PEERS[0])
    node.courier.peer_up(PEERS[0], release=OLDER)
    node.add(b"news")
    node.flush()

    assert not node.sent[PEERS[0]]
