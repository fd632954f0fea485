"""Who gets what passed on, who is asked for what, and who is believed."""

import itertools

import pytest

from aitbc_node.blocks import NO_COMMIT, Block, Certificate, FinalBlock, Header
from aitbc_node.errors import PeerFault
from aitbc_node.events import Send
from aitbc_node.gossip import catch_up, fetch
from aitbc_node.gossip.catch_up import CatchUp
from aitbc_node.gossip.fetch import FETCHES_MAX, Fetches
from aitbc_node.gossip.messages import (
    BlockWanted,
    BodiesWanted,
    FinalsWanted,
    Hello,
    Message,
    Transactions,
    decode_message,
    hello_sign_bytes,
)
from aitbc_node.gossip.reach import HEARD_MS_MIN, LASTING_MS, Reach
from aitbc_node.gossip.relay import KNOWN_BLOCKS, KNOWN_PER_PEER_MAX, TxRelay
from aitbc_node.gossip.speed import Speeds
from aitbc_node.gossip.topology import Topology
from aitbc_node.types import (
    Address,
    BlockId,
    Hash,
    Height,
    PeerId,
    Power,
    PublicKey,
    Round,
    Signature,
    TxId,
)
from aitbc_node.validators import Validator, validator_set
from aitbc_sim.testing import FakeSigner, fake_verify

A, B, C, D = (PeerId(letter * 20) for letter in (b"a", b"b", b"c", b"d"))
BLOCK = BlockId(b"b" * 32)


def an_id(number: int) -> TxId:
    """Name a transaction."""
    return TxId(number.to_bytes(32, "big"))


def sent(effects: list[Send]) -> list[tuple[tuple[PeerId, ...], Message]]:
    """List who gets which message."""
    return [(effect.peers, decode_message(effect.payload)) for effect in effects]


def joined(topology: Topology, *links: tuple[PeerId, PeerId]) -> None:
    """Let both ends of each link tell of it."""
    lists: dict[PeerId, set[PeerId]] = {}
    for one, other in links:
        lists.setdefault(one, set()).add(other)
        lists.setdefault(other, set()).add(one)
    for peer, neighbours in lists.items():
        topology.told(peer, neighbours)


def test_in_a_full_mesh_nothing_is_passed_on() -> None:
    """Everybody is linked with the source and has it from there."""
    topology = Topology()
    joined(topology, (A, B), (A, C), (B, C))

    assert topology.targets((A, B, C), A) == ()
    assert topology.targets((A, B, C), None) == (A, B, C)


def test_what_a_peer_has_not_from_the_source_is_passed_on() -> None:
    """Only both ends' word counts: a link that one end alone tells of may carry nothing yet."""
    topology = Topology()
    joined(topology, (A, B))
    topology.told(C, {A})

    assert topology.targets((A, B, C), A) == (C,)
    topology.forget(B)
    assert topology.targets((A, B, C), A) == (B, C)


def test_a_message_reaches_every_node_of_any_connected_mesh() -> None:
    """All connected graphs of five nodes: flooding by neighbour lists misses nobody."""
    nodes = range(5)
    names = [PeerId(bytes([number]) * 20) for number in nodes]
    pairs = list(itertools.combinations(nodes, 2))
    frames = 0
    meshes = 0
    for bits in range(1 << len(pairs)):
        links = [pair for number, pair in enumerate(pairs) if bits >> number & 1]
        near = {
            node: [o for pair in links for o in pair if node in pair and o != node]
            for node in nodes
        }
        has = {0}
        queue: list[tuple[int, int | None]] = [(0, None)]
        while queue:
            node, source = queue.pop(0)
            topology = Topology()
            for other in near[node]:
                topology.told(names[other], [names[third] for third in near[other]])
            linked = tuple(names[other] for other in near[node])
            for target in topology.targets(linked, None if source is None else names[source]):
                frames += 1
                if names.index(target) not in has:
                    has.add(names.index(target))
                    queue.append((names.index(target), node))
        reachable, seen = [0], {0}
        for node in reachable:
            new = [other for other in near[node] if other not in seen]
            seen.update(new)
            reachable += new
        assert has == seen, f"links {links}"
        meshes += len(seen) == 5
    assert meshes == 728  # the number of connected labelled graphs with five nodes
    assert frames > 0


