"""How a group is judged whose nodes went away while it was watched."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from aitbc_toolkit.suites.scenario.arena import Arena, Sight, Town
from aitbc_toolkit.suites.scenario.findings import Findings
from aitbc_toolkit.suites.scenario.watching import Watch
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

GROUP = frozenset({"v1", "v2", "v3"})


def test_nodes_that_are_gone_made_no_blocks_and_took_none_back() -> None:
    """A silent node has no height, which is not height 0."""
    town = Town(dict.fromkeys(["v1", "v2", "v3", "v4"], 1), 0.5, 1.0)
    arena: Any = SimpleNamespace(town=town, note=lambda *_, **__: None)
    watch = Watch(cast("Arena", arena), Findings(), [])
    first, last = Sight(dict.fromkeys(GROUP, 670)), Sight({}, ever=670)

    with pytest.raises(ScenarioError) as ended:
        watch.require_progress(GROUP, first, last, watched_s=16)

    assert ended.value.verdict is Verdict.LIVENESS
    told = "[v1 v2 v3] 0 blocks in 16 s, and nobody of them answers any more"
    assert ended.value.why.startswith(told)
