"""A mesh that got slow is noticed by its blocks, whatever its nodes say of themselves."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from virtual_time import VirtualTime

from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import arming, watching
from aitbc_toolkit.release.watching import Watchdog, is_steady, watchdog

pytestmark = pytest.mark.unit


class Blocks:
    """A mesh whose blocks came at the given gaps; each look is one height later."""

    def __init__(self, *gaps_ms: int, then_ms: tuple[int, ...] = (500,)) -> None:
        self.environment = Inventory.load("staging")
        self.times = [0]
        for gap in gaps_ms:
            self.times.append(self.times[-1] + gap)
        self._then = then_ms

    def statuses(self) -> dict[str, Any]:
        self.times.append(self.times[-1] + self._then[len(self.times) % len(self._then)])
        return {"v1": SimpleNamespace(height=len(self.times))}

    def blocks(self, first: int, last: int) -> list[Any]:
        return [SimpleNamespace(time_ms=time_ms) for time_ms in self.times[first - 1 : last]]


def slowness(mesh: Blocks, dog: Watchdog, *, is_first: bool = True) -> str:
    """Let the watchdog look at a mesh."""
    return dog.slowness(cast("Any", mesh), is_first=is_first)


def test_check_18_one_slow_block_in_each_rotation_is_a_slow_release(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every fourth block takes four times as long as any before: the reason says both figures."""
    monkeypatch.setattr(watching, "time", VirtualTime())
    dog = Watchdog(500, rotation=4, interval_ms=500)

    why = slowness(Blocks(*[500] * 10, then_ms=(500, 500, 500, 2000)), dog)

    assert "finality is slow" in why
    assert "2.0 s" in why
    assert "0.5 s before" in why


def test_one_slow_block_is_bad_luck() -> None:
    """A rotation without one comes soon after, and that is enough."""
    dog = Watchdog(500, rotation=4, interval_ms=500)

    assert slowness(Blocks(*[500] * 9, 2000), dog) == ""


def test_later_waves_wait_for_no_rotation() -> None:
    """The heights that the wave has voted in are enough, so nothing more is waited for."""
    dog = Watchdog(500, rotation=40, interval_ms=500)

    assert slowness(Blocks(*[500] * 10), dog, is_first=False) == ""


def test_a_mesh_that_was_slow_already_is_held_to_that() -> None:
    """With a validator down every rotation has a failed round; that is no fault of the release."""
    slow = Blocks(*([500, 500, 500, 2500] * 5), then_ms=(500, 500, 500, 2500))

    found = watchdog(cast("Any", slow))

    assert found.usual_ms == 2500
    assert is_steady([500, 500, 500, 2500], count=4, limit_ms=found.limit_ms)


def test_check_18_what_a_restart_cost_before_is_no_pace_to_be_held_to() -> None:
    """A run that follows a failed one has its late blocks behind it; a slow release stays slow."""
    after_a_return = Blocks(*[2000] * 12, 9000, 8000, *[2000] * 6, then_ms=(2000,))

    found = watchdog(cast("Any", after_a_return))

    assert found.usual_ms == 2000
    assert not is_steady([2000, 2000, 2000, 7000] * 5, count=4, limit_ms=found.limit_ms)


def test_short_blocks_may_be_doubled_by_a_busy_machine() -> None:
    """What a failed round adds is a second at least; less than that is noise."""
    assert Watchdog(300, rotation=4, interval_ms=300).limit_ms == 1000
    assert Watchdog(1000, rotation=4, interval_ms=1000).limit_ms == 2000


def test_a_young_chain_has_no_pace_to_be_held_to() -> None:
    """Fewer than five gaps are no measure, and nothing is waited for."""
    assert watchdog(cast("Any", Blocks(500, 500))).usual_ms == 0


def test_a_switch_acts_only_when_nothing_can_pass_any_more() -> None:
    """Its time is longer than gate, watchdog and bake together."""
    assert arming.after_s(30, proof_s=14 + 60) > 30 + 14 + 60
