"""Validators that break the rules: up to f of 3f+1 change nothing, one more is reported."""

from collections.abc import Callable

import pytest

from aitbc_sim.history import History
from aitbc_sim.options import BEHAVIOURS
from aitbc_sim.profiles import liars_among
from aitbc_sim.run import PASS, Case, run
from aitbc_sim.world import World

pytestmark = pytest.mark.sim

COLLUSION_SEEDS = 12


@pytest.mark.proves("C33")
@pytest.mark.parametrize("faults", [1, 2, 3])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_f_of_3f_plus_1_liars_are_borne(behaviour: str, faults: int) -> None:
    """All lie in the same way, on a lossy network: no two blocks, and the honest go on."""
    world = World(faults, liars_among(3 * faults + 1, [behaviour] * faults, blocks=6), History())

    world.run()

    assert min(process.height for process in world.honest) >= 6


@pytest.mark.parametrize("seed", range(12))
def test_liars_of_several_kinds_are_borne(seed: int) -> None:
    """As many as the mesh must bear, each in its own way: n = 4, 7 and 10 in turn."""
    outcome = run(Case(seed, profile="liars"))

    assert (outcome.verdict, outcome.message) == (PASS, "")


@pytest.mark.proves("C33")
@pytest.mark.parametrize("n_index", [0, 1, 2], ids=["2 of 4", "3 of 7", "4 of 10"])
def test_one_liar_too_many_is_reported(
    n_index: int, record_property: Callable[[str, object], None]
) -> None:
    """f+1 who tell two halves of the mesh different things: the checker sees two final blocks."""
    seeds = range(n_index, 3 * COLLUSION_SEEDS, 3)

    red = next(o for o in (run(Case(s, profile="collusion")) for s in seeds) if o.verdict != PASS)

    record_property("found", f"{red.repeat_command}: {red.message}")
    assert red.verdict == "agreement"
