"""What is held ready for peers: who is told of it when, and how much one of them may ask for."""

from collections import Counter

from aitbc_node import limits
from aitbc_node.crypto import sha256
from aitbc_node.gossip.courier import PART, Courier
from aitbc_node.gossip.mailbox import BEHIND_BLOCKS
from aitbc_node.gossip.messages import READS_LETTERS, Letters, decode_message
from aitbc_node.gossip.speed import Kind, Speeds
from aitbc_node.gossip.topology import Topology
from aitbc_node.types import Height, PeerId

PEER, OTHER = PeerId(b"p" * 20), PeerId(b"o" * 20)
TICK_MS = 250
OWN = Height(1_000)


class Node:
    """Be a node that holds some ready, and what it told whom."""

    def __init__(self, *raws: bytes) -> None:
        self.speeds = Speeds()
        self.courier = Courier(Topology(), self.speeds)
        self.now_ms = 10_000
        self.told: dict[PeerId, Counter[bytes]] = {PEER: Counter(), OTHER: Counter()}
        self.largest = 0
        for raw in raws:
            self.courier.mailbox.keep(sha256(raw), raw, valid_until=Height(2_000))

    def up(self, peer: PeerId = PEER, *, release: str = "0" + READS_LETTERS) -> None:
        """Let a link come up, in place of an earlier one."""
        self.courier.peer_down(peer)
        self.courier.peer_up(peer, release=release)
        self.speeds.begin(peer)
        self.courier.greet(peer)

    def ticks(self, count: int) -> None:
        """Let time pass."""
        for _ in range(count):
            self.now_ms += TICK_MS
            for effect in self.courier.tell(self.courier.creditors, self.now_ms):
                message = decode_message(effect.payload)
                assert isinstance(message, Letters)
                self.largest = max(self.largest, sum(map(len, message.raws)))
                for peer in effect.peers:
                    self.told[peer].update(message.raws)

    def says(self, height: int, peer: PeerId = PEER) -> None:
        """Let a peer tell its height."""
        self.courier.claimed(peer, Height(height), own=OWN)


def numbered(count: int, size: int) -> list[bytes]:
    """Make different raw bytes."""
    return [number.to_bytes(size) for number in range(1, count + 1)]


FULL = numbered(limits.LETTERS_KEPT_BYTES_MAX // limits.LETTER_BYTES_MAX, limits.LETTER_BYTES_MAX)


def test_a_peer_that_comes_is_told_all_piece_by_piece() -> None:
    """What is new to say meanwhile stands behind one piece only."""
    node = Node(*FULL)
    node.up()
    node.ticks(1)
    first = node.told[PEER].total()
    node.ticks(60)

    assert 0 < first < len(FULL)
    assert node.largest <= limits.LETTERS_TOLD_BYTES
    assert node.told[PEER] == Counter(FULL)
    assert not node.courier.mailbox.creditors


def test_a_peer_that_was_behind_is_told_anew_once_it_has_what_was_here_then() -> None:
    """Whoever merely has not told of the last block is not behind, and is told nothing twice."""
    node = Node(b"one", b"two")
    for peer in (PEER, OTHER):
        node.up(peer)
    node.ticks(1)
    for height in (10, 500, OWN - BEHIND_BLOCKS, OWN - 1):
        node.says(height)
        node.says(OWN - BEHIND_BLOCKS + 1, OTHER)
        node.says(limits.INT_MAX, OTHER)
        node.ticks(1)
    assert node.told[PEER] == Counter([b"one", b"two"])

    for _ in range(3):
        node.says(OWN)
        node.says(OWN, OTHER)
        node.ticks(1)
    assert node.told[PEER] == Counter(2 * [b"one", b"two"])
    assert node.told[OTHER] == Counter([b"one", b"two"])


def test_who_comes_back_over_and_over_is_told_no_more_for_that() -> None:
    """Nor who falls behind over and over; what it lacks follows by and by, and others wait not."""
    node = Node(*FULL)
    for number in range(200):
        node.up()
        node.says(OWN if number % 2 else 1)
        node.ticks(1)
    told = limits.LETTER_BYTES_MAX * node.told[PEER].total()
    most = limits.LETTERS_TOLD_BURST + 50 * limits.LETTERS_TOLD_RATE + limits.LETTERS_TOLD_BYTES
    assert limits.LETTERS_KEPT_BYTES_MAX < told <= most

    node.told[PEER].clear()
    node.up()
    node.up(OTHER)
    node.ticks(60)
    assert node.told[OTHER] == Counter(FULL)
    assert len(node.told[PEER]) < len(FULL)
    node.ticks(4 * 60)
    assert node.told[PEER] == Counter(FULL)


def test_a_peer_whose_link_breaks_all_the_time_is_told_the_newest() -> None:
    """Not the oldest over and over; those of one piece come in the order they came here."""
    node = Node(*FULL)
    node.up()
    node.ticks(1)
    assert list(node.told[PEER]) == FULL[-2:]

    for number in range(1, 100):
        new = (limits.INT_MAX + number).to_bytes(1_000)
        node.courier.mailbox.keep(sha256(new), new, valid_until=Height(2_000))
        node.up()
        node.ticks(20)
        assert node.told[PEER][new], "it is told before what is older"
        node.up()


def test_over_a_slow_link_all_comes_as_it_carries_it() -> None:
    """Nothing of it is lost, and no more leaves than its part."""
    raws = numbered(100, 1_000)
    node = Node(*raws)
    node.up()
    link = node.speeds._links[PEER]
    link.kind, link.carries = Kind.SLOW, 20_000
    node.ticks(4 * 10)
    assert 0 < 1_000 * node.told[PEER].total() <= 20_000 // PART * 11 + 8 * limits.KIB

    node.ticks(4 * 15)
    assert node.told[PEER] == Counter(raws)


def test_nothing_is_owed_to_older_builds_and_to_who_is_gone() -> None:
    """An older build takes such a message for a fault."""
    node = Node(b"one")
    node.up(release="0")
    node.says(1)
    node.says(OWN)
    node.up(OTHER)
    node.courier.peer_down(OTHER)
    node.ticks(4)

    assert not node.told[PEER]
    assert not node.told[OTHER]


def test_what_made_room_meanwhile_is_told_to_nobody() -> None:
    """The newest stay, and who is owed those that went is told the others."""
    node = Node(b"one", *numbered(3, 100))
    node.up()
    for raw in numbered(limits.LETTERS_KEPT_MAX, 200)[3:]:
        node.courier.mailbox.keep(sha256(raw), raw, valid_until=Height(2_000))
    node.ticks(8)

    assert node.told[PEER] == Counter(numbered(3, 100))
