"""Topics: each message has one, and who says too much of one is known by its name."""

from typing import Any

import pytest

from aitbc_node import examples, limits
from aitbc_node.canonical import encode
from aitbc_node.events import Event, PeerDown, PeerUp, Send, Timer, TimerFired
from aitbc_node.gossip.messages import Message, Neighbours, Ping, VotesSent, decode_message
from aitbc_node.gossip.peers import Peers
from aitbc_node.gossip.topics import BOUNDS, TOPIC_OF, Tally, Topic
from aitbc_node.machine import TICK_MS
from aitbc_node.types import Height, PeerId, Round
from aitbc_sim.pump import Pump

OTHER = PeerId(b"o" * 20)
NEWS: Message = Neighbours(())
MESSAGES: dict[type, Any] = {type(value): value for _, value in examples.values()}


@pytest.mark.parametrize("topic", Topic)
def test_so_many_messages_of_a_topic_and_not_one_more(topic: Topic) -> None:
    """A burst is fine, what comes on top is not, and every kind of message counts."""
    tally = Tally()
    kinds = [MESSAGES[kind] for kind, of in TOPIC_OF.items() if of is topic]

    said = [tally.take(kinds[number % len(kinds)]) for number in range(BOUNDS[topic].burst + 1)]

    assert set(said[:-1]) == {""}
    assert said[-1] == topic.name.lower()


def test_time_gives_room_again_and_topics_do_not_share_it() -> None:
    """Who has used up one topic still has its say in all others."""
    tally, bound = Tally(), BOUNDS[Topic.PEERS]
    for _ in range(bound.burst):
        tally.take(NEWS)
    assert tally.take(NEWS) == "peers"
    assert tally.take(VotesSent((b"vote",))) == ""

    tally.forget(2 * limits.PEER_FRAMES_PER_S)

    assert [tally.take(NEWS) for _ in range(2 * bound.per_s - 1)] == [""] * (2 * bound.per_s - 1)
    assert tally.take(NEWS) == "peers"


def test_a_new_link_begins_anew() -> None:
    """Counts belong to a link; its end is the punishment."""
    peers = Peers(PeerId(b"m" * 20), (), listed_only=False)
    up: dict[str, Any] = {"wall_ms": 0, "peer": OTHER, "outbound": False}
    for _ in range(2):
        peers.on_up(PeerUp(**up, address="10.0.0.9:1", version="1"), 0)
        link = peers.heard(OTHER, 0)
        assert link is not None
        for _ in range(BOUNDS[Topic.LIFE].burst):
            assert link.tally.take(Ping(1)) == ""
    assert link.tally.take(Ping(1)) == "life"


def test_a_flood_about_one_thing_costs_the_flooder_its_link() -> None:
    """The others of a mesh go on; what is held against it names the topic."""
    pump = Pump(followers=1).start()
    pump.run_to(2)
    rogue = pump.nodes[4]
    for _ in range(BOUNDS[Topic.PEERS].burst + 1):
        pump.inject(0, 4, encode(NEWS))

    assert pump.notes("peer.fault") == 1
    assert rogue.id not in pump.machine(0).view.mesh.linked()
    pump.run_to(pump.heights()[0] + 3)


def test_strangers_that_come_and_go_do_not_make_a_node_say_too_much() -> None:
    """A thousand in a second are told to the others with each tick, not one by one."""
    pump = Pump().start()
    pump.run_to(2)
    machine, now_ms, friend = pump.machine(0), pump.now_ms, pump.nodes[1].id
    ticks, strangers = 4, [PeerId(number.to_bytes(20, "big")) for number in range(1_000)]
    up: dict[str, Any] = {"outbound": False, "address": "10.0.0.9:1", "version": "1"}

    def told(event: Event) -> int:
        sent = [each for each in machine.step(event, now_ms=now_ms) if isinstance(each, Send)]
        mine = [decode_message(each.payload) for each in sent if friend in each.peers]
        return sum(isinstance(message, Neighbours) for message in mine)

    count = 0
    for number, peer in enumerate(strangers):
        wall_ms = now_ms
        count += told(PeerUp(wall_ms=wall_ms, peer=peer, **up))
        if (number + 1) % (len(strangers) // ticks) == 0:
            now_ms += TICK_MS
            tick = Timer("tick", Height(0), Round(0))
            count += told(TimerFired(wall_ms=wall_ms, timer=tick))
        count += told(PeerDown(wall_ms=wall_ms, peer=peer, was_up=True, reason="gone"))

    assert count == ticks
    assert set(machine.view.mesh.linked()) == {node.id for node in pump.nodes[1:]}
