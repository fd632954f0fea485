"""The power goes at every single disk operation of a validator, one run for each."""

import pytest

from aitbc_sim.history import History
from aitbc_sim.options import Options
from aitbc_sim.world import World

pytestmark = pytest.mark.sim

QUIET = Options(full_nodes=0, blocks=10, interval_ms=100, timeout_ms=300, down_ms=(100, 1_500))
BOOTED_MS = 150
OPERATIONS_MIN, OPERATIONS_MAX = 25, 300
SEEDS = {"fast": 1, "ci": 1, "nightly": 5}
FOLDERS = ("data", "keys")


def a_world(folder: str, operations: int, seed: int) -> World:
    """Return a world in which the first validator's power goes after so many operations."""
    world = World(seed, QUIET, History())

    def light_fuse() -> None:
        getattr(world.nodes[0], folder).fuse = operations

    world.later(BOOTED_MS, light_fuse)
    return world


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_crash_point_is_survived(folder: str, pytestconfig: pytest.Config) -> None:
    """Whatever is torn or lost there: no two signatures, no lost block, and the mesh goes on.

    The checkers of the simulator judge every run, and each node's log is replayed at its end. The
    runs end with the first in which the node does less than that with its disk.
    """
    for seed in range(SEEDS[pytestconfig.getoption("--tier")]):
        survived = 0
        for operations in range(OPERATIONS_MAX):
            world = a_world(folder, operations, seed)
            world.run()
            if not world.history.counts["power cut in a write"]:
                break
            survived += 1
        assert OPERATIONS_MIN <= survived < OPERATIONS_MAX