def test_transactions_leave_once_in_one_frame_for_all() -> None:
    """Peers with equal needs share a frame; who has a transaction does not get it again."""
    relay = TxRelay(Topology(), Speeds())
    for peer in (A, B, C):
        relay.peer_up(peer)
    for number in range(50):
        relay.add(an_id(number), b"tx%d" % number, source=None)
    relay.peer_has(C, [an_id(number) for number in range(50)])

    frames = sent(list(relay.flush((A, B, C), 0)))
    again = list(relay.flush((A, B, C), 0))

    assert [(peers, type(message)) for peers, message in frames] == [((A, B), Transactions)]
    assert again == []
    assert relay.waiting == 0


def test_a_transaction_never_goes_back_to_where_it_came_from() -> None:
    """Neither to the source nor to the source's neighbours."""
    topology = Topology()
    joined(topology, (A, B))
    relay = TxRelay(topology, Speeds())
    for peer in (A, B, C):
        relay.peer_up(peer)

    relay.add(an_id(1), b"tx", source=A)

    assert [peers for peers, _ in sent(list(relay.flush((A, B, C), 0)))] == [(C,)]


def test_what_is_known_of_a_peer_is_bounded() -> None:
    """The oldest ids are forgotten, not the newest."""
    relay = TxRelay(Topology(), Speeds())
    relay.peer_up(A)
    relay.peer_has(A, (an_id(number) for number in range(KNOWN_PER_PEER_MAX + 10)))

    relay.add(an_id(0), b"old", source=None)
    relay.add(an_id(KNOWN_PER_PEER_MAX), b"new", source=None)

    assert [message for _, message in sent(list(relay.flush((A,), 0)))] == [Transactions((b"old",))]


def test_what_is_known_of_a_peer_is_not_kept_for_hours() -> None:
    """So many blocks later nobody waits for it; the bound is hours away in a quiet mesh."""
    relay = TxRelay(Topology(), Speeds())
    relay.peer_up(A)

    for block in range(10 * KNOWN_BLOCKS):
        names = [an_id(10 * block + number) for number in range(10)]
        relay.peer_has(A, names)
        relay.handed(names)
        relay.advance(lambda _: False)

    assert 10 * KNOWN_BLOCKS <= len(relay._has[A]) <= 20 * KNOWN_BLOCKS
    assert 10 * KNOWN_BLOCKS <= len(relay._handed) <= 20 * KNOWN_BLOCKS
    relay.add(names[0], b"tx", source=None)
    assert list(relay.flush((A,), 0)) == []


def test_a_newcomer_is_greeted_with_what_clients_wait_for() -> None:
    """After a restart of everybody nobody else would pass the journal's transactions on."""
    relay = TxRelay(Topology(), Speeds())
    relay.peer_up(A)
    rows = [(an_id(number), b"tx%d" % number) for number in range(3)]

    first = sent(list(relay.greet(A, rows)))

    assert first == [((A,), Transactions((b"tx0", b"tx1", b"tx2")))]
    assert list(relay.greet(A, rows)) == []


def test_the_one_who_spoke_of_a_block_is_asked_first_then_the_others() -> None:
    """Each in turn, until the block is here; then all over again."""
    fetches = Fetches()
    missing = (an_id(1), an_id(2))

    asked = sent(list(fetches.want(BLOCK, missing, source=C, linked=(A, B, C), now_ms=0)))
    early = list(fetches.tick((A, B, C), fetch.ANSWER_MS - 1))
    for turn in range(1, 5):
        asked += sent(list(fetches.tick((A, B, C), turn * fetch.ANSWER_MS)))
    fetches.done(BLOCK)

    assert early == []
    assert [peers for peers, _ in asked] == [(C,), (A,), (B,), (A,), (B,)]
    assert {message for _, message in asked} == {BodiesWanted(BLOCK, missing)}
    assert list(fetches.tick((A, B, C), 10_000)) == []


