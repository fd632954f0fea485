"""A mesh of whole machines in which the key of one node ends, by a transaction."""

import pytest

from aitbc_node.ledger.records import revoked_by
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
