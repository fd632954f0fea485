"""Messages to accounts, and nodes that could not judge them when they came: none is lost."""

from collections import Counter

import pytest

from aitbc_node.crypto import sha256
from aitbc_node.events import DiskFailed, DiskHealed, Event
from aitbc_node.ledger.policy import single_key
from aitbc_node.letters import Letter, sign_letter
from aitbc_node.posting import Published
from aitbc_node.types import Height
from aitbc_sim.citizens import CHAIN_ID, a_payment, address, signer_of
from aitbc_sim.pump import Pump

LATE = 5
"""The node that is behind."""


def a_letter(sender: str, *, is_new: bool = False, topic: str = "") -> bytes:
    """Sign a message to somebody, or on a topic; a new account brings its policy along."""
    signer = signer_of(sender)
    letter = Letter(
        chain_id=CHAIN_ID,
        sender=address(sender),
        to=None if topic else address("bob"),
        topic=topic,
        correlation=b"",
        number=0,
        valid_until=Height(500),
        policy=single_key(signer.public_key) if is_new else None,
        content=b"hello",
    )
    return sign_letter(letter, [signer])


@pytest.fixture
def mesh() -> Pump:
    """Run four validators and two followers, the last of which is linked with one node only."""
    pump = Pump(followers=2, knows=lambda one, other: LATE not in (one, other) or one * other == 0)
    pump.start()
    pump.run_to(3)
    return pump


def publish(mesh: Pump, raw: bytes) -> None:
    """Hand a message in at the first node."""
    request = mesh.order(0, Published, raw=raw)
    assert mesh.run(lambda: request in mesh.nodes[0].replies, limit_ms=1_000)
    (outcome,) = mesh.nodes[0].replies[request]
    assert outcome.code == "ok", outcome


def feed(mesh: Pump, index: int, kind: type[Event], **fields: object) -> None:
    """Let something happen to a node."""
    node = mesh.nodes[index]
    mesh._deliver(node, kind(wall_ms=mesh._wall(node), **fields))  # type: ignore[call-arg]  # the kind has them


def heard(mesh: Pump, index: int) -> Counter[bytes]:
    """Count the messages that were handed out at a node, by name."""
    return Counter(effect.id for effect in mesh.nodes[index].delivered)


@pytest.mark.proves("D15")
def test_a_node_that_has_caught_up_hears_from_an_account_made_meanwhile(mesh: Pump) -> None:
    """It was told when its link came up, knew no such account, and is told anew, once."""
    mesh.partition((0, 1, 2, 3, 4), (LATE,))
    mesh.wait(3_000)
    mesh.outcomes(0, a_payment("alice", "carol", 1_000_000, nonce=0))
    assert mesh.run(lambda: mesh.machine(0).view.state.account(address("carol")) is not None)
    raw = a_letter("carol", is_new=True)
    publish(mesh, raw)
    mesh.wait(5_000)
    mesh.heal()

    assert mesh.run(lambda: bool(heard(mesh, LATE))), "the node is told anew"
    mesh.wait(3_000)
    assert heard(mesh, LATE) == {sha256(raw): 1}
    assert mesh.machine(LATE).view.broker.refused > 0
    assert not mesh.notes("peer.fault")


def test_a_node_whose_disk_took_nothing_hears_what_came_meanwhile(mesh: Pump) -> None:
    """It took no frame then; once it has caught up it is told."""
    feed(mesh, LATE, DiskFailed, reason="full")
    raw = a_letter("alice")
    publish(mesh, raw)
    mesh.wait(4_000)
    assert not heard(mesh, LATE)
    feed(mesh, LATE, DiskHealed)

    assert mesh.run(lambda: bool(heard(mesh, LATE))), "the node is told anew"
    mesh.wait(3_000)
    assert heard(mesh, LATE) == {sha256(raw): 1}


def test_what_was_taken_before_the_disk_failed_is_passed_on_when_it_heals(mesh: Pump) -> None:
    """Nobody could ask for it, and whoever handed it in was told that it is on its way."""
    raw = a_letter("alice", topic="news")
    mesh.order(0, Published, raw=raw)
    feed(mesh, 0, DiskFailed, reason="full")
    mesh.wait(1_000)
    assert heard(mesh, 0) == {sha256(raw): 1}
    assert not heard(mesh, 1)
    assert "relay" not in mesh.nodes[0].timers, "nothing is tried again and again meanwhile"
    feed(mesh, 0, DiskHealed)

    assert mesh.run(lambda: all(heard(mesh, index) for index in (1, 2, 3, 4)))
    assert heard(mesh, 1) == {sha256(raw): 1}