def test_wanting_the_same_again_asks_nobody_again() -> None:
    """It may shrink what is missing; a whole block turns into bodies once the header is here."""
    fetches = Fetches()

    def want(missing: tuple[TxId, ...] | None) -> list[Send]:
        return list(fetches.want(BLOCK, missing, source=None, linked=(A, B), now_ms=0))

    whole = sent(want(None))
    again = want(None)
    bodies = sent(want((an_id(1), an_id(2))))
    fewer = want((an_id(2),))

    assert whole == [((A,), BlockWanted(BLOCK))]
    assert bodies == [((A,), BodiesWanted(BLOCK, (an_id(1), an_id(2))))]
    assert again == fewer == []
    assert sent(list(fetches.tick((A, B), 1_000))) == [((B,), BodiesWanted(BLOCK, (an_id(2),)))]


def test_fetches_are_bounded_and_survive_an_empty_mesh() -> None:
    """The oldest goes; without peers the question waits for one."""
    fetches = Fetches()
    for number in range(FETCHES_MAX + 1):
        block = BlockId(number.to_bytes(32, "big"))
        assert list(fetches.want(block, None, source=A, linked=(), now_ms=0)) == []

    assert BlockId(bytes(32)) not in fetches
    assert len(list(fetches.tick((A,), 1_000))) == FETCHES_MAX


def a_final(height: int) -> FinalBlock:
    """Build something that claims to be a final block."""
    nothing = Hash(b"")
    header = Header(
        1, "", Height(height), BLOCK, 0, PublicKey(b""), nothing, 0, nothing, nothing, nothing,
        nothing, nothing, nothing, 1, nothing,
    )  # fmt: skip
    return FinalBlock(
        Block(header, (), NO_COMMIT, ()), Certificate(Height(height), Round(0), BLOCK, ())
    )


def a_follower(*claims: tuple[PeerId, int], named: tuple[PeerId, ...] = ()) -> CatchUp:
    """Build a node's view of these peers' heights; some of them the operator named."""
    follower = CatchUp(lambda peer: peer in named)
    for peer, height in claims:
        follower.claim(peer, Height(height))
    return follower


def asked(follower: CatchUp, tip: int, now_ms: int) -> list[PeerId]:
    """List whom a node at this tip asks now."""
    sends = sent(list(follower.poll(Height(tip), now_ms, busy=False)))
    return [peer for peers, _ in sends for peer in peers]


def test_a_peer_far_ahead_is_asked_at_once_and_one_ahead_after_a_moment() -> None:
    """One block ahead is normal: the votes for it are on their way."""
    near, far = a_follower((A, 6)), a_follower((A, 500))

    early = list(near.poll(Height(5), 0, busy=False))
    soon = sent(list(near.poll(Height(5), catch_up.PATIENCE_MS, busy=False)))
    at_once = sent(list(far.poll(Height(5), 0, busy=False)))

    assert early == []
    assert soon == [((A,), FinalsWanted(Height(6), Height(6)))]
    assert at_once == [((A,), FinalsWanted(Height(6), Height(69)))]
    assert not near.is_far_behind(Height(5))
    assert far.is_far_behind(Height(5))


def test_one_request_is_open_at_a_time() -> None:
    """Neither while an answer is awaited nor while one is being applied."""
    follower = a_follower((A, 100))

    assert list(follower.poll(Height(1), 0, busy=True)) == []
    assert asked(follower, 1, 0) == [A]
    assert asked(follower, 1, 10) == []
    assert follower.answered(A, (a_final(2),), 20) == (a_final(2),)
    assert asked(follower, 2, 30) == [A]


