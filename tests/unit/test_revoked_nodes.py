"""A mesh of whole machines in which the key of one node ends, by a transaction."""

import pytest

from aitbc_node.crypto import peer_id
from aitbc_node.ledger.records import ended_by, revoked_by
from aitbc_node.ledger.revoking import replacement
from aitbc_node.machine import MachineConfig
from aitbc_sim.citizens import CHAIN_ID, an_act, signer_of
from aitbc_sim.pump import Pump

ENDED = 4
"""The first of two that follow; all others know it by its address."""


def linked(pump: Pump, index: int) -> set[int]:
    """Return with whom a node is linked."""
    ids = {node.id: node.index for node in pump.nodes}
    return {ids[peer] for peer in pump.machine(index).view.mesh.linked()}


@pytest.fixture
def pump() -> Pump:
    """Start four validators and two followers, all linked with all."""
    found = Pump(followers=2).start()
    found.run_to(3)
    assert all(len(linked(found, index)) == 5 for index in range(6))
    return found


def end_its_key(pump: Pump) -> None:
    """Let a client hand in what the node's key has signed, and wait until it is final."""
    raw = an_act("alice", revoked_by(CHAIN_ID, signer_of(f"node {ENDED}")), nonce=0)
    assert pump.outcomes(0, raw) == ["ok"]
    assert pump.run(lambda: pump.machine(0).view.state.listing.revoked != set())


@pytest.mark.proves("C22")
def test_an_ended_key_is_refused_by_every_node_within_one_block(pump: Pump) -> None:
    """Whoever has the block has no link to it; the others go on, and it gets no block any more."""
    end_its_key(pump)
    at = pump.machine(0).view.height
    others = [index for index in range(6) if index != ENDED]

    pump.run(lambda: all(pump.machine(index).view.height >= at for index in others))
    assert [index for index in others if ENDED in linked(pump, index)] == []

    pump.run(lambda: pump.machine(0).view.height >= at + 20)
    assert all(pump.machine(index).view.height >= at + 19 for index in others)
    assert pump.machine(ENDED).view.height <= at
    assert linked(pump, ENDED) == set()


def test_an_ended_key_stays_out_over_restarts_on_either_side(pump: Pump) -> None:
    """What the chain says is read again from the disk before the first link."""
    end_its_key(pump)
    pump.wait(1_000)

    for index in (0, 1, 2, 3, ENDED):
        pump.restart(index)
    pump.wait(5_000)

    assert linked(pump, ENDED) == set()
    assert linked(pump, 0) == {1, 2, 3, 5}
    assert pump.machine(0).view.height > pump.machine(ENDED).view.height


@pytest.mark.parametrize("index", [ENDED, 1], ids=["follower", "validator"])
def test_a_new_key_is_as_good_as_the_old_one_everywhere_and_that_is_refused(index: int) -> None:
    """In a mesh that lets only listed peers in, though nobody's configuration has the new key.

    Both within the block that says so; and all that is still so when everybody starts again.
    """
    pump = Pump(followers=2, config=MachineConfig(admission="listed")).start()
    pump.run_to(3)
    node, others = pump.nodes[index], [each for each in range(6) if each != index]
    old, new = signer_of(f"node {index}"), signer_of("another key")
    said = ended_by(old.public_key, replacement(CHAIN_ID, old, new))

    assert pump.outcomes(0, an_act("alice", said, nonce=0)) == ["ok"]
    assert pump.run(lambda: pump.machine(0).view.state.listing.heirs != {})
    at = pump.machine(0).view.height
    pump.run(lambda: all(pump.machine(each).view.height >= at for each in others))
    assert [each for each in others if index in linked(pump, each)] == []

    pump.crash(index)
    node.id = peer_id(new.public_key)
    pump._by_id[node.id] = node
    pump.start(index)
    assert pump.run(lambda: linked(pump, index) == set(others))
    pump.run_to(at + 10)

    node.id = peer_id(old.public_key)  # as it stands in the configuration of all others
    for each in others:
        pump.restart(each)
    node.id = peer_id(new.public_key)
    assert pump.run(lambda: all(len(linked(pump, each)) == 5 for each in range(6)))
    for each in others:
        peers = pump.machine(each).view.mesh.peers
        assert peers.is_named(node.id)
        assert peers.is_revoked(peer_id(old.public_key))


def test_a_thiefs_key_in_the_place_of_a_stolen_one_stands_for_nothing_once_that_is_taken_back() -> (
    None
):
    """Where only listed peers come in, it is put out within that block, also over restarts."""
    pump = Pump(followers=2, config=MachineConfig(admission="listed")).start()
    pump.run_to(3)
    node, others = pump.nodes[ENDED], [each for each in range(6) if each != ENDED]
    old, thief = signer_of(f"node {ENDED}"), signer_of("a thief's key")
    said = ended_by(old.public_key, replacement(CHAIN_ID, old, thief))
    assert pump.outcomes(0, an_act("alice", said, nonce=0)) == ["ok"]
    assert pump.run(lambda: pump.machine(0).view.state.listing.heirs != {})
    pump.crash(ENDED)
    node.id = peer_id(thief.public_key)
    pump._by_id[node.id] = node
    pump.start(ENDED)
    assert pump.run(lambda: linked(pump, ENDED) == set(others))

    assert pump.outcomes(0, an_act("bob", revoked_by(CHAIN_ID, old), nonce=0)) == ["ok"]
    assert pump.run(lambda: pump.machine(0).view.state.listing.heirs == {})
    at = pump.machine(0).view.height
    pump.run(lambda: all(pump.machine(each).view.height >= at for each in others))
    assert [each for each in others if ENDED in linked(pump, each)] == []

    node.id = peer_id(old.public_key)  # as it stands in the configuration of all others
    for each in others:
        pump.restart(each)
    node.id = peer_id(thief.public_key)
    assert pump.run(lambda: all(pump.machine(each).view.height >= at + 20 for each in others))
    assert linked(pump, ENDED) == set()
    assert not any(pump.machine(each).view.mesh.peers.is_named(node.id) for each in others)
