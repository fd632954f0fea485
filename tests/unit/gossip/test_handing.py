"""What clients gave to a node with slow links: all of it comes to who can put it into a block."""

from collections import Counter

import pytest

from aitbc_node import limits
from aitbc_node.events import Send
from aitbc_node.gossip import lane
from aitbc_node.gossip.messages import (
    READS_HANDED,
    Transactions,
    TransactionsHanded,
    decode_message,
)
from aitbc_node.gossip.relay import FLUSH_MS, GROUPS_MAX, LENT_BLOCKS, TxRelay
from aitbc_node.gossip.speed import MANNERS, Kind, Speeds
from aitbc_node.gossip.topology import Topology
from aitbc_node.types import PeerId, TxId

ABLE, OLDER = "0.1.0" + READS_HANDED, "0.1.0"
PEERS = tuple(PeerId(bytes([number]) * 20) for number in range(12))
LANE = 20
FEW = MANNERS[Kind.SLOW].fan_out


class Node:
    """Be the relay of a node with links of some kind, and what it has sent to whom."""

    def __init__(
        self, kind: Kind, *, able: int = len(PEERS), own: int = 0, carries: int = 10**9
    ) -> None:
        speeds = Speeds()
        self.relay = TxRelay(Topology(), speeds)
        self.peers = PEERS
        self.now_ms = 0
        self.sent: dict[PeerId, Counter[TxId]] = {peer: Counter() for peer in PEERS}
        self.handed_to: set[PeerId] = set()
        self.frames: Counter[PeerId] = Counter()
        for number, peer in enumerate(PEERS):
            speeds.begin(peer)
            speeds._links[peer].kind = kind
            speeds._links[peer].carries = carries
            release = ABLE if number < able else OLDER
            self.relay.peer_up(peer, is_own=number < own, release=release)

    def bring(self, numbers: range) -> set[TxId]:
        """Let clients bring some transactions."""
        ids = {TxId(number.to_bytes(32)) for number in numbers}
        for number in numbers:
            self.relay.add(TxId(number.to_bytes(32)), number.to_bytes(32) * 8, source=None)
        return ids

    def flush(self, times: int = 1) -> None:
        """Send what may leave."""
        for _ in range(times):
            self.now_ms += FLUSH_MS
            for effect in self.relay.flush(self.peers, self.now_ms):
                self._take(effect)

    def _take(self, effect: Send) -> None:
        message = decode_message(effect.payload)
        assert isinstance(message, Transactions | TransactionsHanded)
        self.frames.update(effect.peers)
        for peer in effect.peers:
            self.sent[peer].update(TxId(raw[:32]) for raw in message.raws)
            if isinstance(message, TransactionsHanded):
                self.handed_to.add(peer)

    @property
    def arrived(self) -> set[TxId]:
        """Return what anybody got."""
        return set().union(*self.sent.values())


@pytest.mark.parametrize("able", [0, FEW - 1, FEW, len(PEERS) - 1, len(PEERS)])
def test_a_peer_of_an_older_build_is_handed_nothing(able: int) -> None:
    """It takes the message for none, which is a fault; with too few others all get it plainly."""
    node = Node(Kind.SLOW, able=able)
    for turn in range(20):
        node.bring(range(10 * turn, 10 * turn + 10))
        node.flush()

    assert node.handed_to <= set(PEERS[:able])
    assert bool(node.handed_to) is (able >= FEW)
    assert len(node.arrived) == 200
    if not node.handed_to:
        assert all(len(sent) == 200 for sent in node.sent.values())


def test_the_few_are_others_each_time_and_one_is_a_link_of_this_nodes_own() -> None:
    """Who links to a node and answers quickly does not get all that its clients bring."""
    node = Node(Kind.SLOW, own=2)
    for turn in range(24):
        node.sent = {peer: Counter() for peer in PEERS}
        node.bring(range(turn, turn + 1))
        node.flush()
        got = {peer for peer, sent in node.sent.items() if sent}
        assert len(got) == FEW
        assert got & set(PEERS[:2])

    assert len(node.handed_to) >= len(PEERS) // 2


@pytest.mark.parametrize("able", [0, len(PEERS)], ids=["all", "handed"])
def test_more_than_slow_links_hold_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, *, able: int
) -> None:
    """Thrice what all lanes take together: in the end each has left to somebody."""
    monkeypatch.setattr(lane, "LANE_MAX", LANE)
    node = Node(Kind.SLOW, able=able, carries=20_000)
    ids = node.bring(range(3 * len(PEERS) * LANE if able else 3 * LANE))

    for _ in range(30 * LENT_BLOCKS):
        node.flush(10)
        node.relay.advance(lambda tx_id: tx_id not in node.arrived)
        if node.arrived == ids:
            break

    assert node.arrived == ids


