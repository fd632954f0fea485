"""Peers: dialling, pinging, giving up, and punishing."""

from aitbc_node import limits
from aitbc_node.events import Dial, Disconnect, Effect, PeerDown, PeerUp, Send
from aitbc_node.gossip.book import DIAL_LOST_MS, YIELD_MS
from aitbc_node.gossip.links import PINGS_COUNTED, REQUESTS_PER_TICK_MAX, Link
from aitbc_node.gossip.messages import Hello, Ping, decode_message
from aitbc_node.gossip.peers import Peers
from aitbc_node.gossip.reach import Reach
from aitbc_node.gossip.records import PeerRecord
from aitbc_node.gossip.speed import MEASURED_BYTES_MIN, Kind
from aitbc_node.gossip.standing import BAN_MS
from aitbc_node.types import Address, PeerId, Power, PublicKey, Signature
from aitbc_node.validators import Validator, ValidatorSet

OWN = PeerId(b"m" * 20)
LOW = PeerId(b"a" * 20)
HIGH = PeerId(b"z" * 20)
STRANGER = PeerId(b"s" * 20)

PING_TIMES = [500, 1_000, 1_500]
"""As often as may be, by a clock that is looked at four times a second."""


def some_peers(*known: PeerId, listed_only: bool = False) -> Peers:
    """Build the links of a node that knows these."""
    bootstrap = tuple((peer, f"{peer.hex()}:1") for peer in known)
    return Peers(OWN, bootstrap, listed_only=listed_only)


def up(peer: PeerId, *, outbound: bool = True) -> PeerUp:
    """Report a link."""
    return PeerUp(wall_ms=0, peer=peer, outbound=outbound, address="there:1", version="1")


def down(peer: PeerId, *, was_up: bool = True) -> PeerDown:
    """Report the end of a link, or a failed dial."""
    return PeerDown(wall_ms=0, peer=peer, reason="gone", was_up=was_up)


def dialled(effects: list[Effect]) -> list[PeerId]:
    """List whom these effects dial."""
    return [effect.peer for effect in effects if isinstance(effect, Dial)]


def dropped(effects: list[Effect]) -> list[PeerId]:
    """List whose links these effects close."""
    return [effect.peer for effect in effects if isinstance(effect, Disconnect)]


def test_availability_is_the_share_of_pings_that_came_back() -> None:
    """One on its way is not missed yet; what was long ago is forgotten."""
    since = {"since_ms": 0, "heard_ms": 0, "pinged_ms": 0}
    link = Link(HIGH, "there:1", outbound=True, version="1", source="there:1", **since)
    assert link.view(score=100, speed="home").availability is None
    for answered in (True, True, True, False):
        number = link.ping(0)
        assert link.view(score=100, speed="home").availability in {None, 100}
        assert not answered or link.pong(number, 30)
    link.ping(0)
    assert link.view(score=100, speed="home").availability == 75
    assert link.view(score=100, speed="home").rtt_ms == 30

    for _ in range(10 * PINGS_COUNTED):
        assert link.pong(link.ping(0), 30)
    assert link.view(score=100, speed="home").availability == 99
    assert not link.pong(link.ping(0) - 1, 30)