def test_who_fails_is_asked_last_and_ever_more_seldom() -> None:
    """Silence and empty answers count alike; a true block makes up for all of them."""
    follower = a_follower((A, 100), (B, 50))
    first = asked(follower, 1, 0)
    second = asked(follower, 1, catch_up.ANSWER_MS)
    follower.answered(B, (), catch_up.ANSWER_MS)

    now_ms, last_ms = catch_up.ANSWER_MS, 0
    gaps: list[int] = []
    while len(gaps) < 6:
        now_ms += 100
        if A in asked(follower, 1, now_ms):
            gaps.append(now_ms - last_ms)
            last_ms = now_ms

    assert (first, second) == ([A], [B])
    assert follower.best_claim() == 0, "nobody is credible any more"
    assert gaps[1:] == sorted(gaps[1:])
    assert gaps[5] > 4 * gaps[1]
    follower.applied(A, now_ms)
    assert follower.best_claim() == 100


def test_boasters_are_asked_after_those_whom_the_operator_named() -> None:
    """However great the claims of strangers, and however many they are."""
    boasters = [(PeerId(bytes([number]) * 20), 10**12) for number in range(30)]
    follower = a_follower(*boasters, (C, 100), named=(C,))

    assert asked(follower, 1, 0) == [C]
    follower.answered(C, (a_final(2),), 5)
    follower.applied(C, 5)
    assert asked(follower, 2, 10) == [C]


def test_equals_are_asked_in_turn() -> None:
    """A peer that delivers slowly does not slow everything down."""
    follower = a_follower((A, 100), (B, 100))
    turns = []
    for tip in range(1, 5):
        turns += asked(follower, tip, 10 * tip)
        follower.answered(turns[-1], (a_final(tip + 1),), 10 * tip + 5)
        follower.applied(turns[-1], 10 * tip + 5)

    assert turns == [A, B, A, B]


def test_claims_alone_never_hold_up_voting() -> None:
    """Only blocks that do come in are a reason to wait, and only while they come."""
    follower = a_follower((A, 100))
    assert not follower.is_flowing(Height(1), 0)

    follower.applied(A, 1_000)

    assert follower.is_flowing(Height(2), 1_000 + catch_up.FLOWING_MS - 1)
    assert not follower.is_flowing(Height(2), 1_000 + catch_up.FLOWING_MS)
    assert not follower.is_flowing(Height(100), 1_001), "caught up"


def test_an_answer_that_comes_too_late_is_no_fault() -> None:
    """A slow peer's blocks of an earlier request are dropped; the newer request stays open."""
    follower = a_follower((A, 100))
    now_ms = 0
    assert asked(follower, 1, now_ms) == [A]
    while asked(follower, 5, now_ms) != [A]:  # others helped, and A is asked once more
        now_ms += 100

    assert follower.answered(A, (a_final(2), a_final(3)), now_ms) == ()

    assert asked(follower, 5, now_ms + 1) == []
    assert follower.answered(A, (a_final(6),), now_ms + 2) == (a_final(6),)


def test_an_answer_must_be_what_was_asked_for() -> None:
    """Other heights are a fault; blocks that nobody asked for are dropped."""
    follower = a_follower((A, 9))
    assert follower.answered(A, (a_final(2),), 0) == ()
    assert asked(follower, 1, 0) == [A]
    assert follower.answered(B, (a_final(2),), 0) == ()

    with pytest.raises(PeerFault, match="height 2"):
        follower.answered(A, (a_final(3),), 0)


def test_a_lost_link_ends_its_request_and_its_failures_stay() -> None:
    """Another peer is asked without waiting; who comes back is not trusted more than before."""
    follower = a_follower((A, 9), (B, 9))
    assert asked(follower, 1, 0) == [A]

    follower.forget(A)
    then = asked(follower, 1, 1)
    follower.failed(B, 2)
    follower.forget(B)
    follower.claim(B, Height(9))

    assert then == [B]
    assert follower.best_claim() == 0


