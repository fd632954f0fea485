"""What is said where nothing is to be done: the mesh as it was found, unless it was not well."""

import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pretend_nodes import a_status

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import powers, unchanged
from aitbc_toolkit.release.powers import Powers
from aitbc_toolkit.release.waves import Seen

NAMES = ("v1", "v2", "v3", "v4")
POWERS = Powers(dict.fromkeys(NAMES, 1), 4)


def nothing_to_do(folder: Path, voting: Sequence[str], mesh: Any) -> Any:
    """End a run whose plan found these nodes voting at height 7."""
    seen = Seen(frozenset(NAMES), frozenset(voting), 7, POWERS)
    plan: Any = SimpleNamespace(seen=seen, revision=SimpleNamespace(commit="c" * 40))
    run: Any = SimpleNamespace(environment=Inventory.load("dev", state=folder), mesh=mesh)
    return unchanged.nothing_to_do(run, plan, began=time.monotonic())


def test_a_mesh_that_was_found_well_is_not_asked_again(tmp_path: Path) -> None:
    """The plan has just asked every node: to ask all of them once more tells nothing new."""
    done = nothing_to_do(tmp_path, NAMES[:3], mesh=None)

    assert done.exit is Exit.OK
    assert "height 7, 3 of 4 vote" in done.lines[0]


def test_a_mesh_that_was_not_well_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes that were started a moment ago have not voted yet, and are given time to."""
    awake = iter((1, 3))

    class Waking:
        """Have more nodes that answer at each look."""

        def statuses(self) -> dict[str, Any]:
            """Say how far those are that answer."""
            return {name: a_status(name, 8) for name in NAMES[: next(awake)]}

    monkeypatch.setattr(powers, "told", lambda _mesh, _statuses: POWERS)
    monkeypatch.setattr(unchanged, "_PATIENCE_S", 60.0)

    done = nothing_to_do(tmp_path, NAMES[:1], mesh=Waking())

    assert done.exit is Exit.OK
    assert "height 8, 3 of 4 vote" in done.lines[0]
