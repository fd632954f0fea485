"""What an operator reads at the end of a change, without one."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pretend_nodes import a_status
from test_history import a_record

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import report
from aitbc_toolkit.release.change import Change, End
from aitbc_toolkit.release.course import Course, Rolled
from aitbc_toolkit.release.reading import Pace
from aitbc_toolkit.release.waves import Order

pytestmark = pytest.mark.unit

NAMES = ("v1", "v2", "v3", "v4")
OLD, NEW = ("a" * 40, "11"), ("b" * 40, "11")


def block(
    *waves: tuple[str, ...],
    arrived: tuple[str, ...] = (),
    before: tuple[str, str] = OLD,
    floor_ms: int = 0,
) -> str:
    """Write the result block of a deploy of NEW to v1..v4 that went well."""
    statuses = {name: a_status(name, 100) for name in NAMES}
    course = Course(
        Order(waves, stalls=False),
        dict.fromkeys(NAMES, NEW),
        dict.fromkeys(NAMES, before),
        arrived=arrived,
    )
    change = Change(
        action="deploy",
        commit=NEW[0],
        subject="a change",
        snapshot=False,
        course=course,
        genesis_hash="ab",
        records=(),
        began=time.monotonic(),
        prove=lambda _environment: ("8 of 8 checks", ""),
    )
    end = End(a_record(1, "b"), checks="8 of 8 checks", pace=Pace(90, 100, 10_500, 1_000, 0))
    end.figures = {"floor_ms": floor_ms, "undrained": []}
    mesh = SimpleNamespace(statuses=lambda: statuses)
    run = cast("Any", SimpleNamespace(environment=Inventory.load("staging"), mesh=mesh))
    return "\n".join(report.outcome(run, change, Rolled(), end).lines)


def test_a_resumed_run_says_what_an_earlier_attempt_had_done() -> None:
    """Nothing is left to switch: neither does that read as if nothing had been deployed."""
    said = block(arrived=NAMES)

    assert "4 of 4 nodes (v1 v2 v3 v4 by an earlier attempt), 0 waves" in said
    assert "changed       nothing by this attempt" in said
    assert "floor" not in said


def test_a_resumed_run_counts_both_what_it_did_and_what_it_found() -> None:
    """Three had arrived, the fourth follows now."""
    said = block(("v4",), arrived=NAMES[:3], floor_ms=3_000)

    assert "4 of 4 nodes (v1 v2 v3 by an earlier attempt), 1 wave, " in said
    assert "changed       1 release and 0 configurations on 1 host: v4" in said
    assert "floor         3.0 s: " in said


def test_a_node_that_was_only_started_is_not_counted_as_a_release() -> None:
    """It has what it had, and runs again."""
    said = block(("v2",), before=NEW, floor_ms=3_000)

    assert "changed       v2 started anew as before, on 1 host" in said


@pytest.mark.parametrize(("failed", "hinted"), [("v3", True), ("v1", False)])
def test_who_still_does_not_vote_is_to_be_diagnosed(failed: str, *, hinted: bool) -> None:
    """A deploy whose gate it failed ends with that hint, too; one that another failed does not."""
    course = Course(
        Order((("v3",), ("v1",)), stalls=False),
        dict.fromkeys(NAMES, NEW),
        dict.fromkeys(NAMES, OLD),
        silent=frozenset(["v3"]),
    )
    change = Change(
        action="deploy",
        commit=NEW[0],
        subject="a change",
        snapshot=False,
        course=course,
        genesis_hash="ab",
        records=(),
        began=time.monotonic(),
        prove=lambda _environment: ("", ""),
    )
    run = cast("Any", SimpleNamespace(environment=Inventory.load("staging")))
    end = End(a_record(1, "b"), exit=Exit.ROLLED_BACK, reason=f"{failed} does not vote")

    said = report.outcome(run, change, Rolled(failed={failed: "does not vote"}), end)

    assert f"aitbc node logs {failed}" in said.hint
    assert ("diagnose consensus -e staging   # why v3 does" in said.hint) is hinted
