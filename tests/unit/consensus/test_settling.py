"""A vote that changes nothing enables nothing: looking for rules again is left out then."""

import pytest

from aitbc_node.consensus.conditions import enabled
from aitbc_node.consensus.inputs import ConsensusEffect, ConsensusEvent, VoteReceived
from aitbc_node.consensus.replica import Consensus
from aitbc_sim.core_mesh import CoreMesh

pytestmark = pytest.mark.unit


class Watched(Consensus):
    """Look after each vote without an effect whether a rule was passed over."""

    quiet = 0

    def step(self, event: ConsensusEvent, *, now_ms: int, wall_ms: int) -> list[ConsensusEffect]:
        """Take one input, and look."""
        effects = super().step(event, now_ms=now_ms, wall_ms=wall_ms)
        if isinstance(event, VoteReceived) and not effects:
            record = self._record
            Watched.quiet += 1
            assert enabled(record) is None
            assert record.offer is None or record.offer.block_id not in record.checked
            assert list(record.values_to_ask_for()) == []
        return effects


@pytest.mark.parametrize("seed", range(8))
def test_a_vote_without_effect_leaves_no_rule_enabled(seed: int) -> None:
    """Crashes, lost messages, votes that come twice or late: nothing waits for the next event."""
    Watched.quiet = 0
    mesh = CoreMesh((1, 1, 1, 1), seed=seed, loss=0.2, core_kind=Watched)
    mesh.crash_after = {mesh.random.randrange(1, 600) for _ in range(6)}

    assert mesh.run(lambda: mesh.lowest >= 5, limit_ms=300_000)

    assert Watched.quiet > 0