def test_what_a_few_kept_to_themselves_is_offered_to_others() -> None:
    """A thief, or one that died: after some blocks others get it, and in the end everybody."""
    node = Node(Kind.SLOW)
    node.bring(range(1))
    node.flush()
    assert sum(map(len, node.sent.values())) == FEW

    for _ in range(20 * LENT_BLOCKS):
        node.relay.advance(lambda _: True)
        node.flush()

    assert all(len(sent) == 1 for sent in node.sent.values())


def test_nothing_waits_longer_for_others_than_what_came_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lanes that are always full have new ones refused at every block, and old ones still go on."""
    monkeypatch.setattr(lane, "LANE_MAX", LANE)
    node = Node(Kind.SLOW, carries=4_000)
    for block in range(6 * LENT_BLOCKS):
        node.bring(range(40 * block, 40 * block + 40))
        node.flush(2)
        node.relay.advance(lambda _: True)
        lent = [at_block for _, at_block in node.relay._lent.values()]
        assert lent == sorted(lent)
        assert block + 1 - lent[0] < LENT_BLOCKS

    assert node.relay._refused == {}
    node.flush()
    assert node.relay._refused


@pytest.mark.parametrize("needs", [1, len(PEERS)], ids=["all need the same", "needs differ"])
def test_what_somebody_took_is_not_offered_again_to_who_had_no_room(
    monkeypatch: pytest.MonkeyPatch, needs: int
) -> None:
    """A few quick peers got all, so behind the next block nothing is queued for full links."""
    monkeypatch.setattr(lane, "LANE_MAX", LANE)
    node = Node(Kind.SLOW, able=0, carries=4_000)
    for peer in PEERS[8:]:
        node.relay._speeds._links[peer].kind = Kind.GIGABIT
    ids = node.bring(range(5 * LANE))
    for number, tx_id in enumerate(sorted(ids)):
        node.relay.peer_has(PEERS[number % needs], (tx_id,))
    node.flush()
    before = node.relay.waiting
    assert before > 0

    node.relay.advance(lambda _: True)

    assert node.relay.waiting == before


def test_what_a_block_holds_leaves_the_lanes_and_is_never_offered_again() -> None:
    """A slow link carries each body once."""
    node = Node(Kind.SLOW, carries=4_000)
    node.bring(range(1_000))
    node.flush()
    assert node.relay.waiting > 0

    for _ in range(2 * LENT_BLOCKS):
        node.relay.advance(lambda _: False)

    assert node.relay.waiting == 0


def test_what_a_peer_has_meanwhile_leaves_its_lane() -> None:
    """It came from somebody else."""
    node = Node(Kind.SLOW, able=0, carries=4_000)
    ids = node.bring(range(1_000))
    node.flush()
    before = node.relay.waiting

    node.relay.peer_has(PEERS[0], ids)

    assert 0 < node.relay.waiting < before
    assert not len(node.relay._lanes[PEERS[0]])


def test_a_larger_pool_loses_nothing_of_what_clients_bring() -> None:
    """What fits into the pool fits into what waits to be passed on, and is offered again."""
    larger = limits.MEMPOOL_TXS_MAX + 50
    node = Node(Kind.SLOW, able=0, carries=4_000)
    node.relay.txs_max = larger
    ids = node.bring(range(larger))
    node.flush()

    assert set(node.relay._lent) == ids


@pytest.mark.parametrize("kind", [Kind.GIGABIT, Kind.HOME])
def test_a_peer_gets_few_frames_however_the_needs_of_all_differ(kind: Kind) -> None:
    """A stranger that sends each transaction over other links makes nobody say too much."""
    node = Node(kind, able=0)
    for number in range(200):
        tx_id = TxId(number.to_bytes(32))
        node.relay.add(tx_id, number.to_bytes(32) * 8, source=PEERS[0])
        for bit, peer in enumerate(PEERS[1:]):
            if number >> bit % 8 & 1:
                node.relay.peer_has(peer, (tx_id,))

    node.flush()

    assert max(node.frames.values()) <= GROUPS_MAX
    for bit, peer in enumerate(PEERS[1:]):
        lacks = {TxId(number.to_bytes(32)) for number in range(200) if not number >> bit % 8 & 1}
        assert set(node.sent[peer]) == lacks
        assert node.sent[peer].total() == len(lacks)