def test_a_flood_of_frames_is_seen_and_a_burst_after_a_pause_is_none() -> None:
    """What one peer may send leaks away with time, so that only a lasting flood is too much."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)
    peers.tick(0)
    link = peers.heard(HIGH, 0)
    assert link is not None
    for _ in range(limits.PEER_FRAMES_BURST - 1):
        peers.heard(HIGH, 0)
    assert not link.is_flooding
    peers.heard(HIGH, 0)
    assert link.is_flooding

    peers.tick(1_000)
    for _ in range(limits.PEER_FRAMES_PER_S):
        assert not link.is_flooding
        peers.heard(HIGH, 1_000)
    peers.heard(HIGH, 1_000)
    assert link.is_flooding


def test_of_two_that_know_each_other_the_smaller_id_dials_first() -> None:
    """Both would open a link at the same moment else."""
    peers = some_peers(LOW, HIGH)

    assert dialled(peers.tick(0)) == [HIGH]
    assert dialled(peers.tick(YIELD_MS)) == [LOW]


def test_a_failed_dial_is_repeated_with_growing_capped_delays() -> None:
    """Each wait is longer than the one before until the cap, jitter included, and never ends."""
    peers = some_peers(HIGH)
    now_ms = last_ms = 0
    gaps: list[int] = []
    while len(gaps) < 8:
        if dialled(peers.tick(now_ms)):
            gaps.append(now_ms - last_ms)
            last_ms = now_ms
            peers.on_down(down(HIGH, was_up=False), now_ms)
        now_ms += 10

    cap_ms = limits.REDIAL_CAP_MS * 3 // 2 + 10
    assert limits.REDIAL_BASE_MS <= gaps[1] < gaps[2] < gaps[3] <= cap_ms
    assert all(limits.REDIAL_CAP_MS <= gap <= cap_ms for gap in gaps[5:])


def test_the_jitter_differs_between_peers_and_not_between_runs() -> None:
    """Nodes that lost each other do not dial in step; yet a run can be repeated."""

    def delay_of(peer: PeerId) -> int:
        peers = some_peers(peer)
        peers.tick(YIELD_MS)
        for _ in range(6):
            peers.on_down(down(peer, was_up=False), 0)
        return next(now_ms for now_ms in range(0, 10_000, 5) if dialled(peers.tick(now_ms)))

    others = [PeerId(bytes([number]) * 20) for number in range(200, 206)]
    assert [delay_of(peer) for peer in others] == [delay_of(peer) for peer in others]
    assert len({delay_of(peer) for peer in others}) > 1


def test_a_dial_that_nobody_answers_is_not_waited_for_for_ever() -> None:
    """The driver may lose an answer; the peer is dialled again."""
    peers = some_peers(HIGH)
    peers.tick(0)

    quiet = [dialled(peers.tick(now_ms)) for now_ms in range(250, 9_750, 250)]
    later = [dialled(peers.tick(now_ms)) for now_ms in range(9_750, 14_000, 250)]

    assert not any(quiet)
    assert any(later)


def test_no_more_than_the_greatest_number_is_dialled() -> None:
    """Dials under way count; the rest wait for a free place."""
    known = [PeerId(b"z" + bytes([number]) * 19) for number in range(limits.OUTBOUND_MAX + 5)]
    peers = some_peers(*known)

    first = dialled(peers.tick(0))
    for peer in first:
        peers.on_up(up(peer), 0)

    assert len(first) == limits.OUTBOUND_MAX
    assert dialled(peers.tick(250)) == []


def test_pings_measure_the_way_and_silence_ends_a_link() -> None:
    """Half a second between pings; two seconds without any frame and the link is closed."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)
    pings = []
    for now_ms in range(0, 1_750, 250):
        for effect in peers.tick(now_ms):
            assert isinstance(effect, Send)
            message = decode_message(effect.payload)
            assert isinstance(message, Ping)
            pings.append(now_ms)
            if len(pings) == 1:
                peers.on_pong(HIGH, message.number, now_ms + 30)

    assert pings == PING_TIMES
    assert [view.rtt_ms for view in peers.views(0)] == [30]
    assert dropped(peers.tick(1_999)) == []
    assert dropped(peers.tick(2_000)) == [HIGH]
    assert peers.linked() == ()


def test_any_frame_is_a_sign_of_life() -> None:
    """A peer that only sends votes is alive."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)

    for now_ms in range(250, 10_000, 250):
        assert peers.heard(HIGH, now_ms)
        assert dropped(peers.tick(now_ms)) == []
    assert not peers.heard(STRANGER, 10_000)


def pinged(peers: Peers, *, until_ms: int, bytes_in_between: int = 0) -> list[int]:
    """Say when a peer is pinged that answers at once and says something else all the time."""
    found = []
    for now_ms in range(250, until_ms, 250):
        peers.heard(HIGH, now_ms)
        peers.speeds.send((HIGH,), bytes_in_between, now_ms)
        for effect in peers.tick(now_ms):
            assert isinstance(effect, Send)
            message = decode_message(effect.payload)
            assert isinstance(message, Ping)
            peers.on_pong(HIGH, message.number, now_ms)
            found.append(now_ms)
    return found


def test_who_is_heard_all_the_time_is_pinged_only_to_measure_the_way() -> None:
    """Once in two seconds, not in half a second: that it lives is known without."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)

    assert pinged(peers, until_ms=6_500) == [500, 2_500, 4_500]