def test_records_of_peers_are_bounded() -> None:
    """Those that are gone make room first."""
    follower = a_follower((A, 5))
    for number in range(catch_up.RECORDS_MAX + 50):
        peer = PeerId(number.to_bytes(20, "big"))
        follower.claim(peer, Height(7))
        follower.failed(peer, 0)
        follower.forget(peer)

    assert len(follower._records) <= catch_up.RECORDS_MAX
    assert follower.best_claim() == 5


def a_reach(own: str = "") -> Reach:
    """Build the reach of a validator by name, or of a follower."""
    own_key = signer(own).public_key if own else None
    return Reach(chain_id="c", own_key=own_key, verify=fake_verify, interval_ms=500)


def signer(name: str) -> FakeSigner:
    """Return a validator's signer by its letter."""
    return FakeSigner(PublicKey(name.encode() * 32))


SET = validator_set(
    Validator(Address(name.encode() * 20), signer(name).public_key, Power(power))
    for name, power in (("p", 5), ("q", 3), ("r", 2))
)


def hello(name: str, peer: PeerId) -> Hello:
    """Let a validator greet from a node."""
    return Hello(signer(name).public_key, signer(name).sign(hello_sign_bytes("c", peer)))


def test_reachable_power_is_the_own_and_that_of_linked_validators() -> None:
    """Two links to one validator count once; a follower has no power of its own."""
    reach = a_reach("p")
    reach.told(A, hello("q", A))
    reach.told(B, hello("q", B))

    assert reach.power(SET, 0) == 8
    assert a_reach().power(SET, 0) == 0
    reach.forget(A)
    reach.forget(B)
    assert reach.power(SET, 0) == 5


def test_a_validator_heard_over_others_counts_for_a_while() -> None:
    """In a partial mesh not everybody is linked with everybody."""
    reach = a_reach("p")
    reach.heard(signer("r").public_key, 1_000)

    assert reach.power(SET, 1_000 + HEARD_MS_MIN - 1) == 7
    assert reach.power(SET, 1_000 + HEARD_MS_MIN) == 5


def test_power_is_lacking_only_when_it_lasts() -> None:
    """A link that is renewed is no split, and time is counted from when the first one was gone."""
    reach = a_reach("p")
    for name, peer in (("q", A), ("r", B)):
        reach.told(peer, hello(name, peer))
    reach.watch(SET, 1_000)
    reach.forget(A)
    reach.watch(SET, 2_000)
    reach.watch(SET, 2_000 + LASTING_MS - 1)

    assert reach.keys(2_000) == {signer("p").public_key, signer("r").public_key}
    assert reach.lacking_ms(2_000 + LASTING_MS - 1) is None
    assert reach.lacking_ms(2_000 + LASTING_MS) == LASTING_MS
    reach.told(A, hello("q", A))
    reach.watch(SET, 9_000)
    assert reach.lacking_ms(20_000) is None


def test_nobody_can_greet_as_a_validator_that_it_is_not() -> None:
    """The proof names the node: it cannot be taken over by another one."""
    reach = a_reach("p")

    with pytest.raises(PeerFault):
        reach.told(B, hello("q", A))
    with pytest.raises(PeerFault):
        reach.told(B, Hello(signer("q").public_key, Signature(bytes(64))))
    assert reach.power(SET, 0) == 5


def test_what_all_have_from_its_source_waits_for_nobody() -> None:
    """In a small mesh nothing is queued, so no flush is due; who comes later changes that."""
    topology = Topology()
    joined(topology, (A, B))
    relay = TxRelay(topology, Speeds())
    for peer in (A, B):
        relay.peer_up(peer)

    relay.add(an_id(1), b"tx", source=A)
    before = relay.waiting
    relay.peer_up(C)
    relay.add(an_id(2), b"tx", source=A)

    assert (before, relay.waiting) == (0, 1)
