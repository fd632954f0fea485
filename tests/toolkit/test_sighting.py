"""What is told of a mesh while it changes: news only, gaps by block times, how far a gate is."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from pretend_nodes import a_block, a_status

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release.progress import Awaited
from aitbc_toolkit.release.sighting import Sight

pytestmark = pytest.mark.unit

NAMES = ("v1", "v2", "v3", "v4")


class PretendMesh:
    """Have blocks at the times given, from height 1 on."""

    def __init__(self, times_ms: list[int]) -> None:
        self.environment = Inventory.load("staging")
        self._times_ms = times_ms

    def page(self, _name: str, first: int) -> list[schema.BlockView]:
        """Read blocks from a height on."""
        return [
            a_block(height, signers=[], time_ms=time_ms)
            for height, time_ms in enumerate(self._times_ms, start=1)
            if height >= first
        ]


def at(height: int, *silent: str) -> Mapping[str, schema.Status | None]:
    """Let all nodes but the silent ones be at a height."""
    return {name: None if name in silent else a_status(name, height) for name in NAMES}


def test_only_news_are_told() -> None:
    """A height that stands still is told once; a node that falls silent is news."""
    told: list[Mapping[str, Any]] = []
    sight = Sight(cast("Any", PretendMesh([0, 1_000, 2_000])), told.append)

    for statuses in (at(1), at(1), at(2), at(2, "v4"), at(2, "v4")):
        sight.see(statuses)

    assert [(each["height"], each["silent"]) for each in told] == [(1, []), (2, []), (2, ["v4"])]
    assert told[-1]["votes"] == ["v1", "v2", "v3"]


def test_the_longest_gap_is_that_of_block_times() -> None:
    """Blocks that came between two looks are measured; those before the first look are not."""
    told: list[Mapping[str, Any]] = []
    mesh = PretendMesh([0, 9_000, 10_000, 12_100, 13_000])
    sight = Sight(cast("Any", mesh), told.append)

    for height in (2, 5):
        sight.see(at(height))

    assert [each["longest_gap_ms"] for each in told] == [0, 2_100]


def test_a_gate_tells_how_far_it_is_and_not_at_each_look() -> None:
    """The same words are told once; new ones at most twice a second."""
    told: list[Mapping[str, Any]] = []
    awaited = Awaited(told.append)

    for now, words in ((0.0, "no answer yet"), (1.0, "no answer yet"), (2.0, "a"), (2.1, "b")):
        awaited.see({"v1": words}, now=now, ends_in_s=40.0 - now)

    assert told == [
        {"type": "gate", "nodes": {"v1": "no answer yet"}, "ends_in_s": 40.0},
        {"type": "gate", "nodes": {"v1": "a"}, "ends_in_s": 38.0},
    ]