def test_a_link_that_carries_much_or_little_is_pinged_as_often_as_may_be() -> None:
    """What its speed is judged by comes twice a second: much has left, or the link is slow."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)
    busy = pinged(peers, until_ms=1_750, bytes_in_between=MEASURED_BYTES_MIN)

    peers.on_up(up(HIGH), 0)
    peers.speeds._links[HIGH].kind = Kind.SLOW

    assert busy == pinged(peers, until_ms=1_750) == PING_TIMES


def test_after_an_own_pause_nobody_is_judged_silent_at_once() -> None:
    """A stopped process finds the peers' frames in its queues when it goes on."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)
    peers.tick(0)

    resumed = peers.tick(60_000)
    later = [dropped(peers.tick(60_000 + step)) for step in range(250, 2_250, 250)]

    assert dropped(resumed) == []
    assert later[-1] == [HIGH]


def test_a_pong_that_answers_nothing_measures_nothing() -> None:
    """A peer cannot make itself look near."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)
    peers.tick(500)

    peers.on_pong(HIGH, 99, 501)
    peers.on_pong(STRANGER, 1, 501)

    assert [view.rtt_ms for view in peers.views(0)] == [None]


def test_faults_cost_the_link_and_pile_up_to_a_ban() -> None:
    """Four faults in a row and the peer is refused for a minute; then it may come again."""
    peers = some_peers(HIGH)
    for _ in range(4):
        peers.on_up(up(HIGH), 0)
        assert dropped(peers.fault(HIGH, "nonsense", 0)) == [HIGH]
        peers.on_down(down(HIGH), 0)

    assert dropped(peers.on_up(up(HIGH, outbound=False), 0)) == [HIGH]
    peers.on_down(down(HIGH), 0)
    assert dialled(peers.tick(10_000)) == []
    assert dialled(peers.tick(BAN_MS + 10_000)) == [HIGH]
    assert dropped(peers.on_up(up(HIGH), BAN_MS + 10_000)) == []


def test_who_did_wrong_is_not_passed_on() -> None:
    """Others would dial it on this node's word."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)
    entry = peers.book.get(HIGH)
    assert entry is not None
    assert entry.met_ms == 0

    peers.fault(HIGH, "nonsense", 0)

    assert entry.met_ms is None


def test_a_single_fault_is_forgiven_with_time() -> None:
    """The score comes back, point by point."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)
    peers.fault(HIGH, "nonsense", 0)
    peers.on_down(down(HIGH), 0)
    peers.on_up(up(HIGH), 0)

    assert [view.score for view in peers.views(0)] == [75]
    assert [view.score for view in peers.views(10_000)] == [85]
    assert [view.score for view in peers.views(60_000)] == [100]


def test_forgery_is_not_forgiven_so_easily() -> None:
    """What no honest node could send even by mistake means a ban at once."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)
    peers.fault(HIGH, "a forged block", 0, is_forgery=True)
    peers.on_down(down(HIGH), 0)

    assert dropped(peers.on_up(up(HIGH), 1_000)) == [HIGH]


def test_strangers_are_welcome_only_where_admission_is_open() -> None:
    """A listed-only node closes the link of anybody else, and of itself."""
    assert dropped(some_peers(HIGH).on_up(up(STRANGER, outbound=False), 0)) == []
    closed = some_peers(HIGH, listed_only=True)
    assert dropped(closed.on_up(up(STRANGER, outbound=False), 0)) == [STRANGER]
    assert dropped(closed.on_up(up(OWN), 0)) == [OWN]


def test_the_number_of_links_is_bounded() -> None:
    """One more than allowed is closed; a known one that comes back replaces itself."""
    peers = some_peers()
    everybody = [PeerId(bytes([number]) * 20) for number in range(limits.PEERS_MAX)]
    for peer in everybody:
        assert dropped(peers.on_up(up(peer, outbound=False), 0)) == []

    assert dropped(peers.on_up(up(STRANGER, outbound=False), 0)) == [STRANGER]
    assert dropped(peers.on_up(up(everybody[0], outbound=False), 0)) == []
    assert len(peers.linked()) == limits.PEERS_MAX


