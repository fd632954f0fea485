"""Topics: each message has one, and who says too much of one is known by its name."""

from typing import Any

import pytest

from aitbc_node import examples, limits
from aitbc_node.canonical import encode
from aitbc_node.errors import PeerFault
from aitbc_node.events import PeerUp
from aitbc_node.gossip.messages import Message, Neighbours, Ping, VotesSent
from aitbc_node.gossip.peers import Peers
from aitbc_node.gossip.topics import BOUNDS, TOPIC_OF, Tally, Topic
from aitbc_node.types import PeerId
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
        for _ in range(BOUNDS[Topic.LIFE].burst):
            peers.count(OTHER, Ping(1))
    with pytest.raises(PeerFault, match="more about life"):
        peers.count(OTHER, Ping(1))


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
