"""A block that the operator knows keeps a node from a history that old keys have made up."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from aitbc_node import config
from aitbc_node.errors import ConfigError, Exit
from aitbc_node.startup import absence_of
from aitbc_node.trusting import NOTHING_TRUSTED, Trusted
from aitbc_node.types import Height
from aitbc_sim.citizens import a_payment, signer_of
from aitbc_sim.pump import Pump

VOTER, FOLLOWER = 3, 4
KNOWN = Height(8)
SETTINGS = config.parse(
    """
[node]
id = "n1"
role = "validator"
data_dir = "data"
key_dir = "keys"
genesis = "genesis.json"
[p2p]
listen = "127.0.0.1:8600"
""",
    Path("node.toml"),
)


def a_history(amount: int) -> Pump:
    """Run one genesis and its keys; the first payment decides which history it becomes.

    A fourth validator and a follower are not there yet.
    """
    pump = Pump(followers=1).start(0, 1, 2)
    pump.run_to(2)
    assert pump.outcomes(0, a_payment("alice", "bob", amount, nonce=0)) == ["ok"]
    pump.run_to(KNOWN + 4, limit_ms=60_000)
    return pump


def known_from(pump: Pump) -> Trusted:
    """Return the block of a history that people tell each other."""
    store = pump.nodes[0].store
    assert store is not None
    final = store.block(KNOWN)
    assert final is not None
    return Trusted(KNOWN, final.certificate.block_id)


def joined(pump: Pump, index: int, trusted: Trusted) -> None:
    """Start a node without any data that knows this block."""
    pump._config = replace(pump._config, trusted=trusted)
    pump.start(index)
    pump.wait(8_000)


@pytest.mark.parametrize("index", [FOLLOWER, VOTER], ids=["a follower", "a validator"])
def test_a_fresh_node_refuses_a_history_that_is_not_the_known_one(index: int) -> None:
    """Every block and certificate is signed by the right old keys; only the known id tells."""
    true, forged = a_history(1), a_history(2)
    known = known_from(true)
    place = forged.machine(0).view.validators.index_of(signer_of("v3 votes").public_key)

    joined(forged, index, known)

    view = forged.machine(index).view
    assert view.height == KNOWN - 1
    assert f"sync.trusted_hash names there is {known.block_id.hex()}" in view.diverged
    assert not [signed for signed in forged.signed if signed[0] == place]
    assert forged.notes("chain.diverged") == 1
    assert forged.notes("attack.long-range") == 1


def test_a_fresh_node_follows_the_known_history_and_votes() -> None:
    """The same block in the right history holds nobody up."""
    pump = a_history(1)

    joined(pump, VOTER, known_from(pump))

    view = pump.machine(VOTER).view
    assert (view.diverged, view.refusal, view.syncing) == ("", "", False)
    assert view.last_voted_height > KNOWN


def test_nothing_is_signed_before_the_known_block_is_here() -> None:
    """Peers who end below it may be the ones who tell another history."""
    pump = a_history(1)
    beyond = Trusted(Height(1_000), known_from(pump).block_id)

    joined(pump, VOTER, beyond)

    view = pump.machine(VOTER).view
    assert view.height > KNOWN
    assert view.syncing
    assert "sync.trusted_height is not here yet" in view.refusal
    assert view.last_voted_height == 0


def test_a_log_of_another_history_does_not_start() -> None:
    """Status 78 and both ids, however the blocks came here; the right log and none are fine."""
    true, forged = a_history(1), a_history(2)
    known = known_from(true)
    right, wrong = true.nodes[0].store, forged.nodes[0].store
    assert right is not None
    assert wrong is not None

    known.check(right)
    NOTHING_TRUSTED.check(wrong)
    with pytest.raises(ConfigError) as refused:
        known.check(wrong)

    assert refused.value.exit_status == Exit.CONFIG
    assert known.block_id.hex() in refused.value.message
    assert known_from(forged).block_id.hex() in refused.value.message


def test_an_absence_longer_than_bonds_are_held_is_told() -> None:
    """Then only a known block helps; with one above the tip there is nothing to warn of."""
    pump = a_history(1)
    machine = pump.machine(0)
    held_ms = machine.view.state.params.unbonding_blocks * SETTINGS.consensus.block_interval_ms
    tip_ms = machine.view.chain.tip_time_ms

    assert absence_of(machine, SETTINGS, wall_ms=tip_ms + held_ms) == ""
    assert "sync.trusted_height" in absence_of(machine, SETTINGS, wall_ms=tip_ms + held_ms + 1)

    machine.view.chain.trusted = Trusted(Height(1_000), known_from(pump).block_id)
    assert absence_of(machine, SETTINGS, wall_ms=tip_ms + held_ms + 1) == ""