def test_a_crowd_of_strangers_leaves_room_for_those_the_operator_named() -> None:
    """Identities cost nothing: without this, a crowd could keep the validators apart."""
    peers = some_peers(LOW, HIGH)
    crowd = [PeerId(bytes([number]) * 20) for number in range(limits.PEERS_MAX)]

    refused = [peer for peer in crowd if dropped(peers.on_up(up(peer, outbound=False), 0))]

    assert len(refused) == 2
    for named in (LOW, HIGH):
        assert dropped(peers.on_up(up(named, outbound=False), 0)) == []
    assert len(peers.linked()) == limits.PEERS_MAX


def test_a_crowd_of_strangers_leaves_room_for_validators_that_only_the_ledger_names() -> None:
    """For a validator those count as named, though its operator wrote down none of them."""
    peers = Peers(OWN, (), listed_only=False, votes=True)
    validator = PeerRecord(PublicKey(b"v" * 32), ("10.0.0.1:1",), 0, Signature(b""))
    peers.book.vouch([validator], 0)
    crowd = [PeerId(bytes([number]) * 20) for number in range(limits.PEERS_MAX)]

    refused = [peer for peer in crowd if dropped(peers.on_up(up(peer, outbound=False), 0))]

    assert len(refused) == 1
    assert dropped(peers.on_up(up(validator.peer, outbound=False), 0)) == []


def test_who_has_proved_a_present_validators_key_is_kept() -> None:
    """One link for each key: whoever has it could vouch for as many nodes as it likes."""
    reach = Reach(chain_id="test-1", verify=lambda *_: True, interval_ms=500)
    voter, other = PublicKey(b"v" * 32), PublicKey(b"o" * 32)
    for peer, key in ((LOW, voter), (HIGH, voter), (STRANGER, other)):
        reach.told(peer, Hello(key, Signature(b"")))
    assert reach.voters() == frozenset()

    reach.watch(ValidatorSet((Validator(Address(bytes(20)), voter, Power(1)),)), 0)
    peers = some_peers()
    for peer in (LOW, HIGH, STRANGER):
        peers.on_up(up(peer, outbound=False), 0)

    kept = [link.peer for link in peers.held(0, lambda _: 0, voters=reach.voters()) if link.is_kept]
    assert kept == [LOW]


def test_a_crowd_is_where_links_come_from_and_not_what_peers_say() -> None:
    """What a peer advertises costs it nothing."""
    peers = some_peers()
    for number, peer in enumerate((LOW, HIGH)):
        told = PeerUp(
            wall_ms=0,
            peer=peer,
            outbound=False,
            address=f"198.51.{number}.1:1",
            version="1",
            source=f"203.0.113.{number}:{40_000 + number}",
        )
        peers.on_up(told, 0)

    assert [link.crowd for link in peers.held(0, lambda _: 0)] == ["203.0.113.0/24"] * 2


def test_links_that_were_closed_are_not_remembered_for_ever() -> None:
    """A fault may come to light after its peer hung up, and then no end of a link follows."""
    peers = some_peers()
    for number in range(100):
        peers.fault(PeerId(bytes([number]) * 20), "forged", 0, is_forgery=True)

    peers.tick(DIAL_LOST_MS)

    assert not peers._closing


def test_a_failed_dial_does_not_take_an_existing_link_away() -> None:
    """Of two simultaneous dials one fails, and the other's link stays."""
    peers = some_peers(HIGH)
    peers.tick(0)
    peers.on_up(up(HIGH, outbound=False), 5)

    peers.on_down(down(HIGH, was_up=False), 6)

    assert peers.linked() == (HIGH,)
    assert dialled(peers.tick(5_000 - 3_500)) == []


def test_requests_are_counted_between_ticks() -> None:
    """A peer that only asks is noticed; the count begins anew with each tick."""
    peers = some_peers(HIGH)
    peers.on_up(up(HIGH), 0)

    assert all(peers.may_ask(HIGH) for _ in range(REQUESTS_PER_TICK_MAX))
    assert not peers.may_ask(HIGH)
    assert not peers.may_ask(STRANGER)
    peers.tick(250)
    assert peers.may_ask(HIGH)
