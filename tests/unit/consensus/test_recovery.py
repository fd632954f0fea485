"""Several bare cores: crashes between any two effects, a dead proposer, a lossy net, a split."""

import pytest

from aitbc_node.consensus.inputs import Step
from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.types import Height, Round
from aitbc_sim.core_mesh import CoreMesh

pytestmark = pytest.mark.unit

FOUR = (1, 1, 1, 1)


def assert_safe(mesh: CoreMesh) -> None:
    """Check that nobody signed twice and no height has two blocks."""
    assert [place for place, ids in mesh.signed.items() if len(ids) > 1] == []
    assert [height for height, ids in mesh.blocks.items() if len(ids) > 1] == []


@pytest.mark.proves("E5")
@pytest.mark.parametrize("tens", range(20))
def test_no_crash_point_makes_a_validator_sign_twice(tens: int) -> None:
    """200 random points between two effects, one crash each, then five more blocks.

    The crashed node comes back with its sign state only; nobody signs two ids in one step, and
    all reach the same blocks again.
    """
    for seed in range(10 * tens, 10 * tens + 10):
        mesh = CoreMesh(FOUR, seed=seed)
        mesh.crash_after = {mesh.random.randrange(mesh.effects_done + 1, 300)}

        assert mesh.run(lambda: mesh.lowest >= 6, limit_ms=60_000), f"stuck with seed {seed}"  # noqa: B023 - used at once

        assert any(node.life for node in mesh.nodes)
        assert_safe(mesh)


@pytest.mark.parametrize("seed", range(20))
def test_many_crashes_on_a_lossy_net_end_in_agreement(seed: int) -> None:
    """A dozen crashes, a fifth of all messages lost: slow, but safe and not stuck."""
    mesh = CoreMesh(FOUR, seed=seed, loss=0.2)
    mesh.crash_after = {mesh.random.randrange(1, 600) for _ in range(12)}

    assert mesh.run(lambda: mesh.lowest >= 5, limit_ms=300_000)

    assert_safe(mesh)


@pytest.mark.parametrize("seed", range(10))
def test_all_at_once_loses_no_lock_and_goes_on(seed: int) -> None:
    """Every node dies within a second, again and again, at different points of a height."""
    mesh = CoreMesh(FOUR, seed=seed, loss=0.1)
    for _ in range(10):
        mesh.run(lambda: False, limit_ms=mesh.random.randrange(50, 1_500))
        for node in mesh.nodes:
            if node.core is not None:
                mesh.crash(node, back_after_ms=mesh.random.randrange(1, 1_000))
    reached = mesh.lowest

    assert mesh.run(lambda: mesh.lowest > reached + 2, limit_ms=60_000)

    assert_safe(mesh)


@pytest.mark.proves("E6")
@pytest.mark.parametrize("proposer", range(4))
def test_a_dead_proposer_is_replaced_within_two_time_outs(proposer: int) -> None:
    """At the height whose turn is the dead node's, the next in turn gets its block final."""
    mesh = CoreMesh(FOUR, seed=1, down=[proposer])
    height = next(h for h in range(1, 9) if mesh.proposer(Height(h), Round(0)) == proposer)
    assert mesh.run(lambda: mesh.lowest == height - 1, limit_ms=60_000)

    time_out_ms = Timeouts().delay_ms(Step.PROPOSE, Round(0))
    mesh.run(lambda: False, limit_ms=time_out_ms)
    assert mesh.lowest == height - 1
    assert mesh.run(lambda: mesh.lowest == height, limit_ms=2 * time_out_ms)

    assert mesh.rounds[height] == 1
    assert_safe(mesh)


def test_a_split_in_half_recovers_soon_after_the_links_are_back() -> None:
    """A whole minute without a quorum, then a block within eight seconds: rounds are capped."""
    mesh = CoreMesh(FOUR, seed=3)
    mesh.run(lambda: mesh.lowest >= 2, limit_ms=10_000)
    mesh.loss = 1.0
    mesh.run(lambda: False, limit_ms=60_000)
    mesh.loss = 0.0
    reached = max(len(node.chain) for node in mesh.nodes)

    assert mesh.run(lambda: mesh.lowest > reached, limit_ms=8_000)

    assert_safe(mesh)
