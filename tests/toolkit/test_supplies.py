"""Money that nobody pays into the swarm's own accounts is missed all the same."""

import pytest

from aitbc_load.chainwatch import BROKEN, HELD, UNKNOWN
from aitbc_load.supplies import Supply, check
from aitbc_node.ledger.objects import NATIVE

pytestmark = pytest.mark.unit

SOUND = Supply(supply=900, minted=1_000, burned=100, held=900)
COIN = Supply(supply=5, minted=5, burned=0, held=5)


@pytest.mark.parametrize(
    ("told", "outcome", "detail"),
    [
        ({NATIVE: SOUND, "GOLD": COIN}, HELD, "2 assets"),
        ({NATIVE: Supply(900, 1_000, 100, 901)}, BROKEN, "v2 says of AIT: held 901, supply 900"),
        ({NATIVE: Supply(901, 1_000, 100, 901)}, BROKEN, "supply 901, minted 1,000, burned 100"),
        ({NATIVE: Supply(901, 1_001, 100, 901)}, BROKEN, "1,001 AIT were minted, 1,000 at the"),
        ({NATIVE: SOUND, "GOLD": Supply(5, 5, 0, 6)}, BROKEN, "v2 says of GOLD: held 6"),
    ],
)
def test_one_node_with_too_much_is_enough(
    told: dict[str, Supply], outcome: str, detail: str
) -> None:
    """Whoever holds the rest: each node's sums have to add up."""
    found = check(1_000, NATIVE, {"v1": {NATIVE: SOUND}, "v2": told})

    assert found.outcome == outcome
    assert detail in found.detail


@pytest.mark.parametrize(("before", "nodes"), [(None, {"v1": {NATIVE: SOUND}}), (1_000, {})])
def test_what_nobody_told_is_no_pass(
    before: int | None, nodes: dict[str, dict[str, Supply]]
) -> None:
    """Neither where the beginning is unknown, nor where nobody answers in the end."""
    assert check(before, NATIVE, nodes).outcome == UNKNOWN
